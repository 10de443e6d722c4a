//! Graphs of entities without relations, and the walk through their names that point reads and updates take.

#![allow(dead_code, reason = "each program here uses a part of it")]

use std::sync::Arc;

use kg_core::commit::Graph;
use kg_core::model::{EntityRef, Object, Value};
use kg_core::mutation::{Mutation, Transaction};

/// A stride that visits every name and is no friend of the cache.
pub const STRIDE: usize = 7_919;

/// Names that agree in their beginnings, as those of services do.
pub fn names(size: usize) -> Vec<EntityRef> {
    (0..size)
        .map(|i| {
            EntityRef::parse("key", &format!("component/checkout-{i:07}")).expect("a valid name")
        })
        .collect()
}

/// A live graph of these, on a log in memory.
pub fn graph_of(names: &[EntityRef]) -> Arc<Graph> {
    let graph = Graph::in_memory();
    for some in names.chunks(10_000) {
        let put = |key: &EntityRef| Mutation::PutEntity {
            key: key.clone(),
            properties: Object::new(),
        };
        graph
            .commit(Transaction::of(some.iter().map(put).collect()))
            .expect("the names are new and valid");
    }
    graph
}

/// An update of one entity that differs from the one before, whatever that said.
pub fn update(key: &EntityRef, number: u64) -> Mutation {
    Mutation::PutEntity {
        key: key.clone(),
        properties: Object::unit(Arc::from("build"), Value::Number(number as f64)),
    }
}

/// A walk through all names, over and over; `thread` begins at a place of its own.
pub fn walk<'a>(names: &'a [EntityRef], thread: u32) -> impl FnMut() -> &'a EntityRef {
    let mut at = thread as usize * (names.len() / 2 + 1);
    move || {
        at = (at + STRIDE) % names.len();
        &names[at]
    }
}
