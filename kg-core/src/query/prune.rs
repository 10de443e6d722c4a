//! Prune: what says nothing, and what nothing points at.
//!
//! A placeholder that somebody needs stays: it says that something is missing, and `validate` reports it. One that itself
//! says what it needs stays too.

use crate::model::{Body, Entity, EntityId, EntityRef, PatternBody, ServiceBody};
use crate::mutation::Mutation;
use crate::snapshot::Snapshot;

/// One entity that can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Which.
    pub key: EntityRef,
    /// Why nobody will miss it.
    pub reason: &'static str,
}

impl Idle {
    /// The mutation that removes it, refused if something points at it by then.
    #[must_use]
    pub fn mutation(&self) -> Mutation {
        Mutation::DeleteEntity {
            key: self.key.clone(),
            force: false,
        }
    }
}

/// Entities without relations that say nothing, ordered by kind and name. Cost: O(entities).
#[must_use]
pub fn prune(snapshot: &Snapshot) -> Vec<Idle> {
    let mut idle: Vec<Idle> = (0..snapshot.id_bound())
        .filter_map(|id| snapshot.by_id(EntityId::new(id)))
        .filter(|entity| !snapshot.has_incoming(entity.id) && !snapshot.has_outgoing(entity.id))
        .filter_map(|entity| {
            Some(Idle {
                key: entity.key.clone(),
                reason: emptiness(entity)?,
            })
        })
        .collect();
    idle.sort_by(|a, b| a.key.cmp(&b.key));
    idle
}

/// Why an entity says nothing, if it does.
pub(super) fn emptiness(entity: &Entity) -> Option<&'static str> {
    if !entity.properties.is_empty() {
        return None;
    }
    match &entity.body {
        Body::Plain => Some("has no properties and no relations"),
        Body::Placeholder => Some("never registered, and nothing depends on it"),
        Body::Service(body) if **body == ServiceBody::default() => {
            Some("is registered without anything but its name")
        }
        Body::Pattern(body) if **body == PatternBody::default() => {
            Some("is a pattern without anything but its name")
        }
        Body::Service(_) | Body::Pattern(_) => None,
    }
}
