//! Watch: the changes of the graph as a stream.
//!
//! One message is made at a time, when the client has room for it, from a cursor into the history. So a watcher costs the
//! same fast or slow and holds nothing back.

mod parts;
mod sight;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use amadeus_proto::v1;
use futures::stream::{self, BoxStream, StreamExt};
use kg_core::log::{ReadError, Record};
use kg_core::mutation::Change;
use kg_core::watch::{Cursor, Filter, Step};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use parts::Parts;
use sight::Sight;
use state::State;

use crate::auth::Caller;
use crate::rpc::context::{Context, Watching};
use crate::rpc::{from_proto, status};

/// Records taken from the ring or the log at once.
const RECORDS: usize = 64;

/// How often a watcher whose filter lets nothing through is told how far it has come.
const PROGRESS: Duration = Duration::from_secs(1);

/// After how many revisions it is told at the latest.
const PROGRESS_REVISIONS: u64 = 1_000;

type Message = Result<v1::WatchResponse, Status>;

impl Context {
    pub(super) async fn watch(
        self: &Arc<Self>,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<BoxStream<'static, Message>>, Status> {
        let asked = request.get_ref();
        let filter = parse_filter(asked).map_err(status::fault)?;
        if asked.snapshot_first && asked.from_revision != 0 {
            let reason = "must be 0 with snapshot_first: the state tells where it goes on";
            return Err(status::invalid("from_revision", reason));
        }
        let watching = self.watchers.open()?;
        // The place is taken before the headers go out: what is written once the client has them arrives.
        let caller = Caller::of(request.extensions());
        let held = self
            .fresh(&caller, asked.consistency.as_ref(), request.metadata())
            .await?;
        let next = match asked.from_revision {
            0 => held.revision() + 1,
            from => from,
        };
        let watch = Watch {
            context: self.clone(),
            watching,
            filter,
            sight: Sight::of(&caller, held.held().clone()),
            previous: asked.previous_values,
            state: asked
                .snapshot_first
                .then(|| State::new(held.held().clone())),
            cursor: Cursor::at(next),
            waiting: VecDeque::new(),
            parts: None,
            unsaid: None,
            said: None,
            end: None,
        };
        let messages = stream::unfold(watch, |mut watch| async move {
            let message = watch.next().await?;
            Some((message, watch))
        });
        Ok(Response::new(messages.boxed()))
    }
}

fn parse_filter(asked: &v1::WatchRequest) -> Result<Filter, kg_core::error::Fault> {
    Ok(Filter {
        kinds: from_proto::kinds("kinds", &asked.kinds)?,
        name_prefix: asked.name_prefix.clone(),
        relations: from_proto::labels("relations", &asked.relations)?,
    })
}

/// One open watch, between two messages.
struct Watch {
    context: Arc<Context>,
    watching: Watching,
    filter: Filter,
    /// What the watcher may see.
    sight: Sight,
    previous: bool,
    /// What is left of the state at the beginning.
    state: Option<State>,
    cursor: Cursor,
    /// Records that were read and not delivered.
    waiting: VecDeque<Arc<Record>>,
    /// What is left of the revision that is being delivered.
    parts: Option<Parts>,
    /// The last revision that was passed without a word.
    unsaid: Option<u64>,
    /// When, and at which revision, the client was last told how far it has come.
    said: Option<(Instant, u64)>,
    /// The stream's last word, once it is known.
    end: Option<Ending>,
}

enum Ending {
    Status(Status),
    Over,
}

impl Watch {
    async fn next(&mut self) -> Option<Message> {
        match self.end.replace(Ending::Over) {
            Some(Ending::Over) => return None,
            Some(Ending::Status(last)) => return Some(Err(last)),
            None => self.end = None,
        }
        let context = self.context.clone();
        let message = tokio::select! {
            biased;
            () = context.stopped() => Err(status::stopping()),
            message = self.message() => message,
        };
        if message.is_err() {
            self.end = Some(Ending::Over);
        }
        Some(message)
    }

    async fn message(&mut self) -> Message {
        while let Some(state) = &mut self.state {
            let (changes, finished) = state.part(&self.filter);
            if changes.is_empty() && !finished {
                tokio::task::yield_now().await;
                continue;
            }
            let bookmark = if finished { state.revision() } else { 0 };
            if finished {
                self.state = None;
                self.said = Some((Instant::now(), bookmark));
            }
            return Ok(v1::WatchResponse {
                snapshot: true,
                ..self.tell(changes, bookmark)
            });
        }
        loop {
            if let Some(parts) = &mut self.parts {
                let (changes, finished) = parts.part(&self.filter);
                let revision = parts.revision();
                if finished {
                    self.parts = None;
                    self.passed(revision);
                }
                let bookmark = if finished { revision } else { 0 };
                return Ok(self.tell(changes, bookmark));
            }
            if let Some(record) = self.waiting.pop_front() {
                if let Some(message) = self.begin(record).await? {
                    return Ok(message);
                }
                continue;
            }
            if let Some(message) = self.more().await? {
                return Ok(message);
            }
        }
    }

    /// Begins with one record; a message, if that is to be told at once.
    async fn begin(&mut self, record: Arc<Record>) -> Result<Option<v1::WatchResponse>, Status> {
        let revision = record.revision;
        self.cursor.pass(revision);
        let restored = |change: &Change| matches!(change, Change::Restore { .. });
        if record.changes.iter().any(restored) {
            return Ok(Some(self.resync(revision, None)));
        }
        let Some(record) = self.sight.of_record(&self.context.graph, record).await? else {
            return Ok(Some(self.resync(0, None)));
        };
        if record
            .changes
            .iter()
            .any(|change| self.filter.wants(change))
        {
            self.parts = Some(Parts::new(record, self.previous));
            return Ok(None);
        }
        self.unsaid = Some(revision);
        let last = self.said.map_or(0, |(_, revision)| revision);
        let due = revision.is_multiple_of(PROGRESS_REVISIONS) && revision > last;
        Ok(due.then(|| self.progress(revision)))
    }

    /// Looks for more records, or waits for them; a message, if there is something to be told meanwhile.
    async fn more(&mut self) -> Result<Option<v1::WatchResponse>, Status> {
        let graph = self.context.graph.clone();
        let next = self.cursor.follow(&graph, RECORDS);
        let step = match self.unsaid {
            None => next.await,
            Some(revision) => {
                let due = self.said.map_or_else(Instant::now, |(at, _)| at + PROGRESS);
                tokio::select! {
                    biased;
                    step = next => step,
                    () = tokio::time::sleep_until(due) => return Ok(Some(self.progress(revision))),
                }
            }
        };
        match step {
            Step::Records(records) => self.waiting.extend(records),
            Step::Behind => return self.read_log().await,
            // `follow` waits for more.
            Step::AtHead => {}
        }
        Ok(None)
    }

    async fn read_log(&mut self) -> Result<Option<v1::WatchResponse>, Status> {
        let from = self.cursor.next();
        match self.context.log.read(from, RECORDS).await {
            Ok(records) if records.first().is_some_and(|r| r.revision == from) => {
                self.waiting.extend(records.into_iter().map(Arc::new));
                Ok(None)
            }
            // The ring lost the place and the log does not have it: it was compacted away between the two looks.
            Ok(_) => Ok(Some(self.resync(0, None))),
            Err(ReadError::Compacted { oldest }) => Ok(Some(self.resync(0, Some(oldest)))),
            Err(error) => Err(status::read(error)),
        }
    }

    /// Tells the client to read the state again, and ends the stream after that.
    fn resync(&mut self, bookmark: u64, oldest: Option<u64>) -> v1::WatchResponse {
        self.watching.resync();
        let mut message = self.tell(Vec::new(), bookmark);
        message.resync = true;
        if let (Some(header), Some(oldest)) = (&mut message.header, oldest) {
            header.oldest_revision = oldest;
        }
        let oldest = message.header.as_ref().map_or(0, |h| h.oldest_revision);
        self.end = Some(Ending::Status(status::fell_behind(oldest)));
        message
    }

    fn progress(&mut self, revision: u64) -> v1::WatchResponse {
        self.passed(revision);
        self.tell(Vec::new(), revision)
    }

    fn passed(&mut self, revision: u64) {
        self.unsaid = None;
        self.said = Some((Instant::now(), revision));
    }

    fn tell(&self, changes: Vec<v1::Change>, bookmark: u64) -> v1::WatchResponse {
        v1::WatchResponse {
            header: self.context.header(self.context.graph.revisions().0),
            changes,
            bookmark,
            resync: false,
            snapshot: false,
        }
    }
}
