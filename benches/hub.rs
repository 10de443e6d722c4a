//! Is a relation to the most-used entity as quick to add as one to an entity that nobody uses?
//!
//! Each iteration is a whole commit on the log in memory: queue, plan, append, publish, ticket. Half of the commits add a
//! relation and half take it away again, so that the graph stays as it is.
//!
//! ```text
//! cargo bench --package benches --bench hub
//! ```

mod scale;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kg_core::model::{EntityRef, Label, Object, RelationKey};
use kg_core::mutation::{Mutation, Transaction};
use kg_core::testing::generate::hub;

fn hub_write(criterion: &mut Criterion) {
    let snapshot = scale::snapshot();
    let relations = snapshot.relations("depends_on").expect("it has some");
    let degree = |key: &EntityRef| {
        let id = snapshot.entity(key).expect("it is there").id;
        relations.adjacency().incoming(id).len()
    };
    // Entities that need nothing, so that the relation is new whichever way it points.
    let mut ends: Vec<EntityRef> = snapshot
        .entities()
        .filter(|e| relations.adjacency().outgoing(e.id).is_empty() && e.key != hub())
        .map(|e| e.key.clone())
        .collect();
    ends.sort();
    let leaf = ends
        .iter()
        .find(|key| degree(key) == 0)
        .expect("some are used by nobody")
        .clone();
    ends.retain(|key| *key != leaf);
    eprintln!("the hub is used by {} directly", degree(&hub()));
    let graph = scale::live(&snapshot);

    let mut group = criterion.benchmark_group("add_and_remove_relation");
    for (name, to) in [("hub", hub()), ("leaf", leaf)] {
        let mut turn = 0_usize;
        group.bench_function(name, |b| {
            b.iter(|| {
                let key = RelationKey {
                    from: ends[turn / 2 * 7_919 % ends.len()].clone(),
                    label: Label::depends_on(),
                    to: to.clone(),
                };
                let mutation = if turn.is_multiple_of(2) {
                    Mutation::PutRelation {
                        key,
                        properties: Object::new(),
                        create_ends: false,
                    }
                } else {
                    Mutation::DeleteRelation(key)
                };
                turn += 1;
                black_box(graph.commit(Transaction::of(vec![mutation])))
                    .expect("the relation is new, or there")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hub_write);
criterion_main!(benches);
