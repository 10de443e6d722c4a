//! What does it cost to read one service by its name, and what does holding the graph for it cost?
//!
//! Three ways: in a snapshot that is held already, through a guard for one look (`Graph::read`), and by taking a snapshot
//! for that one look (`Graph::snapshot`); at the size of the system that Amadeus replaces and at 100,000 services. The
//! baselines are a `HashMap` behind an `RwLock`, which is the design that was replaced, and the bare `HashMap`.
//!
//! ```text
//! cargo bench --package benches --bench point_read
//! ```

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, RwLock};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use kg_core::commit::Graph;
use kg_core::model::{Entity, EntityRef, Object};
use kg_core::mutation::{Mutation, Transaction};

const SIZES: [usize; 2] = [2_400, 100_000];

/// A stride that visits every name and is no friend of the cache.
const STRIDE: usize = 7_919;

fn graph_of(names: &[EntityRef]) -> Arc<Graph> {
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

fn point_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("point_read");
    for size in SIZES {
        let names: Vec<EntityRef> = (0..size)
            .map(|i| {
                EntityRef::parse("key", &format!("component/checkout-{i:06}"))
                    .expect("a valid name")
            })
            .collect();
        let graph = graph_of(&names);
        let snapshot = graph.snapshot();
        let map: HashMap<EntityRef, Arc<Entity>> = names
            .iter()
            .map(|key| {
                (
                    key.clone(),
                    snapshot.entity(key).expect("it was just put").clone(),
                )
            })
            .collect();
        let mut at = 0;
        let mut next = || {
            at = (at + STRIDE) % size;
            &names[at]
        };

        group.bench_function(BenchmarkId::new("held_snapshot", size), |b| {
            b.iter(|| black_box(snapshot.entity(next()).map(|found| found.modified_revision)));
        });
        group.bench_function(BenchmarkId::new("guard", size), |b| {
            b.iter(|| {
                graph.read(|s| black_box(s.entity(next()).map(|found| found.modified_revision)))
            });
        });
        group.bench_function(BenchmarkId::new("snapshot_each", size), |b| {
            b.iter(|| {
                black_box(
                    graph
                        .snapshot()
                        .entity(next())
                        .map(|found| found.modified_revision),
                )
            });
        });
        group.bench_function(BenchmarkId::new("hash_map", size), |b| {
            b.iter(|| black_box(map.get(next()).map(|found| found.modified_revision)));
        });
        let locked = RwLock::new(map.clone());
        group.bench_function(BenchmarkId::new("rwlock_hash_map", size), |b| {
            b.iter(|| {
                black_box(
                    locked
                        .read()
                        .expect("nobody panics with it")
                        .get(next())
                        .map(|found| found.modified_revision),
                )
            });
        });
    }
    group.finish();
}

fn take_snapshot(criterion: &mut Criterion) {
    let graph = graph_of(&[EntityRef::parse("key", "component/one").expect("a valid name")]);
    criterion.bench_function("snapshot", |b| b.iter(|| black_box(graph.snapshot())));
    criterion.bench_function("guard", |b| {
        b.iter(|| graph.read(|s| black_box(s.revision())))
    });
}

criterion_group!(benches, point_read, take_snapshot);
criterion_main!(benches);
