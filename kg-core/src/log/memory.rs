//! A log in memory: durable as long as the process. For tests, for benches, and for graphs that are built anew each time.

use super::commit_log::{AppendError, Batch, CommitLog, InlineLog, ReadError};
use super::record::Record;
use crate::sync::{Mutex, MutexGuard, lock};
use std::sync::Arc;

/// A log in memory. Clones share one log, as servers share one database.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Revision of the first record kept, less one.
    compacted: u64,
    records: Vec<Arc<Record>>,
    last_batch: Option<u128>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log that goes on after `revision`, as if all before were compacted.
    #[must_use]
    pub fn after(revision: u64) -> Self {
        let log = Self::default();
        log.lock().compacted = revision;
        log
    }

    /// Drops the records up to and including `revision`, as a checkpoint allows.
    pub fn compact(&self, revision: u64) {
        let mut inner = self.lock();
        let gone = usize::try_from(revision.saturating_sub(inner.compacted))
            .unwrap_or(usize::MAX)
            .min(inner.records.len());
        inner.records.drain(..gone);
        inner.compacted += gone as u64;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }
}

impl Inner {
    fn last(&self) -> u64 {
        self.compacted + self.records.len() as u64
    }
}

impl InlineLog for MemoryLog {
    fn append_now(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let mut inner = self.lock();
        if inner.last_batch == Some(batch.id) && inner.last() == batch.last() {
            return Ok(());
        }
        if inner.last() != batch.after {
            return Err(AppendError::MovedOn { last: inner.last() });
        }
        inner.records.extend(batch.records.iter().cloned());
        inner.last_batch = Some(batch.id);
        Ok(())
    }
}

impl CommitLog for MemoryLog {
    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        self.append_now(batch)
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        let inner = self.lock();
        if from <= inner.compacted {
            return Err(ReadError::Compacted {
                oldest: inner.compacted + 1,
            });
        }
        let skip = usize::try_from(from - inner.compacted - 1).unwrap_or(usize::MAX);
        Ok(inner
            .records
            .iter()
            .skip(skip)
            .take(limit)
            .map(|r| (**r).clone())
            .collect())
    }

    async fn last_revision(&self) -> Result<u64, ReadError> {
        Ok(self.lock().last())
    }
}
