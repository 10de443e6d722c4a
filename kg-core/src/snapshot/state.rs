//! The snapshot: the whole graph at one revision.
//!
//! Every part is a persistent structure, so that a clone costs a handful of reference counts and a change copies a path.
//! The table of names holds the entity itself: name to id to vector would cost twice the cache misses. Traversals go by id.

use super::index::Indexes;
use super::relations::Relations;
use super::requests::Requests;
use super::table::Table;
use crate::model::{
    Dependency, Entity, EntityId, EntityRef, Kind, Label, Name, Object, Relation, RelationKey,
};
use std::fmt;
use std::sync::Arc;

/// The published state of the graph at one revision. Immutable for whoever holds it.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(crate) revision: u64,
    pub(crate) time_ms: u64,
    pub(crate) hash: u128,
    pub(super) entities: Table,
    pub(super) next_id: u32,
    pub(super) indexes: Indexes,
    pub(super) relations: im::OrdMap<Label, Relations>,
    pub(super) relation_count: usize,
    pub(super) documents: Object,
    pub(super) sections: im::OrdMap<Arc<str>, u64>,
    pub(crate) requests: Requests,
}

impl Snapshot {
    /// The empty graph at revision 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The revision that this is the state of.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When that revision was committed, in milliseconds since 1970; never below its predecessor's.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The hash of the content.
    #[must_use]
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The entity of this kind and name. O(1).
    #[must_use]
    pub fn entity(&self, key: &EntityRef) -> Option<&Arc<Entity>> {
        self.entities.get(key)
    }

    /// The entity of this kind and name, from plain strings.
    #[must_use]
    pub fn find(&self, kind: &str, name: &str) -> Option<&Arc<Entity>> {
        self.entities.find(kind, name)
    }

    /// The service of this name, registered or a placeholder.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<Entity>> {
        self.find("service", name)
    }

    /// The entity with this number.
    #[must_use]
    pub fn by_id(&self, id: EntityId) -> Option<&Arc<Entity>> {
        self.entities.by_id(id)
    }

    /// One more than the highest number that an entity of this snapshot can have; the size of a visited set.
    #[must_use]
    pub fn id_bound(&self) -> u32 {
        self.next_id
    }

    /// How many entities there are, placeholders among them.
    #[must_use]
    pub fn entity_count(&self) -> usize {
        self.entities.len()
    }

    /// How many relations there are.
    #[must_use]
    pub fn relation_count(&self) -> usize {
        self.relation_count
    }

    /// A rough count of its bytes in memory, as docs/BENCHMARKS.md measures them for small entities.
    #[must_use]
    pub fn weight(&self) -> usize {
        const ENTITY: usize = 640;
        const RELATION: usize = 96;
        self.entity_count() * ENTITY + self.relation_count * RELATION
    }

    /// The secondary indexes.
    #[must_use]
    pub fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// All entities, in no order that means anything.
    pub fn entities(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.iter()
    }

    /// Names of one kind from `after` on (exclusive), sorted; with the placeholders where that is asked for.
    pub fn names<'a>(
        &'a self,
        kind: &Kind,
        after: Option<&Name>,
        placeholders: bool,
    ) -> Box<dyn Iterator<Item = &'a Name> + 'a> {
        use std::ops::Bound;
        let range = (
            after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone())),
            Bound::Unbounded,
        );
        let plain = self.indexes.kinds.get(kind).into_iter().flat_map({
            let range = range.clone();
            move |names| names.range(range.clone())
        });
        if !placeholders || kind.as_str() != "service" {
            return Box::new(plain);
        }
        Box::new(Merge {
            left: plain.peekable(),
            right: self.indexes.placeholders.range(range).peekable(),
        })
    }

    /// Kinds that have entities, sorted; with `service` if only placeholders stand for it and they are asked for.
    #[must_use]
    pub fn kinds(&self, placeholders: bool) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.indexes.kinds.keys().cloned().collect();
        if placeholders
            && !self.indexes.placeholders.is_empty()
            && !self.indexes.kinds.contains_key(&Kind::service())
        {
            kinds.push(Kind::service());
            kinds.sort();
        }
        kinds
    }

    /// Labels that have relations, sorted.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        self.relations.keys()
    }

    /// All relations of a label.
    #[must_use]
    pub fn relations(&self, label: &str) -> Option<&Relations> {
        self.relations.get(label)
    }

    /// All relations, by label.
    pub fn relations_by_label(&self) -> impl Iterator<Item = (&Label, &Relations)> {
        self.relations.iter()
    }

    /// One relation. O(log relations).
    #[must_use]
    pub fn relation(&self, key: &RelationKey) -> Option<Relation> {
        let from = self.entity(&key.from)?.id;
        let to = self.entity(&key.to)?.id;
        let edge = self.relations(key.label.as_str())?.edge(from, to)?;
        Some(edge.relation(key.clone()))
    }

    /// The relation between two entities of this snapshot, by number.
    #[must_use]
    pub fn relation_by_id(&self, label: &Label, from: EntityId, to: EntityId) -> Option<Relation> {
        let key = RelationKey {
            from: self.by_id(from)?.key.clone(),
            label: label.clone(),
            to: self.by_id(to)?.key.clone(),
        };
        self.relation(&key)
    }

    /// What a service depends on, in the order in which it was given. O(d log d) in the number of its dependencies.
    #[must_use]
    pub fn dependencies(&self, service: &Entity) -> Vec<Dependency> {
        let Some(relations) = self.relations("depends_on") else {
            return Vec::new();
        };
        let mut found = Vec::new();
        relations.adjacency().outgoing(service.id).for_each(|to| {
            let to = EntityId::new(to);
            if let (Some(target), Some(edge)) = (self.by_id(to), relations.edge(service.id, to))
                && target.key.is_service()
            {
                found.push((edge, target));
            }
        });
        found.sort_by(|(a, x), (b, y)| {
            (a.position, a.created_revision, &x.key.name).cmp(&(
                b.position,
                b.created_revision,
                &y.key.name,
            ))
        });
        found
            .into_iter()
            .map(|(edge, target)| {
                Dependency::from_relation(target.key.name.clone(), &edge.properties)
            })
            .collect()
    }

    /// Whether anything points at this entity.
    #[must_use]
    pub fn has_incoming(&self, id: EntityId) -> bool {
        self.relations
            .values()
            .any(|r| !r.adjacency().incoming(id).is_empty())
    }

    /// Whether this entity points at anything.
    #[must_use]
    pub fn has_outgoing(&self, id: EntityId) -> bool {
        self.relations
            .values()
            .any(|r| !r.adjacency().outgoing(id).is_empty())
    }

    /// The untyped sections.
    #[must_use]
    pub fn documents(&self) -> &Object {
        &self.documents
    }

    /// Revision that last changed a section of the documents.
    #[must_use]
    pub fn section_revision(&self, section: &str) -> Option<u64> {
        self.sections.get(section).copied()
    }

    /// Sections of the documents with the revision that changed each last.
    pub fn sections(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.sections
            .iter()
            .map(|(name, revision)| (name, *revision))
    }

    /// The remembered requests.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.requests
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entities, relations) = (self.entity_count(), self.relation_count());
        write!(
            f,
            "Snapshot(revision {}, {entities} entities, {relations} relations)",
            self.revision
        )
    }
}

/// Two sorted streams as one.
struct Merge<L: Iterator, R: Iterator> {
    left: std::iter::Peekable<L>,
    right: std::iter::Peekable<R>,
}

impl<'a, L: Iterator<Item = &'a Name>, R: Iterator<Item = &'a Name>> Iterator for Merge<L, R> {
    type Item = &'a Name;

    fn next(&mut self) -> Option<&'a Name> {
        match (self.left.peek(), self.right.peek()) {
            (Some(l), Some(r)) if l <= r => self.left.next(),
            (_, Some(_)) => self.right.next(),
            (_, None) => self.left.next(),
        }
    }
}
