//! Changes as watchers and committers are told them.

use amadeus_proto::v1;
use kg_core::model::{Entity, Path, Relation, Value};
use kg_core::mutation::Change;
use v1::change::{Kind, Previous, Subject, previous::State};

/// What is to be told of a change.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The revision that made it.
    pub revision: u64,
    /// Whether what stood there before is told too.
    pub previous: bool,
}

/// One change; `None` for a return to a checkpoint, which is no change of one thing.
///
/// A service comes without its dependencies: each is a relation, and a change of its own.
#[must_use]
pub fn change(told: Told, change: &Change) -> Option<v1::Change> {
    let (kind, subject, before) = match change {
        Change::PutEntity { entity, previous } => (
            kind_of(previous.is_some()),
            Subject::Entity(body(entity)),
            previous.as_ref().map(|before| State::Entity(body(before))),
        ),
        Change::RemoveEntity { previous } => (
            Kind::Deleted,
            Subject::Entity(entity_name(previous)),
            Some(State::Entity(body(previous))),
        ),
        Change::PutRelation { relation, previous } => (
            kind_of(previous.is_some()),
            Subject::Relation(super::relation(relation)),
            previous
                .as_ref()
                .map(|before| State::Relation(super::relation(before))),
        ),
        Change::RemoveRelation { previous } => (
            Kind::Deleted,
            Subject::Relation(relation_name(previous)),
            Some(State::Relation(super::relation(previous))),
        ),
        Change::SetNode {
            path,
            value,
            previous,
        } => (
            kind_of(previous.is_some()),
            Subject::Node(node(path, Some(value))),
            previous
                .as_ref()
                .map(|before| State::Node(node(path, Some(before)))),
        ),
        Change::RemoveNode { path, previous } => (
            Kind::Deleted,
            Subject::Node(node(path, None)),
            Some(State::Node(node(path, Some(previous)))),
        ),
        Change::Restore { .. } => return None,
    };
    Some(v1::Change {
        revision: told.revision,
        kind: kind.into(),
        subject: Some(subject),
        previous: before
            .filter(|_| told.previous)
            .map(|state| Previous { state: Some(state) }),
        too_large: false,
    })
}

/// The change without the values that make it larger than `bytes`: what stood there before, then what stands there.
#[must_use]
pub fn within(mut change: v1::Change, bytes: usize) -> v1::Change {
    use prost::Message;
    if change.encoded_len() > bytes {
        change.previous = None;
        change.too_large = true;
    }
    if change.encoded_len() > bytes {
        match &mut change.subject {
            Some(Subject::Node(node)) => node.value = None,
            Some(Subject::Entity(entity)) => (entity.properties, entity.body) = (None, None),
            Some(Subject::Relation(_)) | None => {}
        }
    }
    change
}

fn kind_of(existed: bool) -> Kind {
    if existed {
        Kind::Updated
    } else {
        Kind::Created
    }
}

fn body(entity: &Entity) -> v1::Entity {
    super::entity_with(entity, &[])
}

fn entity_name(entity: &Entity) -> v1::Entity {
    v1::Entity {
        r#ref: Some(super::entity_ref(&entity.key)),
        ..v1::Entity::default()
    }
}

fn relation_name(relation: &Relation) -> v1::Relation {
    v1::Relation {
        from: Some(super::entity_ref(&relation.key.from)),
        relation: relation.key.label.to_string(),
        to: Some(super::entity_ref(&relation.key.to)),
        ..v1::Relation::default()
    }
}

fn node(path: &Path, value: Option<&Value>) -> v1::Node {
    v1::Node {
        path: path.to_string(),
        value: value.map(super::value),
    }
}
