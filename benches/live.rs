//! Live graphs that begin with a given snapshot, on a log that keeps its records in memory.

#![allow(dead_code, reason = "each program here uses a part of it")]

use std::sync::{Arc, Mutex, PoisonError};

use kg_core::commit::{Graph, History, HistoryLimits, Options};
use kg_core::log::{AppendError, Batch, InlineLog, Record};
use kg_core::snapshot::Snapshot;

/// The records that were appended since they were last forgotten. (A `MemoryLog` begins at revision 0.)
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<Arc<Record>>>>);

impl Kept {
    /// Lets go of all, outside of what is timed, so that a long run does not fill the memory.
    pub fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl InlineLog for Kept {
    fn append_now(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(batch.records.iter().cloned());
        Ok(())
    }
}

/// A live graph that begins with this one.
pub fn graph(snapshot: Snapshot, log: impl InlineLog + 'static) -> Arc<Graph> {
    let history = History::new(Arc::new(snapshot), HistoryLimits::default());
    Arc::new(Graph::inline(history, &Options::default(), Box::new(log)))
}
