//! Where events are kept: a file beside the store, memory, or the database that servers share; dispatched by `match`.

mod chunk;
mod file;
mod postgres;
mod sqlite;

use std::sync::Arc;

pub(super) use postgres::PostgresStore;
pub(super) use sqlite::SqliteStore;

use super::error::EventError;
use super::event::{Appended, Event, Prepared};
use super::groups::{Group, Letter, Unwritten};
use crate::storage::{Backend, Fault, Opened};

/// The ends of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The oldest place that is kept.
    pub(super) oldest: u64,
    /// The place that the next event takes.
    pub(super) next: u64,
    /// Bytes of the events that are kept.
    pub(super) bytes: u64,
}

/// What a log keeps at most: beyond it the oldest events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Events.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            events: kg_core::limits::EVENTS_KEPT,
            bytes: kg_core::limits::EVENT_BYTES_KEPT,
        }
    }
}

impl Keep {
    /// Up to which place a log of these ends should be trimmed, if it should: with a sixteenth to spare, so that it is done in
    /// larger steps and less often.
    pub(super) fn trim_below(&self, bounds: Bounds) -> Option<u64> {
        let rows = bounds.next - bounds.oldest;
        let spare = |most: u64| most.saturating_add(most / 16);
        if rows <= spare(self.events) && bounds.bytes <= spare(self.bytes) {
            return None;
        }
        let by_rows = rows.saturating_sub(self.events);
        // All events are taken to be as large as they are on average.
        let average = (bounds.bytes / rows.max(1)).max(1);
        let by_bytes = bounds.bytes.saturating_sub(self.bytes).div_ceil(average);
        Some((bounds.oldest + by_rows.max(by_bytes)).min(bounds.next))
    }
}

/// An event, and how many bytes are kept of it.
pub(super) type Weighed = (Arc<Event>, usize);

/// What came of an append.
#[derive(Debug)]
pub(super) struct Written {
    /// For each batch.
    pub(super) answers: Vec<Result<Vec<Appended>, EventError>>,
    /// What is new, in order and without a gap.
    pub(super) events: Vec<Weighed>,
}

/// What a read found.
#[derive(Debug)]
pub(super) struct Read {
    /// From the place that was asked for on, without a gap; none where that is not kept, or not there yet.
    pub(super) events: Vec<Weighed>,
    /// The ends as they were then.
    pub(super) bounds: Bounds,
}

/// A store of events. Clones are further handles of the same one.
#[derive(Clone)]
pub(super) enum Store {
    /// In a file, or in memory.
    Sqlite(SqliteStore),
    /// In a database, with other servers.
    Postgres(PostgresStore),
}

impl Store {
    /// Opens the events of a store. What the operator should know is in words.
    pub(super) async fn open(opened: &Opened) -> Result<(Self, Option<String>), EventError> {
        match &opened.backend {
            Backend::Memory(_) => Ok((Self::Sqlite(SqliteStore::in_memory().await?), None)),
            Backend::Sqlite(log) => {
                let (store, notice) = SqliteStore::open(log.path(), &opened.store_id).await?;
                Ok((Self::Sqlite(store), notice))
            }
            Backend::Postgres(log) => Ok((Self::Postgres(PostgresStore::new(log.events())), None)),
        }
    }

    /// Whether other servers write to it as well.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Its ends, asked now.
    pub(super) async fn bounds(&self) -> Result<Bounds, EventError> {
        match self {
            Self::Sqlite(store) => Ok(store.bounds()),
            Self::Postgres(store) => store.bounds().await,
        }
    }

    /// Appends batches in their order, each as a whole or not at all, and returns when they are durable. Only the log's writer
    /// calls this, and never drops it half-way.
    pub(super) async fn append(
        &self,
        batches: Vec<Vec<Prepared>>,
        now_ms: u64,
    ) -> Result<Written, EventError> {
        match self {
            Self::Sqlite(store) => store.append(batches, now_ms).await,
            Self::Postgres(store) => store.append(batches).await,
        }
    }

    /// Removes some of the events before `below`, of which the last one is kept; whether there are more to remove.
    pub(super) async fn trim(&self, below: u64) -> Result<bool, EventError> {
        match self {
            Self::Sqlite(store) => store.trim(below).await,
            Self::Postgres(store) => store.trim(below).await,
        }
    }

    /// At most `limit` events from a place on, and fewer where they are large.
    pub(super) async fn read(&self, from: u64, limit: usize) -> Result<Read, EventError> {
        match self {
            Self::Sqlite(store) => store.read(from, limit).await,
            Self::Postgres(store) => store.read(from, limit).await,
        }
    }

    /// The place of the first event that was appended at this time or later; `None` where none was.
    pub(super) async fn at_time(&self, ms: u64) -> Result<Option<u64>, EventError> {
        match self {
            Self::Sqlite(store) => store.at_time(ms).await,
            Self::Postgres(store) => store.at_time(ms).await,
        }
    }

    /// The groups that are kept, of a store that is not shared: whoever else changes them is nobody.
    pub(super) async fn load_groups(&self) -> Result<Vec<Group>, EventError> {
        match self {
            Self::Sqlite(store) => store.load_groups().await,
            Self::Postgres(_) => Ok(Vec::new()),
        }
    }

    /// Writes what changed of groups, and returns when it is durable.
    pub(super) async fn write_groups(&self, changed: &Unwritten) -> Result<(), EventError> {
        match self {
            Self::Sqlite(store) => store.write_groups(changed).await,
            // There they are changed in transactions of their own.
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Dead letters of a group behind a place, oldest first.
    pub(super) async fn letters(
        &self,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Letter>, EventError> {
        match self {
            Self::Sqlite(store) => store.letters(name, after, limit).await,
            Self::Postgres(store) => store.letters(name, after, limit).await,
        }
    }

    /// Closes it. Nobody is answered any more, by whichever handle.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

impl From<Fault> for EventError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full(said) => Self::Unavailable(format!("there is no room: {said}")),
            Fault::Away(said) | Fault::Closed(said) => Self::Unavailable(said),
            Fault::Disk(said) | Fault::Damaged(said) | Fault::Wrong(said) => Self::Broken(said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_trimmed_by_number_and_by_bytes_and_not_before_there_is_a_sixteenth_too_much() {
        let keep = Keep {
            events: 1_600,
            bytes: 160_000,
        };
        let bounds = |rows: u64, bytes| Bounds {
            oldest: 11,
            next: 11_u64 + rows,
            bytes,
        };
        assert_eq!(keep.trim_below(bounds(1_700, 17_000)), None);
        assert_eq!(keep.trim_below(bounds(1_701, 17_010)), Some(112));
        assert_eq!(keep.trim_below(bounds(100, 170_000)), None);
        // 1,710 bytes each: 7 of them are more than what is too much.
        assert_eq!(keep.trim_below(bounds(100, 171_000)), Some(18));
        assert_eq!(keep.trim_below(bounds(1, 900_000)), Some(12));
    }
}
