//! A service's life with Amadeus, in Rust: it registers itself, reads what it registered, asks who would notice if a
//! service that it needs went down, and follows the graph as it changes.
//!
//! ```text
//! cargo run --release -- serve --load examples/online-boutique.json
//! cargo run --package rust-client
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it was told")]

use std::error::Error;

use amadeus_proto::v1::change::{Kind, Subject};
use amadeus_proto::v1::consistency::Level;
use amadeus_proto::v1::graph_service_client::GraphServiceClient;
use amadeus_proto::v1::query_service_client::QueryServiceClient;
use amadeus_proto::v1::{
    Change, Consistency, Dependency, EntityRef, GetServiceRequest, ImpactRequest,
    RegisterServiceRequest, Service, SetCapabilityRequest, WatchRequest,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    let mut graph = GraphServiceClient::connect(address.clone()).await?;
    let mut query = QueryServiceClient::connect(address).await?;

    // A registration may be repeated: with the same request id it is applied once, whatever was lost on the way.
    let service = Service {
        name: "gift-wrap".to_owned(),
        category: "backend".to_owned(),
        version: "v1".to_owned(),
        capabilities: vec!["gift_wrapping".to_owned()],
        dependencies: vec![Dependency {
            service: "currency".to_owned(),
            ..Dependency::default()
        }],
        ..Service::default()
    };
    let registered = graph
        .register_service(RegisterServiceRequest {
            service: Some(service),
            request_id: "gift-wrap/v1/start".to_owned(),
            reason: "started".to_owned(),
            ..RegisterServiceRequest::default()
        })
        .await?
        .into_inner();
    let revision = registered.header.map_or(0, |header| header.revision);
    println!("registered gift-wrap at revision {revision}");

    // On this server a write is visible once it is acknowledged; `at_least` carries that to any other server.
    let found = graph
        .get_service(GetServiceRequest {
            name: "gift-wrap".to_owned(),
            consistency: Some(Consistency {
                level: Some(Level::AtLeast(revision)),
            }),
        })
        .await?
        .into_inner();
    let needs = found
        .service
        .map(|service| service.dependencies)
        .unwrap_or_default();
    println!(
        "it needs {}",
        join(needs.iter().map(|one| one.service.as_str()))
    );

    let impact = query
        .impact(ImpactRequest {
            refs: vec![EntityRef {
                kind: "service".to_owned(),
                name: "currency".to_owned(),
            }],
            ..ImpactRequest::default()
        })
        .await?
        .into_inner();
    let noticed = impact
        .hits
        .iter()
        .filter_map(|hit| hit.r#ref.as_ref())
        .map(|found| found.name.as_str());
    println!(
        "{} would notice if currency went down: {}",
        impact.total,
        join(noticed)
    );

    // Everything from our own registration on, in order, each revision whole; then one change of our own arrives.
    let mut changes = graph
        .watch(WatchRequest {
            from_revision: revision,
            ..WatchRequest::default()
        })
        .await?
        .into_inner();
    let switched = graph
        .set_capability(SetCapabilityRequest {
            name: "gift-wrap".to_owned(),
            capability: "greeting_cards".to_owned(),
            enabled: true,
            ..SetCapabilityRequest::default()
        })
        .await?
        .into_inner();
    let last = switched.header.map_or(0, |header| header.revision);
    while let Some(message) = changes.message().await? {
        for change in &message.changes {
            println!("revision {}: {}", change.revision, told(change));
        }
        if message.bookmark >= last {
            break;
        }
    }
    Ok(())
}

fn told(change: &Change) -> String {
    let what = match &change.subject {
        Some(Subject::Entity(entity)) => written(entity.r#ref.as_ref()),
        Some(Subject::Relation(relation)) => format!(
            "{} {} {}",
            written(relation.from.as_ref()),
            relation.relation,
            written(relation.to.as_ref())
        ),
        Some(Subject::Node(node)) => node.path.clone(),
        None => "something that this client does not know".to_owned(),
    };
    let how = match change.kind() {
        Kind::Created => "created",
        Kind::Updated => "updated",
        Kind::Deleted => "deleted",
        Kind::Unspecified => "changed",
    };
    format!("{how} {what}")
}

fn written(found: Option<&EntityRef>) -> String {
    found
        .map(|found| format!("{}/{}", found.kind, found.name))
        .unwrap_or_default()
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
