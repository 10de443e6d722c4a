//! The messages of records and checkpoints, as protobuf sees them. Field numbers are for ever.
//!
//! Each mirrors a domain type; `convert` goes between the two.
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
    #[prost(string, tag = "10")]
    pub source: String,
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
    #[prost(message, repeated, tag = "8")]
    pub inputs: Vec<Input>,
    #[prost(message, repeated, tag = "9")]
    pub outputs: Vec<Output>,
    /// A list and no map, for a map has no order, and the bytes are hashed.
    #[prost(message, repeated, tag = "10")]
    pub classes: Vec<Class>,
    #[prost(uint32, tag = "11")]
    pub max_runs: u32,
    #[prost(uint32, tag = "12")]
    pub max_parallel: u32,
    #[prost(uint32, tag = "13")]
    pub timeout_ms: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Input {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub kind: String,
    #[prost(bool, tag = "3")]
    pub required: bool,
    #[prost(string, tag = "4")]
    pub default: String,
    #[prost(string, tag = "5")]
    pub description: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Output {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub kind: String,
    #[prost(string, tag = "3")]
    pub value: String,
    #[prost(string, tag = "4")]
    pub description: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Class {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub most: u32,
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
    #[prost(string, tag = "6")]
    pub action: String,
    #[prost(bool, tag = "7")]
    pub join_any: bool,
    #[prost(string, repeated, tag = "8")]
    pub required: Vec<String>,
    #[prost(string, repeated, tag = "9")]
    pub optional: Vec<String>,
    #[prost(message, optional, tag = "10")]
    pub retry: Option<Retry>,
    #[prost(uint32, tag = "11")]
    pub timeout_ms: u32,
    #[prost(uint32, tag = "12")]
    pub total_timeout_ms: u32,
    #[prost(string, tag = "13")]
    pub condition: String,
    #[prost(message, optional, tag = "14")]
    pub compensation: Option<Compensation>,
    #[prost(string, tag = "15")]
    pub class: String,
    #[prost(string, tag = "16")]
    pub description: String,
}

/// Each number as it is meant, never 0 for what is usual: what is usual may change, a definition that was written does not.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Retry {
    #[prost(uint32, tag = "1")]
    pub max_attempts: u32,
    #[prost(uint32, tag = "2")]
    pub backoff_ms: u32,
    #[prost(double, tag = "3")]
    pub multiplier: f64,
    #[prost(uint32, tag = "4")]
    pub max_backoff_ms: u32,
    #[prost(double, tag = "5")]
    pub jitter: f64,
    #[prost(string, repeated, tag = "6")]
    pub codes: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Compensation {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub target: String,
    #[prost(string, tag = "3")]
    pub action: String,
    #[prost(string, tag = "4")]
    pub parameters: String,
    #[prost(message, optional, tag = "5")]
    pub retry: Option<Retry>,
    #[prost(uint32, tag = "6")]
    pub timeout_ms: u32,
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
