//! The log of events as the rest of the server meets it.

use std::sync::Arc;

use kg_core::model::{EntityRef, Object};

/// An event that is to be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Names it among those of its type.
    pub id: Arc<str>,
    /// What kind of thing happened.
    pub kind: Arc<str>,
    /// What it is about.
    pub entity: Option<EntityRef>,
    /// What it belongs to; may be empty.
    pub correlation: Arc<str>,
    /// What is told.
    pub payload: Object,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who tells it.
    pub actor: Arc<str>,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place.
    pub offset: u64,
    /// When it was appended, in milliseconds since 1970; never below the one before.
    pub appended_ms: u64,
    /// What it says.
    pub event: NewEvent,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub offset: u64,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// Which events are wanted; an empty list stands for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// Types; one that ends in `*` stands for all that begin like it.
    pub kinds: Vec<String>,
    /// Kind, and name or none for all of the kind.
    pub entities: Vec<(String, Option<String>)>,
    /// Correlations.
    pub correlations: Vec<String>,
}

/// Where a cursor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the newest.
    End,
    /// At this offset.
    Offset(u64),
    /// At the first that was appended at this time or later.
    Time(u64),
}

/// What a cursor found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventBatch {
    /// Those that match, in order.
    pub events: Vec<Arc<Event>>,
    /// Where the cursor is now.
    pub next_offset: u64,
    /// What the log no longer keeps: from, and to without it.
    pub lag: Option<(u64, u64)>,
}

/// Why events could not be appended or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// One of the batch is wrong. Nothing was appended.
    #[error("events[{index}]: {reason}")]
    Invalid {
        /// Which.
        index: usize,
        /// Its field and what is wrong with it.
        reason: String,
    },
    /// Too many wait. Nothing was appended; ask again later.
    #[error("{0}")]
    Exhausted(String),
    /// The log cannot be reached, or there is no room. Whether it was appended is not known; the same ids may be sent again.
    #[error("the events cannot be reached: {0}")]
    Unavailable(String),
    /// It is not what it should be.
    #[error("the events are broken: {0}")]
    Broken(String),
}

/// The log of a store's events. Clones are further handles of the same one.
#[derive(Clone, Default)]
pub struct Events(());

impl Events {
    /// Appends a batch, all of it or nothing, and returns when it is durable.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn append(&self, _batch: Vec<NewEvent>) -> Result<Vec<Appended>, EventError> {
        Err(EventError::Unavailable("not built".into()))
    }

    /// The place that the next event takes, as far as this server knows.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        1
    }

    /// A cursor.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn cursor(&self, _from: Place, _filter: EventFilter) -> Result<Cursor, EventError> {
        Err(EventError::Unavailable("not built".into()))
    }
}

/// Somebody's place in the log.
pub struct Cursor(());

impl Cursor {
    /// The next events that match, at most `limit`; waits while there is nothing to tell. It may return none of them after a second or
    /// so, to tell how far it is.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn next(&mut self, _limit: usize) -> Result<EventBatch, EventError> {
        Err(EventError::Unavailable("not built".into()))
    }
}
