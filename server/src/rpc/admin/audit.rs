//! `Audit`: who did what, and who was refused, by time.
//!
//! Two logs are merged: that of security events in the store of users, and that of the graph, whose every record is a commit.
//! Each is in the order of its own numbers, and nearly so by time; of the two that come next, the earlier one is told first.
//! Without `follow` the stream ends where both logs ended when it began. With it both are looked at again and again.
//!
//! A page of each is held at most, and a message has at most [`MESSAGE`] bytes, so a slow reader costs nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use amadeus_proto::v1;
use futures::stream::{self, BoxStream, StreamExt as _};
use kg_core::error::Fault;
use kg_core::log::{ReadError, Record};
use prost::Message as _;
use tonic::Status;
use v1::audit_event::Outcome as Shown;

use crate::auth::Outcome;
use crate::rpc::context::Context;
use crate::rpc::{from_proto, status, to_proto};
use crate::users::{EventFilter, EventId, PastEvent, UserStore};

/// Bytes of the events in one message.
const MESSAGE: usize = 256 * 1024;

/// Events, and records, that are read at once. A record may be large, and its log bounds their bytes as well.
const EVENTS: usize = 500;
const RECORDS: usize = 64;

/// How often a stream that follows looks at the logs.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes of an actor and of an action that are asked for.
const ACTOR_BYTES: usize = 256;
const ACTION_BYTES: usize = 64;

/// What commits are called among the events.
const COMMIT: &str = "commit";

type Message = Result<v1::AuditResponse, Status>;

/// Opens the stream.
pub(super) async fn open(
    context: Arc<Context>,
    users: UserStore,
    asked: v1::AuditRequest,
) -> Result<BoxStream<'static, Message>, Status> {
    let filter = parse(&asked).map_err(status::fault)?;
    let ends = if asked.follow {
        None
    } else {
        let last = users.last_event().await.map_err(status::users)?;
        Some((last, context.graph.revisions().0))
    };
    let wants_commits =
        ["", COMMIT].contains(&&*filter.action) && filter.outcome != Some(Outcome::Refused);
    let mut audit = Audit {
        events: Read::of(filter.action != COMMIT),
        commits: Read::of(wants_commits),
        context,
        users,
        filter,
        ends,
        after: EventId::default(),
        next: 1,
    };
    if wants_commits {
        audit.next = audit.first_revision().await?;
    }
    let messages = stream::unfold(Some(audit), |audit| async move {
        let mut audit = audit?;
        let context = audit.context.clone();
        let message = tokio::select! {
            biased;
            () = context.stopped() => Err(status::stopping()),
            message = audit.message() => message.transpose()?,
        };
        let goes_on = message.is_ok().then_some(audit);
        Some((message, goes_on))
    });
    Ok(messages.boxed())
}

fn parse(asked: &v1::AuditRequest) -> Result<EventFilter, Fault> {
    from_proto::check_text("actor", &asked.actor, ACTOR_BYTES)?;
    from_proto::check_text("action", &asked.action, ACTION_BYTES)?;
    let from_ms = from_proto::milliseconds("from", asked.from.as_ref())?;
    let until_ms = from_proto::milliseconds("until", asked.until.as_ref())?;
    if let (Some(from), Some(until)) = (from_ms, until_ms)
        && from > until
    {
        return Err(Fault::new("until", "is before `from`"));
    }
    let outcome = match from_proto::number_of::<Shown>("outcome", asked.outcome)? {
        Shown::Unspecified => None,
        Shown::Done => Some(Outcome::Done),
        Shown::Refused => Some(Outcome::Refused),
    };
    Ok(EventFilter {
        from_ms,
        until_ms,
        actor: asked.actor.clone(),
        action: asked.action.clone(),
        outcome,
    })
}

/// One open stream, between two messages.
struct Audit {
    context: Arc<Context>,
    users: UserStore,
    filter: EventFilter,
    /// The last event and the last revision to tell; `None` for a stream that follows.
    ends: Option<(EventId, u64)>,
    /// The last event that was read.
    after: EventId,
    /// The next revision to read.
    next: u64,
    events: Read,
    commits: Read,
}

/// What was read of one log and not told, each with its time.
#[derive(Default)]
struct Read {
    waiting: VecDeque<(u64, v1::AuditEvent)>,
    /// Whether there is no more to read for now.
    dry: bool,
    /// Whether nothing of it is wanted.
    unwanted: bool,
}

impl Read {
    fn of(wanted: bool) -> Self {
        Self {
            unwanted: !wanted,
            dry: !wanted,
            ..Self::default()
        }
    }

    fn is_due(&self) -> bool {
        self.waiting.is_empty() && !self.dry
    }

    fn time_ms(&self) -> u64 {
        self.waiting
            .front()
            .map_or(u64::MAX, |(time_ms, _)| *time_ms)
    }
}

impl Audit {
    /// The next message; `None` at the end.
    async fn message(&mut self) -> Result<Option<v1::AuditResponse>, Status> {
        let mut told = Vec::new();
        let mut bytes = 0;
        loop {
            // Both have to be known to say which comes first.
            while self.events.is_due() {
                self.read_events().await?;
            }
            while self.commits.is_due() {
                self.read_commits().await?;
            }
            let earlier = if self.events.time_ms() <= self.commits.time_ms() {
                &mut self.events
            } else {
                &mut self.commits
            };
            if let Some((time_ms, event)) = earlier.waiting.pop_front() {
                let more = event.encoded_len() + 8;
                if bytes + more > MESSAGE && bytes > 0 {
                    earlier.waiting.push_front((time_ms, event));
                    return Ok(Some(self.tell(told)));
                }
                bytes += more;
                told.push(event);
                continue;
            }
            if !told.is_empty() {
                return Ok(Some(self.tell(told)));
            }
            let is_over = |until| (self.context.clock)() >= until;
            if self.ends.is_some() || self.filter.until_ms.is_some_and(is_over) {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
            self.events.dry = self.events.unwanted;
            self.commits.dry = self.commits.unwanted;
        }
    }

    fn tell(&self, events: Vec<v1::AuditEvent>) -> v1::AuditResponse {
        v1::AuditResponse {
            header: self.context.header(self.context.graph.revisions().0),
            events,
        }
    }

    async fn read_events(&mut self) -> Result<(), Status> {
        let read = self.users.events(&self.filter, self.after, EVENTS).await;
        let read = read.map_err(status::users)?;
        self.events.dry = read.len() < EVENTS;
        for (id, event) in read {
            if self.ends.is_some_and(|(last, _)| id > last) {
                self.events.dry = true;
                break;
            }
            self.after = id;
            self.events
                .waiting
                .push_back((event.time_ms, of_event(event)));
        }
        Ok(())
    }

    async fn read_commits(&mut self) -> Result<(), Status> {
        let last = self
            .ends
            .map_or_else(|| self.context.graph.revisions().0, |(_, last)| last);
        if self.next > last {
            self.commits.dry = true;
            return Ok(());
        }
        // Where the log is in memory, nothing else would let others run.
        tokio::task::yield_now().await;
        match self.context.log.read(self.next, RECORDS).await {
            Ok(records) => {
                self.commits.dry = records.is_empty();
                for record in records.iter().take_while(|record| record.revision <= last) {
                    self.next = record.revision + 1;
                    if is_wanted(&self.filter, record) {
                        self.commits
                            .waiting
                            .push_back((record.time_ms, of_record(record)));
                    }
                }
                Ok(())
            }
            // What a compaction has removed is no longer told.
            Err(ReadError::Compacted { oldest }) => {
                self.commits.dry = oldest <= self.next;
                self.next = oldest.max(self.next);
                Ok(())
            }
            Err(error) => Err(status::read(error)),
        }
    }

    /// The first revision from which on commits are asked for. Times never go back in the log, so it is found in a few looks.
    async fn first_revision(&self) -> Result<u64, Status> {
        let head = self.context.graph.revisions().0;
        let mut low = match self.context.log.read(1, 1).await {
            Ok(_) => 1,
            Err(ReadError::Compacted { oldest }) => oldest,
            Err(error) => return Err(status::read(error)),
        };
        let Some(from_ms) = self.filter.from_ms else {
            return Ok(low);
        };
        let mut high = head + 1;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.context.log.read(middle, 1).await {
                Ok(records)
                    if records
                        .first()
                        .is_some_and(|record| record.time_ms < from_ms) =>
                {
                    low = middle + 1
                }
                Ok(_) => high = middle,
                Err(ReadError::Compacted { oldest }) => low = oldest.max(middle + 1),
                Err(error) => return Err(status::read(error)),
            }
        }
        Ok(low)
    }
}

fn is_wanted(filter: &EventFilter, record: &Record) -> bool {
    filter.from_ms.is_none_or(|from| record.time_ms >= from)
        && filter.until_ms.is_none_or(|until| record.time_ms < until)
        && (filter.actor.is_empty() || *filter.actor == *record.actor)
}

fn of_event(event: PastEvent) -> v1::AuditEvent {
    let outcome = match event.outcome {
        Outcome::Done => Shown::Done,
        Outcome::Refused => Shown::Refused,
    };
    v1::AuditEvent {
        time: Some(to_proto::timestamp(event.time_ms)),
        actor: event.actor,
        source: event.source,
        action: event.action,
        resource: event.resource,
        outcome: outcome.into(),
        reason: event.reason,
        revision: 0,
    }
}

fn of_record(record: &Record) -> v1::AuditEvent {
    v1::AuditEvent {
        time: Some(to_proto::timestamp(record.time_ms)),
        actor: record.actor.to_string(),
        source: record.source.to_string(),
        action: COMMIT.into(),
        resource: match record.changes.len() {
            1 => "1 change".into(),
            count => format!("{count} changes"),
        },
        outcome: Shown::Done.into(),
        reason: record.reason.to_string(),
        revision: record.revision,
    }
}
