//! What the graph is made of: entities, relations, documents, and the words by which they are known.

pub mod entity;
pub mod id;
pub mod name;
pub mod path;
pub mod pattern;
pub mod relation;
pub mod service;
pub mod shape;
pub mod value;

pub use entity::{Body, Entity, EntityRef};
pub use id::EntityId;
pub use name::{Kind, Label, Name};
pub use path::{Part, Path};
pub use pattern::{
    Compensation, Input, Join, Output, PatternBody, PatternSpec, Retry, Step, ValueType,
};
pub use relation::{APPENDED, Relation, RelationKey};
pub use service::{Dependency, Endpoint, Health, Schema, ServiceBody, ServiceSpec};
pub use value::{Object, Value};
