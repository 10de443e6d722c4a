//! Records: one committed transaction as the log keeps it.
//!
//! A record is a protobuf message inside an envelope of version, checksum and body. Protobuf, because old logs must stay
//! readable; a checksum, because a flipped bit must be found; a version, because a server that meets one that it does not
//! know must stop there and say so. Properties and document values are canonical JSON inside the message.

use crate::model::value::object_json;
use crate::model::{
    Body, Endpoint, Entity, EntityId, EntityRef, Health, Kind, Label, Name, Object, Path,
    PatternBody, Relation, RelationKey, Schema, ServiceBody, Step, Value,
};
use crate::mutation::{Change, Request};
use crate::snapshot::RequestKey;
use prost::Message;
use std::sync::Arc;

/// Version of the envelope and the message that this program writes.
pub const RECORD_VERSION: u32 = 1;

/// One committed transaction.
#[derive(Clone, Debug)]
pub struct Record {
    /// The revision that it made.
    pub revision: u64,
    /// When, in milliseconds since 1970; never below its predecessor's.
    pub time_ms: u64,
    /// Who.
    pub actor: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// The request's own id; empty for none.
    pub request_id: Arc<str>,
    /// The request's identity, where it has one.
    pub request: Option<Request>,
    /// What it did.
    pub changes: Arc<[Change]>,
    /// Hash of the graph after it.
    pub hash: u128,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are damaged.
    #[error("record is damaged: {0}")]
    Corrupt(String),
    /// Another version of this program wrote it.
    #[error("record has version {found}, this program knows versions up to {RECORD_VERSION}")]
    UnknownVersion {
        /// The version found.
        found: u32,
    },
}

impl Record {
    /// The bytes that the log keeps.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = wire::Record::from(self).encode_to_vec();
        wire::Envelope {
            version: RECORD_VERSION,
            checksum: crc32c::crc32c(&body),
            body,
        }
        .encode_to_vec()
    }

    /// Reads a record back. Entities have no number yet: `fold` gives them theirs.
    ///
    /// # Errors
    /// [`DecodeError`], for damage and for an unknown version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let corrupt = |e: prost::DecodeError| DecodeError::Corrupt(e.to_string());
        let envelope = wire::Envelope::decode(bytes).map_err(corrupt)?;
        if envelope.version != RECORD_VERSION {
            return Err(DecodeError::UnknownVersion {
                found: envelope.version,
            });
        }
        let found = crc32c::crc32c(&envelope.body);
        if found != envelope.checksum {
            return Err(DecodeError::Corrupt(format!(
                "its checksum is {found:08x}, it says {:08x}",
                envelope.checksum
            )));
        }
        wire::Record::decode(&*envelope.body)
            .map_err(corrupt)?
            .try_into()
            .map_err(DecodeError::Corrupt)
    }

    /// A rough count of its bytes in memory, for bounds.
    #[must_use]
    pub fn weight(&self) -> usize {
        256 + self.reason.len() + self.changes.iter().map(Change::weight).sum::<usize>()
    }
}

/// The content of an entity as bytes: what its hash covers. Ids and revisions are no content.
#[must_use]
pub fn entity_content(entity: &Entity) -> Vec<u8> {
    let mut message = wire::Entity::from(entity);
    message.created_revision = 0;
    message.modified_revision = 0;
    message.encode_to_vec()
}

/// Bytes of an entity's encoded form, a measure of its text.
#[must_use]
pub fn entity_weight(entity: &Entity) -> usize {
    match &entity.body {
        Body::Plain | Body::Placeholder if entity.properties.is_empty() => 0,
        _ => wire::Entity::from(entity).encoded_len(),
    }
}

/// The messages, as protobuf sees them. Field numbers are for ever.
pub(crate) mod wire {
    #![allow(
        missing_docs,
        reason = "the domain types that these mirror are documented"
    )]

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Envelope {
        #[prost(uint32, tag = "1")]
        pub version: u32,
        #[prost(fixed32, tag = "2")]
        pub checksum: u32,
        #[prost(bytes = "vec", tag = "3")]
        pub body: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Record {
        #[prost(uint64, tag = "1")]
        pub revision: u64,
        #[prost(uint64, tag = "2")]
        pub time_ms: u64,
        #[prost(string, tag = "3")]
        pub actor: String,
        #[prost(string, tag = "4")]
        pub reason: String,
        #[prost(string, tag = "5")]
        pub request_id: String,
        #[prost(bytes = "vec", tag = "6")]
        pub request_key: Vec<u8>,
        #[prost(fixed64, tag = "7")]
        pub request_body: u64,
        #[prost(message, repeated, tag = "8")]
        pub changes: Vec<Change>,
        #[prost(bytes = "vec", tag = "9")]
        pub hash: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Change {
        #[prost(oneof = "ChangeKind", tags = "1, 2, 3, 4, 5, 6, 7")]
        pub kind: Option<ChangeKind>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    #[expect(
        clippy::large_enum_variant,
        reason = "decoded and taken apart at once, and most changes put an entity"
    )]
    pub enum ChangeKind {
        #[prost(message, tag = "1")]
        PutEntity(EntityPair),
        #[prost(message, tag = "2")]
        RemoveEntity(Entity),
        #[prost(message, tag = "3")]
        PutRelation(RelationPair),
        #[prost(message, tag = "4")]
        RemoveRelation(Relation),
        #[prost(message, tag = "5")]
        SetNode(Node),
        #[prost(message, tag = "6")]
        RemoveNode(Node),
        #[prost(message, tag = "7")]
        Restore(Restore),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct EntityPair {
        #[prost(message, optional, tag = "1")]
        pub entity: Option<Entity>,
        #[prost(message, optional, tag = "2")]
        pub previous: Option<Entity>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct RelationPair {
        #[prost(message, optional, tag = "1")]
        pub relation: Option<Relation>,
        #[prost(message, optional, tag = "2")]
        pub previous: Option<Relation>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Node {
        #[prost(string, tag = "1")]
        pub path: String,
        #[prost(string, tag = "2")]
        pub value: String,
        #[prost(string, optional, tag = "3")]
        pub previous: Option<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Restore {
        #[prost(string, tag = "1")]
        pub checkpoint: String,
        #[prost(bytes = "vec", tag = "2")]
        pub hash: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Entity {
        #[prost(string, tag = "1")]
        pub kind: String,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(string, tag = "3")]
        pub properties: String,
        #[prost(uint64, tag = "4")]
        pub created_revision: u64,
        #[prost(uint64, tag = "5")]
        pub modified_revision: u64,
        #[prost(oneof = "EntityBody", tags = "6, 7, 8")]
        pub body: Option<EntityBody>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum EntityBody {
        #[prost(bool, tag = "6")]
        Placeholder(bool),
        #[prost(message, tag = "7")]
        Service(Service),
        #[prost(message, tag = "8")]
        Pattern(Pattern),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Service {
        #[prost(string, tag = "1")]
        pub category: String,
        #[prost(string, tag = "2")]
        pub version: String,
        #[prost(string, tag = "3")]
        pub owner: String,
        #[prost(string, tag = "4")]
        pub description: String,
        #[prost(string, repeated, tag = "5")]
        pub capabilities: Vec<String>,
        #[prost(string, tag = "6")]
        pub proto_path: String,
        #[prost(string, repeated, tag = "7")]
        pub methods: Vec<String>,
        #[prost(message, repeated, tag = "8")]
        pub endpoints: Vec<Endpoint>,
        #[prost(string, repeated, tag = "9")]
        pub models: Vec<String>,
        #[prost(string, tag = "10")]
        pub health_check: String,
        #[prost(string, tag = "11")]
        pub metrics: String,
        #[prost(uint32, tag = "12")]
        pub health: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Endpoint {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub path: String,
        #[prost(string, tag = "3")]
        pub method: String,
        #[prost(string, tag = "4")]
        pub input_type: String,
        #[prost(string, tag = "5")]
        pub output_type: String,
        #[prost(string, tag = "6")]
        pub description: String,
        #[prost(string, repeated, tag = "7")]
        pub tags: Vec<String>,
        #[prost(string, tag = "8")]
        pub metadata: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Pattern {
        #[prost(string, tag = "1")]
        pub description: String,
        #[prost(string, tag = "2")]
        pub version: String,
        #[prost(string, tag = "3")]
        pub category: String,
        #[prost(string, tag = "4")]
        pub owner: String,
        #[prost(string, tag = "5")]
        pub origin: String,
        #[prost(bool, tag = "6")]
        pub active: bool,
        #[prost(message, repeated, tag = "7")]
        pub steps: Vec<Step>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Step {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(string, tag = "2")]
        pub kind: String,
        #[prost(string, tag = "3")]
        pub target: String,
        #[prost(string, repeated, tag = "4")]
        pub depends_on: Vec<String>,
        #[prost(string, tag = "5")]
        pub parameters: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Relation {
        #[prost(string, tag = "1")]
        pub from_kind: String,
        #[prost(string, tag = "2")]
        pub from_name: String,
        #[prost(string, tag = "3")]
        pub label: String,
        #[prost(string, tag = "4")]
        pub to_kind: String,
        #[prost(string, tag = "5")]
        pub to_name: String,
        #[prost(string, tag = "6")]
        pub properties: String,
        #[prost(uint32, tag = "7")]
        pub position: u32,
        #[prost(uint64, tag = "8")]
        pub created_revision: u64,
        #[prost(uint64, tag = "9")]
        pub modified_revision: u64,
    }
}

// To messages

impl From<&Record> for wire::Record {
    fn from(record: &Record) -> Self {
        Self {
            revision: record.revision,
            time_ms: record.time_ms,
            actor: record.actor.to_string(),
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

impl From<&Entity> for wire::Entity {
    fn from(entity: &Entity) -> Self {
        let body = match &entity.body {
            Body::Plain => None,
            Body::Placeholder => Some(wire::EntityBody::Placeholder(true)),
            Body::Service(body) => Some(wire::EntityBody::Service((&**body).into())),
            Body::Pattern(body) => Some(wire::EntityBody::Pattern((&**body).into())),
        };
        Self {
            kind: entity.key.kind.to_string(),
            name: entity.key.name.to_string(),
            properties: json(&entity.properties),
            created_revision: entity.created_revision,
            modified_revision: entity.modified_revision,
            body,
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

impl From<&PatternBody> for wire::Pattern {
    fn from(body: &PatternBody) -> Self {
        let step = |s: &Step| wire::Step {
            id: s.id.clone(),
            kind: s.kind.clone(),
            target: s.target.clone(),
            depends_on: s.depends_on.clone(),
            parameters: json(&s.parameters),
        };
        Self {
            description: body.description.clone(),
            version: body.version.clone(),
            category: body.category.clone(),
            owner: body.owner.clone(),
            origin: body.origin.clone(),
            active: body.active,
            steps: body.steps.iter().map(step).collect(),
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

impl TryFrom<wire::Pattern> for PatternBody {
    type Error = String;

    fn try_from(body: wire::Pattern) -> Result<Self, String> {
        let step = |s: wire::Step| {
            Ok::<_, String>(Step {
                id: s.id,
                kind: s.kind,
                target: s.target,
                depends_on: s.depends_on,
                parameters: object(&s.parameters)?,
            })
        };
        Ok(Self {
            description: body.description,
            version: body.version,
            category: body.category,
            owner: body.owner,
            origin: body.origin,
            active: body.active,
            steps: body.steps.into_iter().map(step).collect::<Result<_, _>>()?,
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
