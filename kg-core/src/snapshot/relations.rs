//! The relations of one label: who is related to whom, and what each relation says.

use super::adjacency::Adjacency;
use crate::model::{EntityId, Object, Relation, RelationKey};
use im::ordmap::DiffItem;

/// What one relation says, beside its ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Anything that it says.
    pub properties: Object,
    /// Its place among the dependencies of its service.
    pub position: u32,
    /// Revision that created it.
    pub created_revision: u64,
    /// Revision that changed it last.
    pub modified_revision: u64,
}

impl Edge {
    /// The relation whose ends and label are these.
    #[must_use]
    pub fn relation(&self, key: RelationKey) -> Relation {
        Relation {
            key,
            properties: self.properties.clone(),
            position: self.position,
            created_revision: self.created_revision,
            modified_revision: self.modified_revision,
        }
    }
}

/// All relations of one label.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    adjacency: Adjacency,
    edges: im::OrdMap<(EntityId, EntityId), Edge>,
}

impl Relations {
    /// Both directions, by id: what traversals run on.
    #[must_use]
    pub fn adjacency(&self) -> &Adjacency {
        &self.adjacency
    }

    /// What the relation between these two says. O(log relations).
    #[must_use]
    pub fn edge(&self, from: EntityId, to: EntityId) -> Option<&Edge> {
        self.edges.get(&(from, to))
    }

    /// All relations, in no order that means anything.
    pub fn edges(&self) -> impl Iterator<Item = (EntityId, EntityId, &Edge)> {
        self.edges
            .iter()
            .map(|(&(from, to), edge)| (from, to, edge))
    }

    /// The relations behind one of them in the order of the ends' numbers, so that a long walk can stop and go on.
    pub fn edges_after(
        &self,
        last: Option<(EntityId, EntityId)>,
    ) -> impl Iterator<Item = (EntityId, EntityId, &Edge)> {
        use std::ops::Bound;
        let lower = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.edges
            .range((lower, Bound::Unbounded))
            .map(|(&(from, to), edge)| (from, to, edge))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// Calls `visit` with the ends of each relation that differs, what it said and what it says. What both versions share
    /// is passed over.
    pub(super) fn diff(
        &self,
        after: &Self,
        mut visit: impl FnMut(EntityId, EntityId, Option<&Edge>, Option<&Edge>),
    ) {
        for item in self.edges.diff(&after.edges) {
            match item {
                DiffItem::Remove(&(from, to), old) => visit(from, to, Some(old), None),
                DiffItem::Add(&(from, to), new) => visit(from, to, None, Some(new)),
                DiffItem::Update { old, new } => {
                    visit(new.0.0, new.0.1, Some(old.1), Some(new.1));
                }
            }
        }
    }

    pub(super) fn put(&mut self, from: EntityId, to: EntityId, edge: Edge) -> Option<Edge> {
        self.adjacency.insert(from, to);
        self.edges.insert((from, to), edge)
    }

    pub(super) fn remove(&mut self, from: EntityId, to: EntityId) -> Option<Edge> {
        self.adjacency.remove(from, to);
        self.edges.remove(&(from, to))
    }
}
