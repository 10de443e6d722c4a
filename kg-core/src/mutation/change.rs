//! Changes: what a committed transaction did, in full.
//!
//! A record holds changes and not the request, so that replay and followers decide nothing. Each carries what was there
//! before, so that a watcher, a diff and an undo need no second look at the past.

use crate::log::record::entity_weight;
use crate::model::value::object_weight;
use crate::model::{Body, Entity, EntityRef, Path, Relation, Value};
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// One change of the graph.
#[derive(Clone, Debug)]
pub enum Change {
    /// An entity was created or replaced.
    PutEntity {
        /// As it is now.
        entity: Arc<Entity>,
        /// As it was; `None` when it was created.
        previous: Option<Arc<Entity>>,
    },
    /// An entity was removed; none of its relations stands any more.
    RemoveEntity {
        /// As it was.
        previous: Arc<Entity>,
    },
    /// A relation was created or replaced.
    PutRelation {
        /// As it is now.
        relation: Arc<Relation>,
        /// As it was; `None` when it was created.
        previous: Option<Arc<Relation>>,
    },
    /// A relation was removed.
    RemoveRelation {
        /// As it was.
        previous: Arc<Relation>,
    },
    /// A document node was created or replaced.
    SetNode {
        /// Where.
        path: Path,
        /// What stands there now.
        value: Value,
        /// What stood there; `None` when it was created.
        previous: Option<Value>,
    },
    /// A document node was removed; items behind it in a list moved up.
    RemoveNode {
        /// Where.
        path: Path,
        /// What stood there.
        previous: Value,
    },
    /// The whole graph went back to a stored checkpoint.
    Restore {
        /// Name of the checkpoint in the store.
        checkpoint: Arc<str>,
        /// Its hash, so that another file under that name is found out.
        hash: u128,
        /// Its content, once somebody has loaded it. A record read from a log has none until then.
        content: Option<Arc<Snapshot>>,
    },
}

impl Change {
    /// The entity that it is about, if it is about one.
    pub(crate) fn entity_key(&self) -> Option<&EntityRef> {
        match self {
            Self::PutEntity { entity, .. } => Some(&entity.key),
            Self::RemoveEntity { previous } => Some(&previous.key),
            Self::PutRelation { .. }
            | Self::RemoveRelation { .. }
            | Self::SetNode { .. }
            | Self::RemoveNode { .. }
            | Self::Restore { .. } => None,
        }
    }

    /// Holds what the graph holds, before the record and, where this is the last change of its entity, after it. What stood in
    /// between is of the record's own revision, and is known by that.
    pub(crate) fn share(&mut self, before: Option<&Arc<Entity>>, after: Option<&Snapshot>) {
        let same = |own: &mut Arc<Entity>, known: Option<&Arc<Entity>>| {
            let is_same = |known: &&Arc<Entity>| known.modified_revision == own.modified_revision;
            if let Some(known) = known.filter(is_same) {
                *own = known.clone();
            }
        };
        match self {
            Self::PutEntity { entity, previous } => {
                if let Some(previous) = previous {
                    same(previous, before);
                }
                let key = entity.key.clone();
                same(entity, after.and_then(|after| after.entity(&key)));
            }
            Self::RemoveEntity { previous } => same(previous, before),
            Self::PutRelation { .. }
            | Self::RemoveRelation { .. }
            | Self::SetNode { .. }
            | Self::RemoveNode { .. }
            | Self::Restore { .. } => {}
        }
    }

    /// A rough count of the bytes that this change holds in memory, for bounds.
    #[must_use]
    pub fn weight(&self) -> usize {
        // An entity costs its text; the constants stand for the fixed parts and were read off the allocator.
        let entity = |e: &Entity| {
            let body = match e.body {
                Body::Plain | Body::Placeholder => object_weight(&e.properties),
                Body::Service(_) | Body::Pattern(_) => entity_weight(e),
            };
            256 + 2 * e.key.name.as_str().len() + body
        };
        let relation = |r: &Relation| 160 + object_weight(&r.properties);
        match self {
            Self::PutEntity { entity: e, .. } => entity(e),
            Self::RemoveEntity { previous } => entity(previous),
            Self::PutRelation { relation: r, .. } => relation(r),
            Self::RemoveRelation { previous } => relation(previous),
            Self::SetNode { value, .. } => 128 + value.weight(),
            Self::RemoveNode { previous, .. } => 128 + previous.weight(),
            // The ring holds all of what was restored, which shares nothing with what stood before.
            Self::Restore { content, .. } => 128 + content.as_ref().map_or(0, |c| c.weight()),
        }
    }
}
