//! A record of the graph as the events that it is told by. Pure.

use std::sync::Arc;

use kg_core::log::Record;
use kg_core::model::{Entity, EntityRef, Health, Object, Relation, Value};
use kg_core::mutation::Change;

use super::super::event::NewEvent;

/// What a record is told by, in the order of its changes. A placeholder is no entity: a service is created when it registers.
pub(super) fn events(store_id: &str, record: &Record) -> Vec<NewEvent> {
    let mut events = Vec::new();
    for (number, change) in record.changes.iter().enumerate() {
        let told = |kind: String, entity: Option<EntityRef>, more: Vec<(&str, Value)>| NewEvent {
            id: format!("{store_id}/{}/{number}", record.revision).into(),
            kind: kind.into(),
            entity,
            correlation: "".into(),
            payload: payload(record, more),
            time_ms: record.time_ms,
            actor: record.actor.clone(),
        };
        let about = |entity: &Entity, what: &str| {
            let kind = format!("graph.{}.{what}", entity.key.kind);
            told(kind, Some(entity.key.clone()), Vec::new())
        };
        let between = |relation: &Relation, what: &str| {
            let key = &relation.key;
            let more = vec![
                ("from", Value::string(&key.from.to_string())),
                ("relation", Value::string(&key.label.to_string())),
                ("to", Value::string(&key.to.to_string())),
            ];
            told(
                format!("graph.relation.{what}"),
                Some(key.from.clone()),
                more,
            )
        };
        match change {
            Change::PutEntity { entity, previous } => {
                let before = previous
                    .as_deref()
                    .filter(|before| !before.is_placeholder());
                match (before, entity.is_placeholder()) {
                    (None, true) => {}
                    (None, false) => events.push(about(entity, "created")),
                    (Some(_), true) => events.push(about(entity, "deleted")),
                    (Some(_), false) => events.push(about(entity, "updated")),
                }
                let health =
                    |entity: &Entity| entity.service().map_or(Health::Unknown, |s| s.health);
                let (was, is) = (before.map_or(Health::Unknown, health), health(entity));
                if was != is && !entity.is_placeholder() {
                    let kind = format!("liveness.{}", is.as_str());
                    let more = vec![("previous", Value::string(was.as_str()))];
                    events.push(told(kind, Some(entity.key.clone()), more));
                }
            }
            Change::RemoveEntity { previous } if previous.is_placeholder() => {}
            Change::RemoveEntity { previous } => events.push(about(previous, "deleted")),
            Change::PutRelation { relation, previous } => {
                let what = if previous.is_some() {
                    "updated"
                } else {
                    "created"
                };
                events.push(between(relation, what));
            }
            Change::RemoveRelation { previous } => events.push(between(previous, "deleted")),
            Change::SetNode { path, previous, .. } => {
                let what = if previous.is_some() {
                    "updated"
                } else {
                    "created"
                };
                let more = vec![("path", Value::string(&path.to_string()))];
                events.push(told(format!("graph.document.{what}"), None, more));
            }
            Change::RemoveNode { path, .. } => {
                let more = vec![("path", Value::string(&path.to_string()))];
                events.push(told("graph.document.deleted".into(), None, more));
            }
            Change::Restore { checkpoint, .. } => {
                let more = vec![("checkpoint", Value::string(checkpoint))];
                events.push(told("graph.restored".into(), None, more));
            }
        }
    }
    events
}

/// Says that the revisions from `from` up to before `to` are not told.
pub(super) fn gap(store_id: &str, from: u64, to: u64) -> NewEvent {
    #[expect(clippy::cast_precision_loss, reason = "revisions stay far below 2^53")]
    let number = |revision: u64| Value::Number(revision as f64);
    let members = [("from_revision", number(from)), ("to_revision", number(to))];
    NewEvent {
        // Told again it may end elsewhere, for the log was compacted further meanwhile: then it is another one.
        id: format!("{store_id}/{from}-{to}/gap").into(),
        kind: "graph.gap".into(),
        entity: None,
        correlation: "".into(),
        payload: members
            .into_iter()
            .map(|(key, value)| (Arc::from(key), value))
            .collect(),
        time_ms: 0,
        actor: "".into(),
    }
}

fn payload(record: &Record, more: Vec<(&str, Value)>) -> Object {
    #[expect(clippy::cast_precision_loss, reason = "revisions stay far below 2^53")]
    let revision = Value::Number(record.revision as f64);
    let mut payload = Object::new();
    payload.insert("revision".into(), revision);
    payload.insert("actor".into(), Value::String(record.actor.clone()));
    if !record.reason.is_empty() {
        payload.insert("reason".into(), Value::String(record.reason.clone()));
    }
    for (key, value) in more {
        payload.insert(key.into(), value);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::gap;

    #[test]
    fn a_gap_that_has_grown_is_another_one_than_the_one_that_was_told() {
        let (one, same, grown) = (gap("s", 3, 7), gap("s", 3, 7), gap("s", 3, 9));
        assert_eq!(one.id, same.id);
        assert_ne!(one.id, grown.id);
    }
}
