//! Sorting entities by kind and name without touching most of the names.
//!
//! A comparison of two names follows four pointers. So each entity's rank of kind and the first sixteen bytes of its name
//! are read once; only names that agree in those are compared in full.

use crate::model::{EntityId, EntityRef, Kind};
use crate::snapshot::Snapshot;
use std::cmp::Ordering;

/// An entity and what usually decides its place.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    kind: u32,
    head: u128,
    pub(super) id: u32,
}

/// The order of entities by kind and name.
pub(super) struct Order<'a> {
    snapshot: &'a Snapshot,
    kinds: Vec<Kind>,
}

impl<'a> Order<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            kinds: snapshot.kinds(true),
        }
    }

    pub(super) fn key(&self, id: u32) -> Option<&'a EntityRef> {
        self.snapshot.by_id(EntityId::new(id)).map(|e| &e.key)
    }

    pub(super) fn place(&self, id: u32) -> Placed {
        let Some(key) = self.key(id) else {
            return Placed {
                kind: u32::MAX,
                head: 0,
                id,
            };
        };
        let kind = self.kinds.partition_point(|k| *k < key.kind);
        let name = key.name.as_str().as_bytes();
        let mut head = [0; 16];
        let known = name.len().min(head.len());
        head[..known].copy_from_slice(&name[..known]);
        Placed {
            kind: u32::try_from(kind).unwrap_or(u32::MAX),
            head: u128::from_be_bytes(head),
            id,
        }
    }

    pub(super) fn compare(&self, a: &Placed, b: &Placed) -> Ordering {
        (a.kind, a.head)
            .cmp(&(b.kind, b.head))
            .then_with(|| self.key(a.id).cmp(&self.key(b.id)))
    }

    /// Sorts ids by kind and name.
    pub(super) fn sorted(&self, ids: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut placed: Vec<Placed> = ids.into_iter().map(|id| self.place(id)).collect();
        placed.sort_unstable_by(|a, b| self.compare(a, b));
        placed.into_iter().map(|p| p.id).collect()
    }

    /// The entities behind ids, sorted by kind and name.
    pub(super) fn refs(&self, ids: impl IntoIterator<Item = u32>) -> Vec<EntityRef> {
        self.sorted(ids)
            .into_iter()
            .filter_map(|id| self.key(id).cloned())
            .collect()
    }

    /// Those that stand at the places `from..to` when all of `ids` are sorted; the rest is not sorted.
    pub(super) fn slice(&self, ids: &[u32], from: usize, to: usize) -> Vec<u32> {
        let mut placed: Vec<Placed> = ids.iter().map(|id| self.place(*id)).collect();
        let mut part = &mut placed[..];
        if to < part.len() {
            part.select_nth_unstable_by(to, |a, b| self.compare(a, b));
            part = &mut part[..to];
        }
        if from > 0 && from < part.len() {
            part.select_nth_unstable_by(from, |a, b| self.compare(a, b));
        }
        let part = part.get_mut(from..).unwrap_or_default();
        part.sort_unstable_by(|a, b| self.compare(a, b));
        part.iter().map(|p| p.id).collect()
    }
}
