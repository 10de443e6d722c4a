//! The graph that the figures are about: the shape and size of a distribution's packages.

#![allow(dead_code, reason = "each program here uses a part of it")]

use std::sync::Arc;

use kg_core::commit::Graph;
use kg_core::model::Relation;
use kg_core::mutation::{Mutation, Transaction};
use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::scale_free;

pub const ENTITIES: u32 = 68_000;
pub const RELATIONS: usize = 304_000;

/// The graph as a snapshot.
pub fn snapshot() -> Snapshot {
    scale_free(1, ENTITIES, RELATIONS)
}

/// The graph as a live one, on a log in memory.
pub fn live(snapshot: &Snapshot) -> Arc<Graph> {
    let graph = Graph::in_memory();
    let commit = |mutations: Vec<Mutation>| {
        graph
            .commit(Transaction::of(mutations))
            .expect("a copy of a valid graph");
    };
    let mut entities: Vec<_> = snapshot.entities().collect();
    entities.sort_by_key(|e| e.id);
    let put = |e: &&Arc<_>| Mutation::PutEntity {
        key: kg_core::model::Entity::clone(e).key,
        properties: Default::default(),
    };
    for some in entities.chunks(10_000) {
        commit(some.iter().map(put).collect());
    }
    let relations: Vec<Relation> = snapshot
        .relations_by_label()
        .flat_map(|(label, all)| {
            all.edges()
                .filter_map(|(from, to, _)| snapshot.relation_by_id(label, from, to))
        })
        .collect();
    for some in relations.chunks(10_000) {
        commit(
            some.iter()
                .map(|r| Mutation::PutRelation {
                    key: r.key.clone(),
                    properties: r.properties.clone(),
                    create_ends: false,
                })
                .collect(),
        );
    }
    graph
}

/// Who points at whom, in two flat arrays: the fastest form there is, which nothing can be added to.
pub struct Csr {
    first: Vec<u32>,
    from: Vec<u32>,
}

impl Csr {
    /// The incoming ends of `depends_on`.
    pub fn incoming(snapshot: &Snapshot) -> Self {
        let relations = snapshot.relations("depends_on").expect("it has some");
        let mut ends: Vec<(u32, u32)> = relations
            .edges()
            .map(|(from, to, _)| (to.get(), from.get()))
            .collect();
        ends.sort_unstable();
        let first = (0..=snapshot.id_bound())
            .map(|id| ends.partition_point(|(to, _)| *to < id) as u32)
            .collect();
        Self {
            first,
            from: ends.into_iter().map(|(_, from)| from).collect(),
        }
    }

    /// How many need `root`, directly and transitively.
    pub fn reach(&self, root: u32) -> usize {
        let mut seen = vec![false; self.first.len()];
        let mut found = vec![root];
        seen[root as usize] = true;
        let mut next = 0;
        while let Some(&at) = found.get(next) {
            next += 1;
            let (from, to) = (self.first[at as usize], self.first[at as usize + 1]);
            for &by in &self.from[from as usize..to as usize] {
                if !std::mem::replace(&mut seen[by as usize], true) {
                    found.push(by);
                }
            }
        }
        found.len() - 1
    }
}
