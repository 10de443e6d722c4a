//! The model's types as the wire's messages.

mod change;
mod pattern;
pub mod run;
mod user;

pub use change::{Told, change, within};
pub use pattern::pattern;
pub use user::{grant, grants, role, status as user_status, user};

use amadeus_proto::v1;
use kg_core::model::{
    Body, Dependency, Entity, EntityRef, Health, Object, Relation, ServiceBody, Value,
};
use kg_core::snapshot::Snapshot;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value as Wire};

/// A value.
#[must_use]
pub fn value(value: &Value) -> Wire {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(*n),
        Value::String(text) => Kind::StringValue(text.to_string()),
        Value::List(items) => Kind::ListValue(ListValue {
            values: items.iter().map(self::value).collect(),
        }),
        Value::Object(members) => Kind::StructValue(object(members)),
    };
    Wire { kind: Some(kind) }
}

/// The members of an object.
#[must_use]
pub fn object(members: &Object) -> Struct {
    Struct {
        fields: members
            .iter()
            .map(|(key, member)| (key.to_string(), value(member)))
            .collect(),
    }
}

/// Properties; absent where there are none.
#[must_use]
pub fn properties(members: &Object) -> Option<Struct> {
    (!members.is_empty()).then(|| object(members))
}

/// A name of an entity.
#[must_use]
pub fn entity_ref(key: &EntityRef) -> v1::EntityRef {
    v1::EntityRef {
        kind: key.kind.to_string(),
        name: key.name.to_string(),
    }
}

/// Names of entities.
#[must_use]
pub fn entity_refs(keys: &[EntityRef]) -> Vec<v1::EntityRef> {
    keys.iter().map(entity_ref).collect()
}

/// An entity as a read shows it: a service with its dependencies.
#[must_use]
pub fn entity(snapshot: &Snapshot, entity: &Entity) -> v1::Entity {
    let dependencies = match entity.body {
        Body::Service(_) | Body::Placeholder => snapshot.dependencies(entity),
        Body::Plain | Body::Pattern(_) => Vec::new(),
    };
    entity_with(entity, &dependencies)
}

/// An entity with these dependencies.
#[must_use]
pub fn entity_with(entity: &Entity, dependencies: &[Dependency]) -> v1::Entity {
    let body = match &entity.body {
        Body::Plain => None,
        Body::Service(_) | Body::Placeholder => Some(v1::entity::Body::Service(service_with(
            entity,
            dependencies,
        ))),
        Body::Pattern(body) => Some(v1::entity::Body::Pattern(pattern(entity, body))),
    };
    v1::Entity {
        r#ref: Some(entity_ref(&entity.key)),
        properties: properties(&entity.properties),
        created_revision: entity.created_revision,
        modified_revision: entity.modified_revision,
        body,
    }
}

/// A service as a read shows it.
#[must_use]
pub fn service(snapshot: &Snapshot, entity: &Entity) -> v1::Service {
    service_with(entity, &snapshot.dependencies(entity))
}

fn service_with(entity: &Entity, dependencies: &[Dependency]) -> v1::Service {
    let plain = ServiceBody::default();
    let body = entity.service().unwrap_or(&plain);
    let schema = &body.schema;
    let has_schema = !schema.proto_path.is_empty() || !schema.methods.is_empty();
    v1::Service {
        name: entity.key.name.to_string(),
        category: body.category.clone(),
        version: body.version.clone(),
        owner: body.owner.clone(),
        capabilities: body.capabilities.iter().map(ToString::to_string).collect(),
        dependencies: dependencies.iter().map(dependency).collect(),
        schema: has_schema.then(|| v1::Schema {
            proto_path: schema.proto_path.clone(),
            methods: schema.methods.clone(),
        }),
        endpoints: body.endpoints.iter().map(endpoint).collect(),
        models: body.models.clone(),
        health_check: body.health_check.clone(),
        metrics: body.metrics.clone(),
        metadata: properties(&entity.properties),
        health: health(body.health).into(),
        registered: !entity.is_placeholder(),
        created_revision: entity.created_revision,
        modified_revision: entity.modified_revision,
        description: (!body.description.is_empty()).then(|| body.description.clone()),
    }
}

fn dependency(dependency: &Dependency) -> v1::Dependency {
    v1::Dependency {
        service: dependency.service.to_string(),
        version: dependency.version.clone(),
        optional: dependency.optional,
        properties: properties(&dependency.properties),
    }
}

fn endpoint(endpoint: &kg_core::model::Endpoint) -> v1::Endpoint {
    v1::Endpoint {
        name: endpoint.name.clone(),
        path: endpoint.path.clone(),
        method: endpoint.method.clone(),
        input_type: endpoint.input_type.clone(),
        output_type: endpoint.output_type.clone(),
        description: endpoint.description.clone(),
        tags: endpoint.tags.clone(),
        metadata: properties(&endpoint.metadata),
    }
}

/// A health.
#[must_use]
pub fn health(health: Health) -> v1::Health {
    match health {
        Health::Unknown => v1::Health::Unknown,
        Health::Up => v1::Health::Up,
        Health::Degraded => v1::Health::Degraded,
        Health::Down => v1::Health::Down,
    }
}

/// A relation.
#[must_use]
pub fn relation(relation: &Relation) -> v1::Relation {
    v1::Relation {
        from: Some(entity_ref(&relation.key.from)),
        relation: relation.key.label.to_string(),
        to: Some(entity_ref(&relation.key.to)),
        properties: properties(&relation.properties),
        created_revision: relation.created_revision,
        modified_revision: relation.modified_revision,
    }
}

/// A moment, from milliseconds since 1970.
#[must_use]
pub fn timestamp(ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0),
    }
}

/// A count.
#[must_use]
pub fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A hash, as 32 hexadecimal digits.
#[must_use]
pub fn hash(hash: u128) -> String {
    format!("{hash:032x}")
}
