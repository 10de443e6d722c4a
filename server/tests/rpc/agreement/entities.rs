//! What there is: lists, single reads, counts, words, dot paths, findings.

use std::collections::{BTreeMap, BTreeSet};

use amadeus_proto::v1;

use super::said::{Said, text, texts};
use super::{Differences, ask, pages};
use crate::harness::{Server, key};

pub async fn agree(server: &Server, said: &Said, found: &mut Differences) {
    lists(server, said, found).await;
    counts(server, said, found).await;
    findings(server, said, found).await;
    for (at, listed) in &said.entities {
        let request = v1::GetEntityRequest {
            r#ref: Some(key(at)),
            ..Default::default()
        };
        let one = ask!(server, graph.get_entity, request).entity;
        found.compare("GetEntity and ListEntities", at, one.as_ref(), Some(listed));
        words(server, said, at, found).await;
        let request = v1::GenerateDocsRequest {
            r#ref: Some(key(at)),
            ..Default::default()
        };
        let page = ask!(server, query.generate_docs, request).body;
        found.compare(
            "GenerateDocs and GetEntity",
            at,
            page.starts_with("# "),
            true,
        );
    }
}

async fn lists(server: &Server, said: &Said, found: &mut Differences) {
    let request = v1::ListEntitiesRequest {
        include_placeholders: true,
        ..Default::default()
    };
    let paged = pages!(server, graph.list_entities, entities, request, 3);
    let listed: Vec<v1::Entity> = said.entities.values().cloned().collect();
    found.compare(
        "ListEntities and its pages",
        "all",
        paged,
        sorted(listed.clone()),
    );
    let registered = pages!(
        server,
        graph.list_entities,
        entities,
        v1::ListEntitiesRequest::default(),
        0
    );
    let placeholders = said.placeholders();
    let expected = listed
        .into_iter()
        .filter(|e| !placeholders.contains(&text(e.r#ref.as_ref())));
    found.compare(
        "ListEntities with placeholders and without",
        "all",
        registered,
        sorted(expected.collect()),
    );
}

/// By kind, then by name.
fn sorted(mut entities: Vec<v1::Entity>) -> Vec<v1::Entity> {
    let key = |e: &v1::Entity| {
        e.r#ref
            .as_ref()
            .map(|key| (key.kind.clone(), key.name.clone()))
    };
    entities.sort_by_key(key);
    entities
}

async fn counts(server: &Server, said: &Said, found: &mut Differences) {
    let told = ask!(server, graph.describe, v1::DescribeRequest::default());
    let status = ask!(server, admin.status, v1::StatusRequest {});
    let placeholders = said.placeholders();
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for at in said
        .entities
        .keys()
        .filter(|at| !placeholders.contains(*at))
    {
        *kinds.entry(key(at).kind).or_default() += 1;
    }
    let mut labels: BTreeMap<String, u32> = BTreeMap::new();
    for (_, label, _) in &said.edges {
        *labels.entry(label.clone()).or_default() += 1;
    }
    let total = (
        kinds.values().sum::<u32>(),
        labels.values().sum::<u32>(),
        placeholders.len() as u32,
    );
    found.compare(
        "Describe and Status",
        "all",
        (told.entities, told.relations, told.placeholders),
        (status.entities, status.relations, status.placeholders),
    );
    found.compare(
        "Describe and the lists",
        "all",
        (told.entities, told.relations, told.placeholders),
        total,
    );
    found.compare(
        "Describe and ListEntities",
        "kinds",
        &told.entity_counts,
        &kinds,
    );
    found.compare(
        "Describe and ListRelations",
        "labels",
        &told.relation_counts,
        &labels,
    );
    for kind in told.entity_counts.keys() {
        let request = v1::ListEntitiesRequest {
            kind: kind.clone(),
            ..Default::default()
        };
        let listed = pages!(server, graph.list_entities, entities, request, 0);
        found.compare(
            "ListEntities of a kind and Describe",
            kind,
            listed.len() as u32,
            kinds[kind],
        );
    }
    for section in &told.sections {
        let path = kg_core::model::path::part(section);
        let request = v1::GetNodeRequest {
            path,
            ..Default::default()
        };
        let value = ask!(server, graph.get_node, request).value;
        found.compare("GetNode and Describe", section, value.is_some(), true);
    }
}

/// What has not registered and what stands in a cycle is found; what would be pruned has no relation.
async fn findings(server: &Server, said: &Said, found: &mut Differences) {
    let listed = pages!(
        server,
        graph.validate,
        findings,
        v1::ValidateRequest::default(),
        0
    );
    let paged = pages!(
        server,
        graph.validate,
        findings,
        v1::ValidateRequest::default(),
        2
    );
    found.compare("Validate and its pages", "all", &listed, &paged);
    let of = |code: &str| -> BTreeSet<String> {
        let some = listed.iter().filter(|finding| finding.code == code);
        some.map(|finding| text(finding.r#ref.as_ref())).collect()
    };
    found.compare(
        "Validate and ListEntities",
        "placeholders",
        of("placeholder"),
        said.placeholders(),
    );
    let cycles = ask!(server, query.cycles, v1::CyclesRequest::default()).cycles;
    let first = cycles
        .iter()
        .filter_map(|cycle| texts(&cycle.entities).into_iter().next());
    found.compare(
        "Validate and Cycles",
        "cycles",
        of("dependency_cycle"),
        first.collect(),
    );
    let request = v1::PruneRequest {
        dry_run: true,
        ..Default::default()
    };
    for at in texts(&ask!(server, graph.prune, request).removed) {
        let stands = said
            .edges
            .iter()
            .any(|(from, _, to)| *from == at || *to == at);
        found.compare("Prune and ListRelations", &at, stands, false);
    }
}

/// An entity is found by its name, before all that only say it; a placeholder says nothing and is not found.
async fn words(server: &Server, said: &Said, at: &str, found: &mut Differences) {
    let name = key(at).name;
    let request = v1::SearchRequest {
        text: name.clone(),
        ..Default::default()
    };
    let reply = ask!(server, query.search, request.clone());
    let paged = pages!(server, query.search, entities, request, 2);
    found.compare("Search and its pages", at, &reply.entities, &paged);
    found.compare(
        "Search: total and entities",
        at,
        reply.total as usize,
        reply.entities.len(),
    );
    let hits: Vec<String> = reply
        .entities
        .iter()
        .map(|e| text(e.r#ref.as_ref()))
        .collect();
    let placeholders = said.placeholders();
    found.compare(
        "Search and ListEntities",
        at,
        hits.iter().any(|hit| hit == at),
        !placeholders.contains(at),
    );
    let named = |at: &&String| key(at).name == name && !placeholders.contains(*at);
    let same = said.entities.keys().filter(named).count();
    let lower = name.to_lowercase();
    let first = hits
        .iter()
        .take(same)
        .all(|hit| key(hit).name.to_lowercase() == lower || hit.to_lowercase() == lower);
    found.compare("Search: the name itself first", at, first, true);
}
