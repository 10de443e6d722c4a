//! What the graph tells: its changes and how its services are, as events.
//!
//! A server to which nobody listens pays nothing for it: the graph tells from the first subscription, group or await on whose
//! filter may want such events, and for good from then on. How far it has told is kept as a group of the server's own, whose
//! places are revisions; so among many servers one tells at a time, and another goes on when it ends. An event's id is made of
//! store, revision and place within it: what is told again, because the place was not written yet, is known and takes no place.

mod told;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kg_core::commit::Graph;
use kg_core::limits::EVENTS_PER_BATCH;
use kg_core::log::{ReadError, Record};
use kg_core::watch::{Cursor, Step};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::error::{EventError, GroupError};
use super::event::NewEvent;
use super::groups::{Durable, Edit, Group, Groups, OWN};
use super::log::Events;
use crate::rpc::LogTail;

/// Records that are told at once.
const RECORDS: usize = 64;

/// How often whoever tells says that it lives, and the others ask whether it is their turn.
const BEAT: Duration = Duration::from_secs(1);

/// What the graph tells, on this server. Clones are further handles of the same one.
#[derive(Clone, Default)]
pub(super) struct Sources(Arc<Shared>);

#[derive(Default)]
struct Shared {
    graph: OnceLock<Arc<Graph>>,
    /// Set when it is known that somebody wants it.
    wanted: OnceLock<()>,
    bell: Notify,
}

/// The name of the group that says how far the graph has told.
fn own_group() -> String {
    format!("{OWN}graph")
}

impl Sources {
    /// Begins to tell, where that is wanted already, or as soon as it is.
    pub(super) fn attach(&self, events: Events, graph: Arc<Graph>, log: Arc<dyn LogTail>) {
        if self.0.graph.set(graph.clone()).is_err() {
            return;
        }
        let teller = Teller {
            me: crate::app::seed() | 1,
            sources: self.clone(),
            events,
            graph,
            log,
        };
        tokio::spawn(teller.run());
    }

    /// Makes it durable that what happens from now on is wanted.
    pub(super) async fn want(&self, groups: &Groups) -> Result<(), EventError> {
        let Some(graph) = self.0.graph.get() else {
            return Ok(());
        };
        if self.0.wanted.get().is_some() {
            return Ok(());
        }
        let next = graph.revisions().0 + 1;
        match groups.create(Group::new(&own_group(), "", next, 1)).await {
            Ok(_) => {
                let _ = self.0.wanted.set(());
                self.0.bell.notify_one();
                Ok(())
            }
            Err(GroupError::Events(error)) => Err(error),
            Err(error) => Err(EventError::Exhausted(error.to_string())),
        }
    }
}

/// Follows the graph, and tells.
struct Teller {
    me: u64,
    sources: Sources,
    events: Events,
    graph: Arc<Graph>,
    log: Arc<dyn LogTail>,
}

impl Teller {
    async fn run(self) {
        loop {
            if self.events.front.has_ended() {
                return;
            }
            match self.claim().await {
                Ok(Some((epoch, next))) => {
                    if let Err(error) = self.tell_from(epoch, next).await
                        && !self.events.front.has_ended()
                    {
                        tracing::warn!(%error, "what the graph tells is late");
                    }
                }
                Ok(None) => {}
                Err(error) if self.events.front.has_ended() => {
                    tracing::debug!(%error, "the graph tells no more");
                    return;
                }
                Err(error) => tracing::warn!(%error, "whether the graph is to tell is not known"),
            }
            let _ = timeout(BEAT, self.sources.0.bell.notified()).await;
        }
    }

    /// The turn and the next revision, where it is wanted and nobody else tells.
    async fn claim(&self) -> Result<Option<(u32, u64)>, GroupError> {
        let me = self.me;
        let claim = move |edit: &mut Edit| {
            let mine = edit.group.claim(me, edit.silent);
            edit.alive |= mine;
            Ok(mine)
        };
        let groups = &self.events.groups;
        match groups.change(&own_group(), Durable::Soon, claim).await {
            Ok((true, group)) => {
                let _ = self.sources.0.wanted.set(());
                Ok(Some((group.epoch, group.next)))
            }
            Ok((false, _)) => {
                let _ = self.sources.0.wanted.set(());
                Ok(None)
            }
            Err(GroupError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells for as long as it is its turn.
    async fn tell_from(&self, epoch: u32, next: u64) -> Result<(), GroupError> {
        let mut cursor = Cursor::at(next);
        let mut lived = Instant::now();
        loop {
            let step = tokio::select! {
                step = cursor.follow(&self.graph, RECORDS) => Some(step),
                () = sleep_until(lived + BEAT) => None,
            };
            let records = match step {
                Some(Step::Records(records)) => records,
                Some(Step::Behind) => match self.log.read(cursor.next(), RECORDS).await {
                    Ok(records) => in_order(&cursor, records).map(Arc::new).collect(),
                    Err(ReadError::Compacted { oldest }) => {
                        // What is gone cannot be told, but that it is gone can.
                        let gap = told::gap(self.graph.store_id(), cursor.next(), oldest);
                        self.append(vec![gap]).await?;
                        cursor = Cursor::at(oldest);
                        Vec::new()
                    }
                    Err(error) => return Err(EventError::Unavailable(error.to_string()).into()),
                },
                Some(Step::AtHead) | None => Vec::new(),
            };
            let mut batch = Vec::new();
            for record in records {
                batch.extend(told::events(self.graph.store_id(), &record));
                cursor.pass(record.revision);
                // A revision may have a hundred thousand changes, and the next one as well: no more than one of those is held.
                if batch.len() >= EVENTS_PER_BATCH {
                    self.append(std::mem::take(&mut batch)).await?;
                    self.move_on(epoch, cursor.next()).await?;
                }
            }
            self.append(batch).await?;
            self.move_on(epoch, cursor.next()).await?;
            lived = Instant::now();
        }
    }

    /// Says that it lives, and that everything before `done` is told. The place is behind what is durable, so it is never ahead of
    /// what was told.
    async fn move_on(&self, epoch: u32, done: u64) -> Result<(), GroupError> {
        let move_on = move |edit: &mut Edit| {
            edit.group.must_be(epoch)?;
            edit.group.next = edit.group.next.max(done);
            edit.alive = true;
            Ok(())
        };
        let groups = &self.events.groups;
        groups.change(&own_group(), Durable::Soon, move_on).await?;
        Ok(())
    }

    async fn append(&self, mut batch: Vec<NewEvent>) -> Result<(), EventError> {
        while !batch.is_empty() {
            let behind = batch.split_off(batch.len().min(EVENTS_PER_BATCH));
            let mut part = std::mem::replace(&mut batch, behind);
            while !part.is_empty() {
                match self.events.append(part.clone()).await {
                    Ok(_) => break,
                    // Told again, with the same ids.
                    Err(EventError::Exhausted(_)) => sleep(Duration::from_millis(50)).await,
                    // It will not be right later either, and what is behind it must not wait for that.
                    Err(EventError::Invalid { index, reason }) if index < part.len() => {
                        let event = part.remove(index);
                        tracing::error!(id = %event.id, kind = %event.kind, %reason, "the graph cannot tell an event");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Records that follow on a cursor without a gap.
fn in_order(cursor: &Cursor, records: Vec<Record>) -> impl Iterator<Item = Record> + use<> {
    let first = cursor.next();
    records
        .into_iter()
        .zip(first..)
        .take_while(|(record, revision)| record.revision == *revision)
        .map(|(record, _)| record)
}
