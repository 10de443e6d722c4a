//! How many bytes does the graph take: per entity, per relation, and for its recent past?
//!
//! The allocator counts. The baselines hold names and edges and nothing else: no properties, no revisions, no second
//! direction where they need none, no index, and no way to keep an old version but to copy all.
//!
//! ```text
//! cargo bench --package benches --bench memory
//! ```

mod counted;
mod ring;
mod scale;

use std::collections::HashMap;

use benches::figure::{Better, Figure, Line, Question};
use benches::mode::Mode;
use counted::weigh;
use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::scale_free;
use scale::{ENTITIES, RELATIONS};

fn main() {
    let mode = Mode::from_args();
    Line::Question(Question {
        question: "memory".into(),
        text:
            "How many bytes does the graph take: per entity, per relation, and for its recent past?"
                .into(),
    })
    .print();
    let (entities, relations) = mode.size((ENTITIES, RELATIONS), (700, 3_000));
    let (alone, of_entities) = weigh(|| scale_free(1, entities, 0));
    drop(alone);
    let (snapshot, whole) = weigh(|| scale_free(1, entities, relations));
    let ours = Bytes {
        entity: of_entities as f64 / f64::from(entities),
        relation: (whole - of_entities) as f64 / relations as f64,
    };
    let (names, edges) = names_and_edges(&snapshot);
    ours.beside(
        "HashMap<String, Vec<String>>, one way",
        plain(&names, &edges),
    );
    ours.beside(
        "HashMap<String, u32>, Vec<Vec<u32>> both ways",
        two_ways(&names, &edges),
    );
    ours.beside(
        "petgraph, HashMap<String, NodeIndex>",
        petgraph(&names, &edges),
    );

    let updates = mode.size(5_000, 100);
    for (each, per_second, case) in [
        (
            1,
            5_000,
            "an update in the ring: 5,000 in a second, each a transaction",
        ),
        (
            1,
            1,
            "an update in the ring: one a second, each version kept",
        ),
        (
            100,
            1,
            "an update in the ring: 100 in a transaction, one of these a second",
        ),
    ] {
        let mut run = ring::Run::from(snapshot.clone());
        ring::update(&mut run, updates, each, per_second);
        let (_, held) = run.settle();
        let bytes = held as f64 / updates as f64;
        figure(
            case,
            "history ring",
            bytes,
            "a copy of the graph",
            whole as f64,
        );
    }
}

/// What one entity and one relation take.
struct Bytes {
    entity: f64,
    relation: f64,
}

impl Bytes {
    fn of(entities: (usize, usize), relations: (usize, usize)) -> Self {
        Self {
            entity: entities.0 as f64 / entities.1 as f64,
            relation: relations.0 as f64 / relations.1 as f64,
        }
    }

    fn beside(&self, rival: &str, its: Self) {
        figure("per entity", "snapshot", self.entity, rival, its.entity);
        figure(
            "per relation",
            "snapshot",
            self.relation,
            rival,
            its.relation,
        );
    }
}

fn figure(case: &str, ours_name: &str, ours: f64, rival: &str, rival_value: f64) {
    Line::Figure(Figure {
        question: "memory".into(),
        case: case.into(),
        unit: "bytes".into(),
        better: Better::Lower,
        ours_name: ours_name.into(),
        ours,
        rival: rival.into(),
        rival_value: Some(rival_value),
        bound: None,
    })
    .print();
}

/// Names of the entities by number, and the relations as pairs of numbers.
fn names_and_edges(snapshot: &Snapshot) -> (Vec<String>, Vec<(u32, u32)>) {
    let mut entities: Vec<_> = snapshot.entities().collect();
    entities.sort_by_key(|e| e.id);
    let names = entities.iter().map(|e| e.key.to_string()).collect();
    (names, scale::edges(snapshot))
}

/// What one writes first: names to the names that they need.
fn plain(names: &[String], edges: &[(u32, u32)]) -> Bytes {
    let (mut map, entities) = weigh(|| {
        names
            .iter()
            .map(|name| (name.clone(), Vec::new()))
            .collect::<HashMap<String, Vec<String>>>()
    });
    let ((), relations) = weigh(|| {
        for &(from, to) in edges {
            if let Some(needs) = map.get_mut(&names[from as usize]) {
                needs.push(names[to as usize].clone());
            }
        }
    });
    Bytes::of((entities, names.len()), (relations, edges.len()))
}

/// Names to numbers, and numbers both ways.
fn two_ways(names: &[String], edges: &[(u32, u32)]) -> Bytes {
    let (mut graph, entities) = weigh(|| {
        let ids: HashMap<String, u32> = names.iter().cloned().zip(0..).collect();
        let ends = || vec![Vec::<u32>::new(); names.len()];
        (ids, ends(), ends())
    });
    let ((), relations) = weigh(|| {
        for &(from, to) in edges {
            graph.1[from as usize].push(to);
            graph.2[to as usize].push(from);
        }
    });
    Bytes::of((entities, names.len()), (relations, edges.len()))
}

fn petgraph(names: &[String], edges: &[(u32, u32)]) -> Bytes {
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
        for &(from, to) in edges {
            graph.0.add_edge(from.into(), to.into(), ());
        }
    });
    Bytes::of((entities, names.len()), (relations, edges.len()))
}
