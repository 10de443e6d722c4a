//! What the servers are asked: services that say about as much as real ones do, and entities that a write changes.

use std::collections::BTreeMap;

use amadeus_proto::v1::{
    CommitRequest, Dependency, Endpoint, Entity, EntityRef, Mutation, PutEntityRequest,
    RegisterServiceRequest, Schema, Service, mutation,
};
use prost_types::{Struct, Value, value::Kind};

pub const GET_SERVICE: &str = "/amadeus.v1.GraphService/GetService";
pub const PUT_ENTITY: &str = "/amadeus.v1.GraphService/PutEntity";
pub const GET_ENTITY: &str = "/amadeus.v1.GraphService/GetEntity";
pub const COMMIT: &str = "/amadeus.v1.GraphService/Commit";

/// A stride that visits every name and is no friend of the cache.
const STRIDE: u64 = 7_919;

/// The name that the call with this number is about.
pub fn name(number: u64, of: u64) -> String {
    format!("checkout-{:07}", number.wrapping_mul(STRIDE) % of)
}

/// Transactions that register so many services, each small enough for one frame.
pub fn registrations(count: u64) -> impl Iterator<Item = CommitRequest> {
    let mutation = move |number| Mutation {
        mutation: Some(mutation::Mutation::RegisterService(
            RegisterServiceRequest {
                service: Some(service(name(number, count))),
                ..RegisterServiceRequest::default()
            },
        )),
    };
    (0..count).step_by(16).map(move |from| CommitRequest {
        mutations: (from..count.min(from + 16)).map(mutation).collect(),
        ..CommitRequest::default()
    })
}

fn service(name: String) -> Service {
    let words = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    let endpoint = |path: &str| Endpoint {
        name: path.to_owned(),
        path: format!("/api/v1/{path}"),
        method: "POST".into(),
        ..Endpoint::default()
    };
    let needs = |service: &str| Dependency {
        service: service.to_owned(),
        ..Dependency::default()
    };
    Service {
        name,
        category: "storefront".into(),
        version: "2.14.1".into(),
        owner: "team-checkout".into(),
        capabilities: words(&["place_order", "quote_shipping"]),
        dependencies: ["currency", "cart", "payment"].map(needs).into(),
        schema: Some(Schema {
            proto_path: "shop/v1/checkout.proto".into(),
            methods: words(&["PlaceOrder", "QuoteShipping"]),
        }),
        endpoints: ["orders", "quotes"].map(endpoint).into(),
        health_check: "/healthz".into(),
        metrics: "/metrics".into(),
        ..Service::default()
    }
}

/// The entity that the write with this number changes.
pub fn key(number: u64, of: u64) -> EntityRef {
    EntityRef {
        kind: "component".into(),
        name: name(number, of),
    }
}

/// A write that changes one of so many entities, whatever the one before it said.
pub fn put_entity(number: u64, of: u64) -> PutEntityRequest {
    let text = |text: String| Value {
        kind: Some(Kind::StringValue(text)),
    };
    let fields = BTreeMap::from([
        ("build".to_owned(), text(format!("{number:016}"))),
        (
            "image".to_owned(),
            text("registry.example/shop/checkout@sha256:4f5e".into()),
        ),
        ("region".to_owned(), text("eu-central-1".into())),
    ]);
    PutEntityRequest {
        entity: Some(Entity {
            r#ref: Some(key(number, of)),
            properties: Some(Struct { fields }),
            ..Entity::default()
        }),
        ..PutEntityRequest::default()
    }
}
