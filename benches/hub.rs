//! Is a relation to an entity that 100,000 need as quick to add as one to an entity that nobody needs?
//!
//! Each iteration is a whole commit on the log in memory: queue, plan, append, publish, ticket. Half of the commits add a
//! relation and half take it away again, so that the graph stays as it is. Both take turns on one graph and walk through the
//! same entities, which need nothing else, from which the relation points.
//!
//! ```text
//! cargo bench --package benches --bench hub
//! ```

mod ask;

use std::sync::Arc;

use ask::Ask;
use benches::contest::{Contest, Unit, each};
use kg_core::commit::Graph;
use kg_core::model::{EntityRef, Label, Object, RelationKey};
use kg_core::mutation::{Mutation, Transaction};

/// A stride that visits every entity and is no friend of the cache.
const STRIDE: usize = 7_919;

fn main() {
    let mut ask = Ask::new(
        "hub",
        "Is a relation to an entity that 100,000 need as quick to add as one to an entity that nobody needs?",
    );
    let users = ask.mode.size(100_000, 1_000);
    let graph = Graph::in_memory();
    let name = |what: String| EntityRef::parse("key", &what).expect("a valid name");
    let (hub, leaf) = (name("package/hub".into()), name("package/leaf".into()));
    let in_need: Vec<_> = (0..users)
        .map(|i| name(format!("package/user-{i:06}")))
        .collect();
    let ends: Vec<_> = (0..users / 2)
        .map(|i| name(format!("package/other-{i:06}")))
        .collect();
    let all: Vec<_> = [&hub, &leaf]
        .into_iter()
        .chain(&in_need)
        .chain(&ends)
        .collect();
    commit(&graph, all.into_iter().map(put));
    commit(&graph, in_need.iter().map(|from| relate(from, &hub)));
    let needed_by = |key: &EntityRef| {
        graph.read(|s| {
            let id = s.entity(key).expect("it was put").id;
            s.relations("depends_on")
                .map_or(0, |r| r.adjacency().incoming(id).len())
        })
    };
    assert_eq!((needed_by(&hub), needed_by(&leaf)), (users, 0));

    let add_and_remove = |to: &EntityRef| {
        let (graph, ends, to) = (graph.clone(), &ends, to.clone());
        let mut turn = 0_usize;
        move || {
            let from = &ends[turn / 2 * STRIDE % ends.len()];
            let mutation = if turn.is_multiple_of(2) {
                relate(from, &to)
            } else {
                Mutation::DeleteRelation(relation(from, &to))
            };
            turn += 1;
            graph
                .commit(Transaction::of(vec![mutation]))
                .expect("the relation is new, or there")
        }
    };
    ask.of(Contest::of(
        "commit of one relation",
        Unit::Time,
        "to a hub of 100,000",
        each(add_and_remove(&hub)),
    )
    .rival("to a leaf", Some(2.0), each(add_and_remove(&leaf))));
}

fn put(key: &EntityRef) -> Mutation {
    Mutation::PutEntity {
        key: key.clone(),
        properties: Object::new(),
    }
}

fn relation(from: &EntityRef, to: &EntityRef) -> RelationKey {
    RelationKey {
        from: from.clone(),
        label: Label::depends_on(),
        to: to.clone(),
    }
}

fn relate(from: &EntityRef, to: &EntityRef) -> Mutation {
    Mutation::PutRelation {
        key: relation(from, to),
        properties: Object::new(),
        create_ends: false,
    }
}

fn commit(graph: &Arc<Graph>, mutations: impl Iterator<Item = Mutation>) {
    let all: Vec<_> = mutations.collect();
    for some in all.chunks(10_000) {
        graph
            .commit(Transaction::of(some.to_vec()))
            .expect("the names are new and valid");
    }
}
