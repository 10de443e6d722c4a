//! What becomes of a submitted transaction.

use crate::error::Refusal;
use crate::mutation::Change;
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// A transaction that was carried out, or that had nothing to do.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The revision that it made; the revision that it was judged at, when it changed nothing.
    pub revision: u64,
    /// Whether it made a revision.
    pub changed: bool,
    /// Whether the same request had been committed before, and this is its outcome.
    pub repeated: bool,
    /// What it did.
    pub changes: Arc<[Change]>,
    /// The published state in which it is visible; it may hold later transactions of the same batch too.
    pub snapshot: Arc<Snapshot>,
}

/// Why a transaction was not carried out, or why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The graph said no; nothing was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many wait already; nothing was done. Try again later.
    #[error("the commit queue is full ({0} waiting): try again later")]
    QueueFull(usize),
    /// What waits is too large together; nothing was done. Try again later.
    #[error(
        "the transactions that wait for the committer hold {0} bytes, which is the most they may: try again later"
    )]
    QueueBytes(usize),
    /// The store has no room; nothing was done. Writing resumes when there is room.
    #[error("the store is full, nothing was written: {0}")]
    StoreFull(String),
    /// Writing is not possible now, or the outcome is unknown. Try again with the same request id.
    #[error("{0}")]
    Unavailable(String),
}
