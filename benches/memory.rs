//! How many bytes does the graph take: per entity, per relation, and for its recent past?
//!
//! The allocator counts. The baselines hold names and edges and nothing else: no properties, no revisions, no second
//! direction where they need none, no index, and no way to keep an old version but to copy all.
//!
//! ```text
//! cargo bench --package benches --bench memory
//! ```

#![expect(clippy::print_stdout, reason = "a program that reports figures")]

mod counted;
mod ring;
mod scale;

use std::collections::HashMap;

use counted::weigh;
use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::scale_free;
use scale::{ENTITIES, RELATIONS};

fn main() {
    println!("{ENTITIES} entities, {RELATIONS} relations; bytes in use\n");
    let (alone, entities) = weigh(|| scale_free(1, ENTITIES, 0));
    drop(alone);
    let (snapshot, whole) = weigh(scale::snapshot);
    row("snapshot", entities, whole);
    plain(&snapshot);
    two_ways(&snapshot);
    petgraph(&snapshot);

    println!("\nthe history ring, beside the head:");
    for (each, per_second) in [(1, 5_000), (1, 1), (100, 1)] {
        let mut run = ring::Run::from(snapshot.clone());
        ring::update(&mut run, 5_000, each, per_second);
        let (said, held) = run.settle();
        println!(
            "5,000 updates, {each:>3} in a transaction, {per_second:>5} transactions a second: {:>6} per update, {:>5.1} MiB in all; it says {:.1}",
            held / 5_000,
            mib(held),
            mib(said),
        );
    }
}

/// One line: what the entities take, and what the relations add.
fn row(what: &str, entities: usize, whole: usize) {
    println!(
        "{what:<44} {:>5} per entity {:>5} per relation {:>7.1} MiB",
        entities / ENTITIES as usize,
        (whole - entities) / RELATIONS,
        mib(whole),
    );
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Names of the entities by number, and the relations as pairs of numbers.
fn names_and_edges(snapshot: &Snapshot) -> (Vec<String>, Vec<(u32, u32)>) {
    let mut entities: Vec<_> = snapshot.entities().collect();
    entities.sort_by_key(|e| e.id);
    let names = entities.iter().map(|e| e.key.to_string()).collect();
    let edges = snapshot
        .relations("depends_on")
        .into_iter()
        .flat_map(|r| r.edges().map(|(from, to, _)| (from.get(), to.get())))
        .collect();
    (names, edges)
}

/// What one writes first: names to the names that they need.
fn plain(snapshot: &Snapshot) {
    let (names, edges) = names_and_edges(snapshot);
    let (mut map, entities) = weigh(|| {
        names
            .iter()
            .map(|name| (name.clone(), Vec::new()))
            .collect::<HashMap<String, Vec<String>>>()
    });
    let ((), relations) = weigh(|| {
        for &(from, to) in &edges {
            if let Some(needs) = map.get_mut(&names[from as usize]) {
                needs.push(names[to as usize].clone());
            }
        }
    });
    row(
        "HashMap<String, Vec<String>>, one way",
        entities,
        entities + relations,
    );
}

/// Names to numbers, and numbers both ways.
fn two_ways(snapshot: &Snapshot) {
    let (names, edges) = names_and_edges(snapshot);
    let (mut graph, entities) = weigh(|| {
        let ids: HashMap<String, u32> = names.iter().cloned().zip(0..).collect();
        let ends = || vec![Vec::<u32>::new(); names.len()];
        (ids, ends(), ends())
    });
    let ((), relations) = weigh(|| {
        for &(from, to) in &edges {
            graph.1[from as usize].push(to);
            graph.2[to as usize].push(from);
        }
    });
    row(
        "HashMap<String, u32> and Vec<Vec<u32>>, both ways",
        entities,
        entities + relations,
    );
}

fn petgraph(snapshot: &Snapshot) {
    let (names, edges) = names_and_edges(snapshot);
    let (mut graph, entities) = weigh(|| {
        let mut graph = petgraph::Graph::<String, ()>::with_capacity(names.len(), 0);
        let ids: HashMap<String, _> = names
            .iter()
            .map(|name| (name.clone(), graph.add_node(name.clone())))
            .collect();
        (graph, ids)
    });
    let ((), relations) = weigh(|| {
        graph.0.reserve_exact_edges(edges.len());
        for &(from, to) in &edges {
            graph.0.add_edge(from.into(), to.into(), ());
        }
    });
    row(
        "petgraph, and a HashMap<String, NodeIndex>",
        entities,
        entities + relations,
    );
}
