//! Which relations a question follows, and which way.

use super::error::QueryError;
use crate::model::{EntityId, EntityRef, Label};
use crate::snapshot::{Adjacency, Neighbours, Snapshot};
use std::collections::HashSet;
use std::hint::black_box;

/// Which way relations are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From an entity to what it points at: what it needs.
    #[default]
    Out,
    /// From an entity to what points at it: who needs it.
    In,
    /// Both.
    Both,
}

impl Direction {
    /// The way back.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
            Self::Both => Self::Both,
        }
    }
}

/// The labels that a question follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Along {
    /// Every label.
    #[default]
    All,
    /// Only these; a label without relations leads nowhere.
    These(Vec<Label>),
}

impl Along {
    /// These labels, or every label if there are none: for paths, neighbours, subgraphs and pictures.
    #[must_use]
    pub fn or_all(labels: Vec<Label>) -> Self {
        if labels.is_empty() {
            Self::All
        } else {
            Self::These(labels)
        }
    }

    /// These labels, or `depends_on` if there are none: for impact and dependencies.
    #[must_use]
    pub fn or_dependencies(labels: Vec<Label>) -> Self {
        if labels.is_empty() {
            Self::These(vec![Label::depends_on()])
        } else {
            Self::These(labels)
        }
    }
}

/// The adjacencies behind some labels, sorted by label, with a direction.
pub(super) struct Ways<'a> {
    by_label: Vec<(&'a Label, &'a Adjacency)>,
    direction: Direction,
    ahead: Vec<Side<'a>>,
    behind: Vec<Side<'a>>,
}

/// One adjacency, seen from one end or from both.
pub(super) struct Side<'a> {
    adjacency: &'a Adjacency,
    direction: Direction,
}

impl<'a> Side<'a> {
    /// Looks up the neighbours of each of `ids`, in place of what is in `near`; how many relations lead to them.
    ///
    /// All of them together, and then the first of each list: these loads miss the cache and do not wait for each other, which
    /// they would between two visits. One loop for each direction: a choice within it would be made for each id.
    #[inline]
    pub(super) fn look_up(&self, ids: &[u32], near: &mut Vec<Neighbours<'a>>) -> usize {
        near.clear();
        let adjacency = self.adjacency;
        let ids = ids.iter().map(|id| EntityId::new(*id));
        match self.direction {
            Direction::Out => near.extend(ids.map(|id| adjacency.outgoing(id))),
            Direction::In => near.extend(ids.map(|id| adjacency.incoming(id))),
            Direction::Both => near.extend(ids.flat_map(|id| adjacency.both(id))),
        }
        black_box(near.iter().fold(0, |peeks, n| peeks ^ n.peek()));
        near.iter().map(|n| n.len()).sum()
    }

    #[inline]
    fn for_each(&self, id: u32, mut visit: impl FnMut(u32)) {
        let id = EntityId::new(id);
        match self.direction {
            Direction::Out => self.adjacency.outgoing(id).for_each(visit),
            Direction::In => self.adjacency.incoming(id).for_each(visit),
            Direction::Both => {
                for neighbours in self.adjacency.both(id) {
                    neighbours.for_each(&mut visit);
                }
            }
        }
    }

    fn all(by_label: &[(&'a Label, &'a Adjacency)], direction: Direction) -> Vec<Self> {
        let side = |&(_, adjacency)| Self {
            adjacency,
            direction,
        };
        by_label.iter().map(side).collect()
    }
}

impl<'a> Ways<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, along: &Along, direction: Direction) -> Self {
        let wanted = |label: &Label| match along {
            Along::All => true,
            Along::These(labels) => labels.contains(label),
        };
        let by_label: Vec<_> = snapshot
            .relations_by_label()
            .filter(|(label, _)| wanted(label))
            .map(|(label, relations)| (label, relations.adjacency()))
            .collect();
        Self {
            ahead: Side::all(&by_label, direction),
            behind: Side::all(&by_label, direction.reversed()),
            by_label,
            direction,
        }
    }

    /// What leads one step ahead.
    pub(super) fn ahead(&self) -> &[Side<'a>] {
        &self.ahead
    }

    /// Calls `visit` with everything from which one step leads to `id`.
    #[inline]
    pub(super) fn behind(&self, id: u32, mut visit: impl FnMut(u32)) {
        for side in &self.behind {
            side.for_each(id, &mut visit);
        }
    }

    /// Calls `visit` with the place of a label and everything that it leads to from `id`, outwards.
    pub(super) fn ahead_by_label(&self, id: u32, mut visit: impl FnMut(usize, u32)) {
        for (place, (_, adjacency)) in self.by_label.iter().enumerate() {
            adjacency
                .outgoing(EntityId::new(id))
                .for_each(|to| visit(place, to));
        }
    }

    /// The label at a place.
    pub(super) fn label(&self, place: usize) -> Option<&'a Label> {
        self.by_label.get(place).map(|(label, _)| *label)
    }

    /// The first label by which one step leads from `before` to `after`.
    pub(super) fn label_between(&self, before: u32, after: u32) -> Option<&'a Label> {
        let leads = |adjacency: &Adjacency| {
            let out = || adjacency.outgoing(EntityId::new(before)).contains(after);
            let into = || adjacency.incoming(EntityId::new(before)).contains(after);
            match self.direction {
                Direction::Out => out(),
                Direction::In => into(),
                Direction::Both => out() || into(),
            }
        };
        self.by_label
            .iter()
            .find(|(_, adjacency)| leads(adjacency))
            .map(|(label, _)| *label)
    }
}

/// The numbers of the entities that a question begins at, each once, in the order given.
pub(super) fn roots(snapshot: &Snapshot, refs: &[EntityRef]) -> Result<Vec<u32>, QueryError> {
    let id = |key: &EntityRef| -> Result<u32, QueryError> {
        let entity = snapshot.entity(key);
        let entity = entity.ok_or_else(|| QueryError::NotFound(key.clone()))?;
        Ok(entity.id.get())
    };
    // Most questions have one, which needs no set.
    if let [alone] = refs {
        return Ok(vec![id(alone)?]);
    }
    let mut found = Vec::with_capacity(refs.len());
    let mut seen = HashSet::new();
    for key in refs {
        let id = id(key)?;
        if seen.insert(id) {
            found.push(id);
        }
    }
    Ok(found)
}
