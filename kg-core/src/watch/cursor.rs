//! Where a watcher stands, and what it does next.

use crate::commit::{Graph, Published};
use crate::faults::{Bug, seeded};
use crate::log::Record;
use crate::sync::control::{Control, is_on};
use std::sync::Arc;

/// The revision that a watcher wants next. Every one before it has been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    next: u64,
}

/// What a watcher does next.
#[derive(Debug)]
pub enum Step {
    /// It delivers these, in order and without a gap, and moves past each.
    Records(Vec<Arc<Record>>),
    /// It waits for the next head.
    AtHead,
    /// It reads from the log: the ring no longer keeps its place.
    Behind,
}

impl Cursor {
    /// A watcher that wants this revision first.
    #[must_use]
    pub fn at(next: u64) -> Self {
        Self { next }
    }

    /// The revision that it wants next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Moves past a revision that has been delivered.
    pub fn pass(&mut self, revision: u64) {
        debug_assert_eq!(
            revision, self.next,
            "each revision is delivered once, in order"
        );
        self.next = revision + 1;
    }

    /// Waits until there is something to do, and says what: never [`Step::AtHead`]. Dropping the future loses nothing.
    pub async fn follow(&self, graph: &Graph, limit: usize) -> Step {
        loop {
            // The epoch first: what is published between the look and the listening ends the listening at once.
            let mut seen = graph.epoch();
            let step = self.step(&graph.published(), limit);
            if !matches!(step, Step::AtHead) {
                return step;
            }
            if is_on(Control::LateEpoch) {
                seen = graph.epoch();
            }
            graph.listen(seen).await;
        }
    }

    /// What to do, given what is published; at most `limit` records at once. Cost: O(limit x log ring).
    #[must_use]
    pub fn step(&self, published: &Published, limit: usize) -> Step {
        let history = &published.history;
        if self.next > history.newest() {
            return Step::AtHead;
        }
        let waiting = history.newest() - self.next + 1;
        let first = if seeded(Bug::DroppedByFullWatch) && waiting > limit as u64 {
            history.newest()
        } else {
            self.next
        };
        let records: Vec<_> = (first..=history.newest())
            .take(limit)
            .map_while(|revision| history.record(revision).cloned())
            .collect();
        if records.is_empty() {
            return Step::Behind;
        }
        Step::Records(records)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::commit::{Graph, History, HistoryLimits, Options};
    use crate::log::MemoryLog;
    use crate::model::{EntityRef, Object};
    use crate::mutation::{Mutation, Transaction};
    use crate::snapshot::Snapshot;

    fn put(graph: &Arc<Graph>, name: &str) {
        let key = EntityRef::parse("key", name).expect("a valid name");
        let properties = Object::new();
        let mutation = Mutation::PutEntity { key, properties };
        graph
            .commit(Transaction::of(vec![mutation]))
            .expect("committed");
    }

    fn small_ring() -> Arc<Graph> {
        let limits = HistoryLimits {
            revisions: 4,
            ..HistoryLimits::default()
        };
        let history = History::new(Arc::new(Snapshot::new()), limits);
        let log = Box::new(MemoryLog::new());
        Arc::new(Graph::inline(history, &Options::default(), log))
    }

    #[test]
    fn a_watcher_gets_each_revision_once_and_in_order() {
        let graph = small_ring();
        let (mut cursor, mut seen) = (Cursor::at(1), Vec::new());
        for i in 0..50 {
            put(&graph, &format!("probe/{i}"));
            while let Step::Records(records) = cursor.step(&graph.published(), 3) {
                for record in records {
                    seen.push(record.revision);
                    cursor.pass(record.revision);
                }
            }
        }
        assert_eq!(seen, (1..=50).collect::<Vec<_>>());
        assert!(matches!(cursor.step(&graph.published(), 3), Step::AtHead));
    }

    #[test]
    fn a_watcher_that_is_behind_in_the_ring_loses_nothing() {
        let graph = Graph::in_memory();
        for i in 0..50 {
            put(&graph, &format!("probe/{i}"));
        }
        let (mut cursor, mut seen) = (Cursor::at(1), Vec::new());
        while let Step::Records(records) = cursor.step(&graph.published(), 3) {
            assert!(records.len() <= 3);
            seen.extend(records.iter().map(|record| record.revision));
            assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
            cursor = Cursor::at(seen.len() as u64 + 1);
        }
        assert_eq!(seen.len(), 50);
    }

    #[test]
    fn a_watcher_that_slept_is_behind_the_ring() {
        let graph = small_ring();
        let cursor = Cursor::at(1);
        assert!(matches!(cursor.step(&graph.published(), 3), Step::AtHead));
        for i in 0..50 {
            put(&graph, &format!("probe/{i}"));
        }
        assert!(matches!(cursor.step(&graph.published(), 3), Step::Behind));
        let kept = Cursor::at(graph.revisions().1 + 1);
        assert!(matches!(kept.step(&graph.published(), 9), Step::Records(_)));
    }

    #[test]
    fn a_place_beyond_the_head_waits() {
        let graph = small_ring();
        put(&graph, "probe/a");
        assert!(matches!(
            Cursor::at(100).step(&graph.published(), 1),
            Step::AtHead
        ));
    }
}
