//! The history ring: recent snapshots and records, bounded in bytes and in revisions.
//!
//! It is persistent and published together with the head, so that a reader gets both from one load and they agree. The
//! newest snapshots are kept one by one; behind them one a second stays. The state at revision r is the nearest kept
//! snapshot at or below r, plus the records up to r.

use crate::limits::{HISTORY_BYTES, HISTORY_DENSE, HISTORY_REVISIONS};
use crate::log::Record;
use crate::mutation::Change;
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// What the changes of one table cost: how many bytes of it are copied. The constants were read off the allocator, and a
/// test of the benches holds them to it.
struct Copied {
    /// Bytes of the topmost nodes: replaced once, however many changes there are.
    roots: usize,
    /// Bytes of the branches below them that lead to one entity.
    branches: usize,
    /// Bytes of the leaves.
    leaves: usize,
}

/// Of entities and documents.
const ENTITIES: Copied = Copied {
    roots: 700,
    branches: 150,
    leaves: 200,
};

/// Of relations: a block for each end, and what the relation says.
const RELATIONS: Copied = Copied {
    roots: 2_500,
    branches: 1_200,
    leaves: 600,
};

impl Copied {
    /// Bytes that so many changes copy, where so many branches are all that there are: many changes share most of theirs.
    fn by(&self, changes: usize, branches: usize) -> usize {
        if changes == 0 {
            return 0;
        }
        self.roots + changes.min(branches) * self.branches + changes * self.leaves
    }
}

/// Entities that share their branches.
const PER_BRANCH: usize = 256;

/// Changes that a read of an old revision may have to fold. An import makes hundreds of thousands in one second, and one
/// snapshot of that second would make the next one behind it a second's work.
const FOLDED_CHANGES: usize = 10_000;

/// How much the ring may hold.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// Bytes, by estimate.
    pub bytes: usize,
    /// Revisions.
    pub revisions: usize,
    /// Newest snapshots that are kept one by one.
    pub dense: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            bytes: HISTORY_BYTES,
            revisions: HISTORY_REVISIONS,
            dense: HISTORY_DENSE,
        }
    }
}

/// A revision that the ring no longer keeps, or that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is not kept: the oldest is {oldest}, the newest {newest}")]
pub struct NotKept {
    /// The revision that was asked for.
    pub asked: u64,
    /// The oldest that is kept.
    pub oldest: u64,
    /// The newest.
    pub newest: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    snapshot: Arc<Snapshot>,
    /// Changes between it and the next that is kept: what they replaced, this one holds alone.
    changed: Changed,
}

/// How much changed.
#[derive(Clone, Copy, Debug, Default)]
struct Changed {
    entities: usize,
    relations: usize,
}

impl Changed {
    fn by(records: &[Arc<Record>]) -> Self {
        let mut changed = Self::default();
        for change in records.iter().flat_map(|record| record.changes.iter()) {
            match change {
                Change::PutRelation { .. } | Change::RemoveRelation { .. } => {
                    changed.relations += 1;
                }
                Change::PutEntity { .. }
                | Change::RemoveEntity { .. }
                | Change::SetNode { .. }
                | Change::RemoveNode { .. }
                | Change::Restore { .. } => changed.entities += 1,
            }
        }
        changed
    }

    fn total(self) -> usize {
        self.entities + self.relations
    }

    fn and(self, more: Self) -> Self {
        Self {
            entities: self.entities + more.entities,
            relations: self.relations + more.relations,
        }
    }
}

impl Kept {
    /// Bytes that it holds alone, by estimate: one change copies a path in each table that it touches.
    fn charge(&self) -> usize {
        let branches = 1 + self.snapshot.entity_count() / PER_BRANCH;
        ENTITIES.by(self.changed.entities, branches)
            + RELATIONS.by(self.changed.relations, branches)
    }
}

/// Recent snapshots and the records between them.
#[derive(Clone, Debug)]
pub struct History {
    limits: HistoryLimits,
    snapshots: im::OrdMap<u64, Kept>,
    /// Records of the revisions after the oldest snapshot, up to the newest.
    records: im::Vector<Arc<Record>>,
    bytes: usize,
}

impl History {
    /// A ring that holds only `snapshot`.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, limits: HistoryLimits) -> Self {
        let kept = Kept {
            changed: Changed::default(),
            snapshot,
        };
        Self {
            limits,
            snapshots: im::OrdMap::unit(kept.snapshot.revision(), kept),
            records: im::Vector::new(),
            bytes: 0,
        }
    }

    /// A ring with the same bounds that holds only `snapshot`.
    #[must_use]
    pub(crate) fn begun_anew(&self, snapshot: Arc<Snapshot>) -> Self {
        Self::new(snapshot, self.limits)
    }

    /// The oldest revision that can be read.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.snapshots
            .get_min()
            .map_or(0, |&(revision, _)| revision)
    }

    /// The newest revision.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.snapshots
            .get_max()
            .map_or(0, |&(revision, _)| revision)
    }

    /// Bytes held, by estimate.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The state at `revision`. Cost: a fold of the records since the nearest kept snapshot, none among the newest.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn at(&self, revision: u64) -> Result<Arc<Snapshot>, NotKept> {
        let (oldest, newest) = (self.oldest(), self.newest());
        let not_kept = NotKept {
            asked: revision,
            oldest,
            newest,
        };
        if revision > newest {
            return Err(not_kept);
        }
        let (&base, kept) = self.snapshots.get_prev(&revision).ok_or(not_kept)?;
        if base == revision {
            return Ok(kept.snapshot.clone());
        }
        let mut snapshot = (*kept.snapshot).clone();
        for at in base + 1..=revision {
            let record = self.record(at).ok_or(not_kept)?;
            // These records were folded once already; if one does not fit now, memory is damaged, and no answer is better.
            snapshot.fold_in_place(record).map_err(|_| not_kept)?;
        }
        Ok(Arc::new(snapshot))
    }

    /// How many changes [`History::at`] folds for a revision.
    #[must_use]
    pub fn folded_for(&self, revision: u64) -> usize {
        let Some((&base, _)) = self.snapshots.get_prev(&revision) else {
            return 0;
        };
        let changes = |at| self.record(at).map_or(0, |record| record.changes.len());
        (base + 1..=revision).map(changes).sum()
    }

    /// The record of one revision.
    #[must_use]
    pub fn record(&self, revision: u64) -> Option<&Arc<Record>> {
        let index = revision.checked_sub(self.oldest() + 1)?;
        self.records.get(usize::try_from(index).ok()?)
    }

    /// Records from a revision on, at most `limit`; `None` when the ring no longer keeps the first of them.
    #[must_use]
    pub fn records_from(&self, from: u64, limit: usize) -> Option<Vec<Arc<Record>>> {
        if from > self.newest() {
            return Some(Vec::new());
        }
        let skip = usize::try_from(from.checked_sub(self.oldest() + 1)?).ok()?;
        Some(
            self.records
                .iter()
                .skip(skip)
                .take(limit)
                .cloned()
                .collect(),
        )
    }

    /// Appends a batch and the snapshot after it, and lets go of what the bounds no longer allow. What goes is returned, for
    /// a thread that has time to free it.
    #[must_use]
    pub fn push(&mut self, records: &[Arc<Record>], snapshot: Arc<Snapshot>) -> Vec<Arc<Snapshot>> {
        self.bytes += records.iter().map(|r| r.weight()).sum::<usize>();
        self.records.extend(records.iter().cloned());
        self.replaced(self.newest(), Changed::by(records));
        let kept = Kept {
            snapshot,
            changed: Changed::default(),
        };
        self.snapshots.insert(kept.snapshot.revision(), kept);
        let mut gone = Vec::new();
        self.thin(&mut gone);
        self.bound(&mut gone);
        gone
    }

    /// Of the snapshot that just left the dense end and the one before it, within one second only the older stays, unless
    /// too much would have to be folded then.
    fn thin(&mut self, gone: &mut Vec<Arc<Snapshot>>) {
        if self.snapshots.len() <= self.limits.dense + 1 {
            return;
        }
        let mut newest_first = self.snapshots.iter().rev().skip(self.limits.dense);
        let (Some((&leaving, kept)), Some((&before_it, before))) =
            (newest_first.next(), newest_first.next())
        else {
            return;
        };
        if kept.snapshot.time_ms() / 1_000 == before.snapshot.time_ms() / 1_000
            && before.changed.and(kept.changed).total() <= FOLDED_CHANGES
            && let Some(kept) = self.snapshots.remove(&leaving)
        {
            self.bytes -= kept.charge();
            self.replaced(before_it, kept.changed);
            gone.push(kept.snapshot);
        }
    }

    /// Notes that so much more has changed between a kept snapshot and the next.
    fn replaced(&mut self, revision: u64, more: Changed) {
        if let Some(kept) = self.snapshots.get_mut(&revision) {
            self.bytes -= kept.charge();
            kept.changed = kept.changed.and(more);
            self.bytes += kept.charge();
        }
    }

    fn bound(&mut self, gone: &mut Vec<Arc<Snapshot>>) {
        while self.snapshots.len() > 1
            && (self.bytes > self.limits.bytes || self.records.len() > self.limits.revisions)
        {
            let oldest = self.oldest();
            if let Some(kept) = self.snapshots.remove(&oldest) {
                self.bytes -= kept.charge();
                gone.push(kept.snapshot);
            }
            let behind = usize::try_from(self.oldest() - oldest)
                .unwrap_or(usize::MAX)
                .min(self.records.len());
            let kept = self.records.split_off(behind);
            let dropped = std::mem::replace(&mut self.records, kept);
            self.bytes -= dropped.iter().map(|r| r.weight()).sum::<usize>();
        }
    }
}
