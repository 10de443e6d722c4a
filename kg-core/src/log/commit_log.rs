//! The log: the durable, ordered list of records, and what every implementation owes.

use super::record::{DecodeError, Record};
use std::future::Future;
use std::sync::Arc;

/// Transactions that share one append; never a unit of meaning.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Identity of the batch, by which a repeated append finds out that its first try succeeded.
    pub id: u128,
    /// The revision that the log must end at.
    pub after: u64,
    /// The records, of revisions `after + 1` on, without a gap. Never empty.
    pub records: Vec<Arc<Record>>,
}

impl Batch {
    /// The revision that the log ends at once this batch is durable.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.after + self.records.len() as u64
    }
}

/// Why an append did not succeed. The variants differ in what the committer must do.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room. Nothing of the batch is in the log; writing may be tried again when there is.
    #[error("the store is full: {0}")]
    Full(String),
    /// The log cannot be written to now. Nothing of the batch is in the log, and none of it was tried before.
    #[error("the log cannot be written to: {0}")]
    Unavailable(String),
    /// Another writer was first: the log ends elsewhere. Nothing of the batch is in it. Catch up and plan again.
    #[error("the log has moved on to revision {last}")]
    MovedOn {
        /// Where the log ends.
        last: u64,
    },
    /// The log is broken: whether the batch is durable cannot be told, and nothing more may be written.
    #[error("the log failed: {0}")]
    Broken(String),
    /// No answer came. The very same batch must be appended again until the log says which it was.
    #[error("the log did not answer: {0}")]
    Unknown(String),
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log no longer keeps the revision that was asked for.
    #[error("the log keeps revisions from {oldest} on")]
    Compacted {
        /// The oldest revision kept.
        oldest: u64,
    },
    /// A record is damaged or of an unknown version.
    #[error("revision {revision}: {cause}")]
    Record {
        /// Which.
        revision: u64,
        /// What is wrong with it.
        #[source]
        cause: DecodeError,
    },
    /// The log could not be read.
    #[error("the log cannot be read: {0}")]
    Io(String),
}

/// A durable, ordered list of records.
///
/// Obligations, which `testing::conformance` holds every implementation to:
///
/// 1. When `append` returns `Ok`, all records of the batch are durable; a crash loses none of them.
/// 2. A batch is in the log whole or not at all.
/// 3. The revisions in the log have no gap. A batch whose `after` is not the log's end is refused with `MovedOn` and
///    leaves no trace, also when a record of that revision was compacted away.
/// 4. Appending the batch that the log ends with once more succeeds and changes nothing.
/// 5. After `Full`, `Unavailable` and `MovedOn` nothing of the batch is in the log. After `Broken` every further append is refused.
/// 6. `read` returns the records from a revision on, in order, without a gap, exactly as they were appended.
pub trait CommitLog: Send {
    /// Makes a batch durable.
    fn append(&mut self, batch: &Batch) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Reads at most `limit` records from revision `from` on; fewer only at the end of the log, or to bound memory; none
    /// means that the log ends below `from`.
    fn read(
        &self,
        from: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, ReadError>> + Send;

    /// The revision that the log ends at; 0 for an empty one.
    fn last_revision(&self) -> impl Future<Output = Result<u64, ReadError>> + Send;
}

/// A log whose append does not wait, for programs that embed the graph and commit on the caller's thread.
pub trait InlineLog: Send {
    /// Makes a batch durable before it returns.
    ///
    /// # Errors
    /// As [`CommitLog::append`].
    fn append_now(&mut self, batch: &Batch) -> Result<(), AppendError>;
}
