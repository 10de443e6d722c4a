//! What follows relations: dependencies, impact, paths, neighbours, subgraphs, cycles, the order of a start, pictures.

use std::collections::{BTreeMap, BTreeSet};

use amadeus_proto::v1;
use tonic::Code;

use super::said::{Said, edge, text, texts};
use super::{Differences, ask, pages};
use crate::harness::{Server, key};

/// Pairs of entities between which a path is asked for; of larger graphs some.
const PAIRS: usize = 100;

pub async fn agree(server: &Server, said: &Said, found: &mut Differences) {
    let mut needs: BTreeMap<&str, BTreeMap<String, u32>> = BTreeMap::new();
    let mut breaks: BTreeSet<(String, String)> = BTreeSet::new();
    for at in said.entities.keys() {
        let (down, up) = (dependencies(server, at).await, impact(server, at).await);
        for (hits, backwards, rpc) in [(&down, false, "Dependencies"), (&up, true, "Impact")] {
            let mut naive = said.depths(at, Some("depends_on"), backwards);
            naive.remove(at.as_str());
            found.compare(
                &format!("{rpc} and a search over ListRelations"),
                at,
                depths(hits),
                naive,
            );
            paths(said, at, hits, backwards, rpc, found);
        }
        breaks.extend(depths(&up).into_keys().map(|user| (user, at.clone())));
        needs.insert(at, depths(&down));
        around(server, said, at, found).await;
    }
    let inverse: BTreeSet<(String, String)> = needs
        .iter()
        .flat_map(|(at, down)| down.keys().map(|needed| ((*at).to_owned(), needed.clone())))
        .collect();
    found.compare("Dependencies and Impact", "all entities", inverse, breaks);
    ways(server, &needs, found).await;
    for label in said.labels().into_iter().chain(["depends_on"]) {
        cycles(server, said, label, found).await;
    }
}

async fn dependencies(server: &Server, at: &str) -> Vec<v1::Hit> {
    let request = v1::DependenciesRequest {
        refs: vec![key(at)],
        ..Default::default()
    };
    let reply = ask!(server, query.dependencies, request.clone());
    assert_eq!(
        reply.hits,
        pages!(server, query.dependencies, hits, request, 2)
    );
    assert_eq!(
        (reply.total as usize, reply.truncated),
        (reply.hits.len(), false)
    );
    reply.hits
}

async fn impact(server: &Server, at: &str) -> Vec<v1::Hit> {
    let request = v1::ImpactRequest {
        refs: vec![key(at)],
        ..Default::default()
    };
    let reply = ask!(server, query.impact, request.clone());
    assert_eq!(reply.hits, pages!(server, query.impact, hits, request, 3));
    assert_eq!(
        (reply.total as usize, reply.truncated),
        (reply.hits.len(), false)
    );
    reply.hits
}

fn depths(hits: &[v1::Hit]) -> BTreeMap<String, u32> {
    hits.iter()
        .map(|hit| (text(hit.r#ref.as_ref()), hit.depth))
        .collect()
}

/// Each hit's path leads along relations from the start to the hit, in as many steps as its depth.
fn paths(
    said: &Said,
    at: &str,
    hits: &[v1::Hit],
    backwards: bool,
    rpc: &str,
    found: &mut Differences,
) {
    for hit in hits {
        let path = texts(&hit.path);
        let ends = (path.first().cloned(), path.last().cloned(), path.len());
        let expected = (
            Some(at.to_owned()),
            Some(text(hit.r#ref.as_ref())),
            hit.depth as usize + 1,
        );
        found.compare(&format!("{rpc}: path and hit"), at, ends, expected);
        let leads = |pair: &[String]| {
            said.next(&pair[0], Some("depends_on"), backwards)
                .contains(&*pair[1])
        };
        found.compare(
            &format!("{rpc}: path and ListRelations"),
            at,
            path.windows(2).all(leads),
            true,
        );
    }
}

/// A path is found exactly where `Dependencies` reaches, and is as long as it is deep.
async fn ways(
    server: &Server,
    needs: &BTreeMap<&str, BTreeMap<String, u32>>,
    found: &mut Differences,
) {
    let pairs: Vec<(&str, &str)> = needs
        .keys()
        .flat_map(|from| needs.keys().map(|to| (*from, *to)))
        .collect();
    for (from, to) in pairs.iter().step_by(pairs.len().div_ceil(PAIRS).max(1)) {
        let request = v1::FindPathRequest {
            from: Some(key(from)),
            to: Some(key(to)),
            relations: vec!["depends_on".into()],
            ..Default::default()
        };
        let steps = match server.query.clone().find_path(request).await {
            Ok(reply) => Some(reply.into_inner().relations.len()),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => panic!("{from} to {to}: {status}"),
        };
        let depth = if from == to {
            Some(0)
        } else {
            needs[from].get(*to).map(|depth| *depth as usize)
        };
        found.compare(
            "FindPath and Dependencies",
            &format!("{from} to {to}"),
            steps,
            depth,
        );
    }
}

/// Neighbours, both lists of relations, a part and a picture of the graph around one entity say the same.
async fn around(server: &Server, said: &Said, at: &str, found: &mut Differences) {
    let mut lists = Vec::new();
    for direction in [v1::Direction::Out, v1::Direction::In, v1::Direction::Both] {
        let request = v1::ListRelationsRequest {
            r#ref: Some(key(at)),
            direction: direction.into(),
            ..Default::default()
        };
        let listed = pages!(server, graph.list_relations, relations, request.clone(), 0);
        let paged = pages!(server, graph.list_relations, relations, request, 2);
        found.compare("ListRelations and its pages", at, &listed, &paged);
        let listed: BTreeSet<_> = listed.iter().map(edge).collect();
        let mut ends: BTreeSet<String> = listed
            .iter()
            .flat_map(|(from, _, to)| [from.clone(), to.clone()])
            .collect();
        ends.remove(at);
        let request = v1::NeighborsRequest {
            r#ref: Some(key(at)),
            direction: direction.into(),
            ..Default::default()
        };
        let hits = ask!(server, query.neighbors, request).hits;
        let near: BTreeSet<String> = depths(&hits).into_keys().collect();
        found.compare(
            "Neighbors and ListRelations",
            &format!("{at} {direction:?}"),
            &near,
            &ends,
        );
        part(server, said, at, direction, near, found).await;
        lists.push(listed);
    }
    let ends_here: BTreeSet<_> = said
        .edges
        .iter()
        .filter(|(_, _, to)| to == at)
        .cloned()
        .collect();
    found.compare("ListRelations in and out", at, &lists[1], &ends_here);
    found.compare(
        "ListRelations both and one",
        at,
        lists[2].clone(),
        &lists[0] | &lists[1],
    );
}

async fn part(
    server: &Server,
    said: &Said,
    at: &str,
    direction: v1::Direction,
    mut inside: BTreeSet<String>,
    found: &mut Differences,
) {
    inside.insert(at.to_owned());
    let request = v1::SubgraphRequest {
        refs: vec![key(at)],
        direction: direction.into(),
        ..Default::default()
    };
    let part = ask!(server, query.subgraph, request);
    let entities: BTreeSet<String> = part
        .entities
        .iter()
        .map(|e| text(e.r#ref.as_ref()))
        .collect();
    found.compare("Subgraph and Neighbors", at, &entities, &inside);
    let shown = v1::VisualizeRequest {
        format: v1::visualize_request::Format::Json.into(),
        root: Some(key(at)),
        depth: 1,
        direction: direction.into(),
        ..Default::default()
    };
    let picture = ask!(server, query.visualize, shown);
    let drawn = (picture.entities as usize, picture.relations as usize);
    found.compare(
        "Visualize and Subgraph",
        at,
        drawn,
        (entities.len(), part.relations.len()),
    );
    let relations: BTreeSet<_> = part.relations.iter().map(edge).collect();
    let between = said
        .edges
        .iter()
        .filter(|(from, _, to)| inside.contains(from) && inside.contains(to));
    found.compare(
        "Subgraph and ListRelations",
        at,
        relations,
        between.cloned().collect(),
    );
}

/// Cycles are who reaches each other; each level of a start needs only those before it, but for the members of a cycle.
async fn cycles(server: &Server, said: &Said, label: &str, found: &mut Differences) {
    let ahead: BTreeMap<&String, BTreeMap<String, u32>> = said
        .entities
        .keys()
        .map(|at| (at, said.depths(at, Some(label), false)))
        .collect();
    let together = |a: &String, b: &String| ahead[a].contains_key(b) && ahead[b].contains_key(a);
    let naive: BTreeSet<Vec<String>> = said
        .entities
        .keys()
        .filter(|at| together(at, at))
        .map(|at| {
            ahead[at]
                .keys()
                .filter(|other| together(at, other))
                .cloned()
                .collect()
        })
        .collect();
    let request = v1::CyclesRequest {
        relation: label.into(),
        ..Default::default()
    };
    let told = ask!(server, query.cycles, request).cycles;
    let cycles: Vec<Vec<String>> = told.iter().map(|cycle| texts(&cycle.entities)).collect();
    found.compare(
        "Cycles and a search over ListRelations",
        label,
        &cycles,
        &naive.into_iter().collect(),
    );

    let request = v1::StartOrderRequest {
        relation: label.into(),
        ..Default::default()
    };
    let order = ask!(server, query.start_order, request);
    found.compare("StartOrder and Cycles", label, &order.cycles, &told);
    let levels: Vec<Vec<String>> = order
        .levels
        .iter()
        .map(|level| texts(&level.entities))
        .collect();
    let level: BTreeMap<&String, usize> = levels
        .iter()
        .enumerate()
        .flat_map(|(n, members)| members.iter().map(move |member| (member, n)))
        .collect();
    let touched = said
        .edges
        .iter()
        .filter(|(_, of, _)| of == label)
        .flat_map(|(from, _, to)| [from.clone(), to.clone()]);
    let services = said.services();
    let expected: BTreeSet<String> = touched
        .chain(services.keys().map(|name| format!("service/{name}")))
        .collect();
    found.compare(
        "StartOrder and ListEntities",
        label,
        level.keys().map(|at| (*at).clone()).collect(),
        expected,
    );
    for (from, _, to) in said.edges.iter().filter(|(_, of, _)| of == label) {
        let (user, needed) = (level.get(from), level.get(to));
        let right = if together(from, to) {
            needed == user
        } else {
            needed < user
        };
        found.compare(
            "StartOrder and FindPath",
            &format!("{from} {label} {to}"),
            right,
            true,
        );
    }
}
