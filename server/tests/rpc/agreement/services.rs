//! Services: by name, by what they can do, by owner and category, and as dot paths show them.

use std::collections::BTreeSet;

use amadeus_proto::v1;
use kg_core::model::path::part;
use prost_types::value::Kind;

use super::said::Said;
use super::{Differences, ask, pages};
use crate::harness::Server;

pub async fn agree(server: &Server, said: &Said, found: &mut Differences) {
    let request = v1::ListServicesRequest::default();
    let listed = pages!(server, graph.list_services, services, request.clone(), 0);
    let paged = pages!(server, graph.list_services, services, request, 2);
    found.compare("ListServices and its pages", "all", &listed, &paged);
    let expected: Vec<v1::Service> = said.services().into_values().cloned().collect();
    found.compare("ListServices and ListEntities", "all", &listed, &expected);
    for service in &listed {
        let name = &service.name;
        let request = v1::GetServiceRequest {
            name: name.clone(),
            ..Default::default()
        };
        let one = ask!(server, graph.get_service, request).service;
        found.compare(
            "GetService and ListServices",
            name,
            one.as_ref(),
            Some(service),
        );
        let needed: Vec<&str> = service
            .dependencies
            .iter()
            .map(|d| d.service.as_str())
            .collect();
        let key = format!("service/{name}");
        let relations = said.next(&key, Some("depends_on"), false);
        let relations = relations
            .iter()
            .filter_map(|to| to.strip_prefix("service/"));
        found.compare(
            "GetService and ListRelations",
            name,
            needed.into_iter().collect(),
            relations.collect::<BTreeSet<_>>(),
        );
        node(server, service, found).await;
    }
    capabilities(server, &listed, found).await;
    groups(server, &listed, found).await;
}

fn names(services: &[v1::Service]) -> Vec<&str> {
    services
        .iter()
        .map(|service| service.name.as_str())
        .collect()
}

/// Who offers a capability, and who offers two.
async fn capabilities(server: &Server, services: &[v1::Service], found: &mut Differences) {
    let counts = ask!(server, graph.describe, v1::DescribeRequest::default()).capabilities;
    let offers = |service: &v1::Service, word: &String| service.capabilities.contains(word);
    let mut before: Option<&String> = None;
    for (word, count) in &counts {
        let own: Vec<&str> = services
            .iter()
            .filter(|s| offers(s, word))
            .map(|s| s.name.as_str())
            .collect();
        let request = v1::ListServicesRequest {
            capability: word.clone(),
            ..Default::default()
        };
        let listed = pages!(server, graph.list_services, services, request, 0);
        found.compare(
            "ListServices and GetService",
            word,
            names(&listed),
            own.clone(),
        );
        let request = v1::FindByCapabilityRequest {
            all_of: vec![word.clone()],
            ..Default::default()
        };
        let answer = pages!(
            server,
            query.find_by_capability,
            services,
            request.clone(),
            0
        );
        let paged = pages!(server, query.find_by_capability, services, request, 1);
        found.compare("FindByCapability and its pages", word, &answer, &paged);
        found.compare("FindByCapability and ListServices", word, &answer, &listed);
        found.compare(
            "Describe and FindByCapability",
            word,
            *count as usize,
            answer.len(),
        );
        if let Some(before) = before.replace(word) {
            let two = vec![before.clone(), word.clone()];
            let all = v1::FindByCapabilityRequest {
                all_of: two.clone(),
                ..Default::default()
            };
            let all = pages!(server, query.find_by_capability, services, all, 0);
            let both = services
                .iter()
                .filter(|s| two.iter().all(|word| offers(s, word)));
            found.compare(
                "FindByCapability of all and GetService",
                word,
                names(&all),
                both.map(|s| s.name.as_str()).collect(),
            );
            let any = v1::FindByCapabilityRequest {
                any_of: two.clone(),
                ..Default::default()
            };
            let any = pages!(server, query.find_by_capability, services, any, 0);
            let one = services
                .iter()
                .filter(|s| two.iter().any(|word| offers(s, word)));
            found.compare(
                "FindByCapability of any and GetService",
                word,
                names(&any),
                one.map(|s| s.name.as_str()).collect(),
            );
        }
    }
}

/// Services of one category, of one owner, of one health.
async fn groups(server: &Server, services: &[v1::Service], found: &mut Differences) {
    let told = ask!(server, graph.describe, v1::DescribeRequest::default());
    for (category, count) in &told.categories {
        let request = v1::ListServicesRequest {
            category: category.clone(),
            ..Default::default()
        };
        let listed = pages!(server, graph.list_services, services, request, 0);
        let own = services.iter().filter(|s| s.category == *category);
        found.compare(
            "ListServices and GetService",
            category,
            names(&listed),
            own.map(|s| s.name.as_str()).collect(),
        );
        found.compare(
            "ListServices and Describe",
            category,
            listed.len(),
            *count as usize,
        );
    }
    for (owner, count) in &told.owners {
        let request = v1::ListServicesRequest {
            owner: owner.clone(),
            ..Default::default()
        };
        let listed = pages!(server, graph.list_services, services, request, 0);
        let own = services.iter().filter(|s| s.owner == *owner);
        found.compare(
            "ListServices and GetService",
            owner,
            names(&listed),
            own.map(|s| s.name.as_str()).collect(),
        );
        found.compare(
            "ListServices and Describe",
            owner,
            listed.len(),
            *count as usize,
        );
    }
    for health in 0..4 {
        let request = v1::ListServicesRequest {
            health: Some(health),
            ..Default::default()
        };
        let listed = pages!(server, graph.list_services, services, request, 0);
        let own = services.iter().filter(|s| s.health == health);
        found.compare(
            "ListServices and GetService",
            &health.to_string(),
            names(&listed),
            own.map(|s| s.name.as_str()).collect(),
        );
    }
}

/// `services.<name>` shows what `GetService` shows, in the original's shape.
async fn node(server: &Server, service: &v1::Service, found: &mut Differences) {
    let name = &service.name;
    let path = format!("services.{}", part(name));
    let request = v1::GetNodeRequest {
        path,
        ..Default::default()
    };
    let value = ask!(server, graph.get_node, request).value;
    let Some(Kind::StructValue(object)) = value.and_then(|value| value.kind) else {
        panic!("services.{name} is an object");
    };
    let word = |value: &prost_types::Value| match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        other => panic!("{other:?} is no text"),
    };
    let list = |field: &str| -> Vec<String> {
        match object
            .fields
            .get(field)
            .and_then(|value| value.kind.as_ref())
        {
            Some(Kind::ListValue(list)) => list.values.iter().map(word).collect(),
            _ => Vec::new(),
        }
    };
    let needed = service
        .dependencies
        .iter()
        .map(|needed| match needed.version.as_str() {
            "" => needed.service.clone(),
            version => format!("{}:{version}", needed.service),
        });
    found.compare(
        "GetNode and GetService: dependencies",
        name,
        list("dependencies"),
        needed.collect(),
    );
    found.compare(
        "GetNode and GetService: capabilities",
        name,
        list("capabilities"),
        service.capabilities.clone(),
    );
    found.compare(
        "GetNode and GetService: models",
        name,
        list("models"),
        service.models.clone(),
    );
    for (field, expected) in [("name", name), ("version", &service.version)] {
        let shown = object.fields.get(field).map(word).unwrap_or_default();
        found.compare(
            "GetNode and GetService",
            &format!("{field} of {name}"),
            &shown,
            expected,
        );
        let request = v1::GetNodeRequest {
            path: format!("services.{}.{field}", part(name)),
            ..Default::default()
        };
        if object.fields.contains_key(field) {
            let inner = ask!(server, graph.get_node, request)
                .value
                .as_ref()
                .map(word);
            found.compare(
                "GetNode below and above",
                &format!("{field} of {name}"),
                inner,
                Some(shown),
            );
        }
    }
}
