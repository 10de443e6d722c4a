//! What may go wrong with events.

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

/// Why something about a consumer group was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// There is none of this name.
    #[error("the group {0:?} does not exist")]
    NotFound(String),
    /// Whoever asks is not the one that is served any more.
    #[error("another subscriber of the group {0:?} is served now")]
    Stale(String),
    /// What is asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// There are too many.
    #[error("{0}")]
    Exhausted(String),
    /// The log.
    #[error(transparent)]
    Events(#[from] EventError),
}
