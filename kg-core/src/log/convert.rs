//! Between records and their messages.
//!
//! What a checksum vouched for can still be wrong, if another program wrote it: so everything that comes back is parsed.

mod pattern;

use super::record::Record;
use super::wire;
use crate::model::value::object_json;
use crate::model::{
    Body, Endpoint, Entity, EntityId, EntityRef, Health, Kind, Label, Name, Object, Path, Relation,
    RelationKey, Schema, ServiceBody, Value,
};
use crate::mutation::{Change, Request};
use crate::snapshot::RequestKey;
use std::sync::Arc;

// To messages

impl From<&Record> for wire::Record {
    fn from(record: &Record) -> Self {
        Self {
            revision: record.revision,
            time_ms: record.time_ms,
            actor: record.actor.to_string(),
            source: record.source.to_string(),
            reason: record.reason.to_string(),
            request_id: record.request_id.to_string(),
            request_key: record
                .request
                .map_or_else(Vec::new, |r| r.key.0.to_le_bytes().to_vec()),
            request_body: record.request.map_or(0, |r| r.body),
            changes: record.changes.iter().map(wire::Change::from).collect(),
            hash: record.hash.to_le_bytes().to_vec(),
        }
    }
}

impl From<&Change> for wire::Change {
    fn from(change: &Change) -> Self {
        use wire::ChangeKind as K;
        let kind = match change {
            Change::PutEntity { entity, previous } => K::PutEntity(wire::EntityPair {
                entity: Some((&**entity).into()),
                previous: previous.as_deref().map(wire::Entity::from),
            }),
            Change::RemoveEntity { previous } => K::RemoveEntity((&**previous).into()),
            Change::PutRelation { relation, previous } => K::PutRelation(wire::RelationPair {
                relation: Some((&**relation).into()),
                previous: previous.as_deref().map(wire::Relation::from),
            }),
            Change::RemoveRelation { previous } => K::RemoveRelation((&**previous).into()),
            Change::SetNode {
                path,
                value,
                previous,
            } => K::SetNode(wire::Node {
                path: path.to_string(),
                value: value.to_json(),
                previous: previous.as_ref().map(Value::to_json),
            }),
            Change::RemoveNode { path, previous } => K::RemoveNode(wire::Node {
                path: path.to_string(),
                value: String::new(),
                previous: Some(previous.to_json()),
            }),
            Change::Restore {
                checkpoint, hash, ..
            } => K::Restore(wire::Restore {
                checkpoint: checkpoint.to_string(),
                hash: hash.to_le_bytes().to_vec(),
            }),
        };
        Self { kind: Some(kind) }
    }
}

/// The typed part of an entity, where it has one.
pub(super) fn entity_body(body: &Body) -> Option<wire::EntityBody> {
    match body {
        Body::Plain => None,
        Body::Placeholder => Some(wire::EntityBody::Placeholder(true)),
        Body::Service(body) => Some(wire::EntityBody::Service((&**body).into())),
        Body::Pattern(body) => Some(wire::EntityBody::Pattern((&**body).into())),
    }
}

impl From<&Entity> for wire::Entity {
    fn from(entity: &Entity) -> Self {
        Self {
            kind: entity.key.kind.to_string(),
            name: entity.key.name.to_string(),
            properties: json(&entity.properties),
            created_revision: entity.created_revision,
            modified_revision: entity.modified_revision,
            body: entity_body(&entity.body),
        }
    }
}

impl From<&ServiceBody> for wire::Service {
    fn from(body: &ServiceBody) -> Self {
        Self {
            category: body.category.clone(),
            version: body.version.clone(),
            owner: body.owner.clone(),
            description: body.description.clone(),
            capabilities: body.capabilities.iter().map(|c| c.to_string()).collect(),
            proto_path: body.schema.proto_path.clone(),
            methods: body.schema.methods.clone(),
            endpoints: body.endpoints.iter().map(wire::Endpoint::from).collect(),
            models: body.models.clone(),
            health_check: body.health_check.clone(),
            metrics: body.metrics.clone(),
            health: body.health as u32,
        }
    }
}

impl From<&Endpoint> for wire::Endpoint {
    fn from(e: &Endpoint) -> Self {
        Self {
            name: e.name.clone(),
            path: e.path.clone(),
            method: e.method.clone(),
            input_type: e.input_type.clone(),
            output_type: e.output_type.clone(),
            description: e.description.clone(),
            tags: e.tags.clone(),
            metadata: json(&e.metadata),
        }
    }
}

impl From<&Relation> for wire::Relation {
    fn from(relation: &Relation) -> Self {
        Self {
            from_kind: relation.key.from.kind.to_string(),
            from_name: relation.key.from.name.to_string(),
            label: relation.key.label.to_string(),
            to_kind: relation.key.to.kind.to_string(),
            to_name: relation.key.to.name.to_string(),
            properties: json(&relation.properties),
            position: relation.position,
            created_revision: relation.created_revision,
            modified_revision: relation.modified_revision,
        }
    }
}

/// Canonical JSON, with nothing for an empty object.
fn json(object: &Object) -> String {
    if object.is_empty() {
        String::new()
    } else {
        object_json(object)
    }
}

// From messages. What a checksum vouched for can still be wrong if another program wrote it, so everything is parsed.

impl TryFrom<wire::Record> for Record {
    type Error = String;

    fn try_from(record: wire::Record) -> Result<Self, String> {
        let request = match record.request_key.as_slice() {
            [] => None,
            bytes => Some(Request {
                key: RequestKey(u128::from_le_bytes(sixteen(bytes)?)),
                body: record.request_body,
            }),
        };
        Ok(Self {
            revision: record.revision,
            time_ms: record.time_ms,
            actor: record.actor.into(),
            source: record.source.into(),
            reason: record.reason.into(),
            request_id: record.request_id.into(),
            request,
            changes: record
                .changes
                .into_iter()
                .map(Change::try_from)
                .collect::<Result<Vec<_>, _>>()?
                .into(),
            hash: u128::from_le_bytes(sixteen(&record.hash)?),
        })
    }
}

fn sixteen(bytes: &[u8]) -> Result<[u8; 16], String> {
    bytes
        .try_into()
        .map_err(|_| format!("16 bytes expected, {} found", bytes.len()))
}

impl TryFrom<wire::Change> for Change {
    type Error = String;

    fn try_from(change: wire::Change) -> Result<Self, String> {
        use wire::ChangeKind as K;
        let absent = || "a change without its subject".to_owned();
        Ok(match change.kind.ok_or_else(absent)? {
            K::PutEntity(pair) => Self::PutEntity {
                entity: Arc::new(pair.entity.ok_or_else(absent)?.try_into()?),
                previous: pair
                    .previous
                    .map(Entity::try_from)
                    .transpose()?
                    .map(Arc::new),
            },
            K::RemoveEntity(previous) => Self::RemoveEntity {
                previous: Arc::new(previous.try_into()?),
            },
            K::PutRelation(pair) => Self::PutRelation {
                relation: Arc::new(pair.relation.ok_or_else(absent)?.try_into()?),
                previous: pair
                    .previous
                    .map(Relation::try_from)
                    .transpose()?
                    .map(Arc::new),
            },
            K::RemoveRelation(previous) => Self::RemoveRelation {
                previous: Arc::new(previous.try_into()?),
            },
            K::SetNode(node) => Self::SetNode {
                path: path(&node.path)?,
                value: value(&node.value)?,
                previous: node.previous.as_deref().map(value).transpose()?,
            },
            K::RemoveNode(node) => Self::RemoveNode {
                path: path(&node.path)?,
                previous: value(node.previous.as_deref().ok_or_else(absent)?)?,
            },
            K::Restore(restore) => Self::Restore {
                checkpoint: restore.checkpoint.into(),
                hash: u128::from_le_bytes(sixteen(&restore.hash)?),
                content: None,
            },
        })
    }
}

fn path(text: &str) -> Result<Path, String> {
    Path::parse(text).map_err(|f| f.to_string())
}

fn value(text: &str) -> Result<Value, String> {
    Value::from_json(text.as_bytes()).map_err(|f| f.to_string())
}

fn object(text: &str) -> Result<Object, String> {
    if text.is_empty() {
        return Ok(Object::new());
    }
    match value(text)? {
        Value::Object(members) => Ok(members),
        other => Err(format!("an object expected, {} found", other.type_name())),
    }
}

fn key(kind: &str, name: &str) -> Result<EntityRef, String> {
    // The two kinds that fill most graphs share one string each.
    let kind = match kind {
        "service" => Kind::service(),
        "pattern" => Kind::pattern(),
        other => Kind::parse("kind", other).map_err(|f| f.to_string())?,
    };
    Ok(EntityRef {
        kind,
        name: Name::parse("name", name).map_err(|f| f.to_string())?,
    })
}

impl TryFrom<wire::Entity> for Entity {
    type Error = String;

    fn try_from(entity: wire::Entity) -> Result<Self, String> {
        let body = match entity.body {
            None => Body::Plain,
            Some(wire::EntityBody::Placeholder(_)) => Body::Placeholder,
            Some(wire::EntityBody::Service(body)) => Body::Service(Box::new(body.try_into()?)),
            Some(wire::EntityBody::Pattern(body)) => Body::Pattern(Box::new(body.try_into()?)),
        };
        Ok(Self {
            id: EntityId::new(u32::MAX),
            key: key(&entity.kind, &entity.name)?,
            body,
            properties: object(&entity.properties)?,
            created_revision: entity.created_revision,
            modified_revision: entity.modified_revision,
            digest: Default::default(),
            wire: Default::default(),
        })
    }
}

impl TryFrom<wire::Service> for ServiceBody {
    type Error = String;

    fn try_from(body: wire::Service) -> Result<Self, String> {
        let health = [Health::Unknown, Health::Up, Health::Degraded, Health::Down];
        let health = health
            .into_iter()
            .find(|h| *h as u32 == body.health)
            .ok_or_else(|| format!("unknown health {}", body.health))?;
        Ok(Self {
            category: body.category,
            version: body.version,
            owner: body.owner,
            description: body.description,
            capabilities: body.capabilities.into_iter().map(Arc::from).collect(),
            schema: Schema {
                proto_path: body.proto_path,
                methods: body.methods,
            },
            endpoints: body
                .endpoints
                .into_iter()
                .map(Endpoint::try_from)
                .collect::<Result<_, _>>()?,
            models: body.models,
            health_check: body.health_check,
            metrics: body.metrics,
            health,
        })
    }
}

impl TryFrom<wire::Endpoint> for Endpoint {
    type Error = String;

    fn try_from(e: wire::Endpoint) -> Result<Self, String> {
        Ok(Self {
            name: e.name,
            path: e.path,
            method: e.method,
            input_type: e.input_type,
            output_type: e.output_type,
            description: e.description,
            tags: e.tags,
            metadata: object(&e.metadata)?,
        })
    }
}

impl TryFrom<wire::Relation> for Relation {
    type Error = String;

    fn try_from(relation: wire::Relation) -> Result<Self, String> {
        let label = match relation.label.as_str() {
            "depends_on" => Label::depends_on(),
            other => Label::parse("label", other).map_err(|f| f.to_string())?,
        };
        Ok(Self {
            key: RelationKey {
                from: key(&relation.from_kind, &relation.from_name)?,
                label,
                to: key(&relation.to_kind, &relation.to_name)?,
            },
            properties: object(&relation.properties)?,
            position: relation.position,
            created_revision: relation.created_revision,
            modified_revision: relation.modified_revision,
        })
    }
}
