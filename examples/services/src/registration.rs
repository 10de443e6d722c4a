//! What the services say of themselves in the graph.

use amadeus_client::v1::{Endpoint, Schema, Service};

use crate::server::Kind;

/// How a service registers itself, where it is reached at `host:port`.
#[must_use]
pub fn described(kind: Kind, address: &str) -> Service {
    let (name, interface, methods, capability, what) = match kind {
        Kind::Inventory => (
            "inventory",
            "shop.v1.Inventory",
            ["Reserve", "Release"],
            "reserve_goods",
            "Keeps goods apart for orders.",
        ),
        Kind::Payments => (
            "payments",
            "shop.v1.Payments",
            ["Charge", "Refund"],
            "take_money",
            "Takes money.",
        ),
        Kind::Shipping => (
            "shipping",
            "shop.v1.Shipping",
            ["Book", "Cancel"],
            "send_parcels",
            "Sends parcels.",
        ),
    };
    Service {
        name: name.into(),
        category: "shop".into(),
        version: "v1".into(),
        owner: "shop".into(),
        description: Some(what.into()),
        capabilities: vec![capability.into()],
        schema: Some(Schema {
            proto_path: "shop/v1/shop.proto".into(),
            methods: methods.map(|method| format!("{interface}/{method}")).into(),
        }),
        endpoints: vec![Endpoint {
            name: "grpc".into(),
            path: format!("grpc://{address}"),
            description: format!("gRPC with reflection: {interface}"),
            ..Endpoint::default()
        }],
        ..Service::default()
    }
}
