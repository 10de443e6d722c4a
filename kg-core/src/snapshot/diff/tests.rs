use super::*;
use crate::commit::Graph;
use crate::log::{Record, checkpoint};
use crate::model::EntityRef;
use crate::mutation::{Mutation, Transaction};
use crate::snapshot::fold;
use crate::testing::generate::{self, Rng};
use crate::testing::oracle::Oracle;

/// Snapshots along a random history, the first one empty.
fn history(seed: u64) -> Vec<Snapshot> {
    let mut rng = Rng::new(seed);
    let graph = Graph::in_memory();
    let mut kept = vec![Snapshot::new()];
    for _ in 0..120 {
        // Refusals are part of a history, and change nothing.
        let state = Oracle::of(&graph.snapshot());
        let _ = graph.commit(generate::transaction(&mut rng, &state));
        kept.push(Snapshot::clone(&graph.snapshot()));
    }
    kept
}

/// `changes` folded onto `before`, which must arrive at the hash of `after`.
fn applied(before: &Snapshot, changes: Vec<Change>, after: &Snapshot) -> Snapshot {
    let record = Record {
        revision: before.revision() + 1,
        time_ms: before.time_ms(),
        actor: Arc::from("test"),
        source: Arc::from(""),
        reason: Arc::from(""),
        request_id: Arc::from(""),
        request: None,
        changes: changes.into(),
        hash: after.hash(),
    };
    fold(before, &record).expect("the changes fit and lead to the same content")
}

/// How many entities and relations differ, by comparing all of them.
fn differing(before: &Snapshot, after: &Snapshot) -> usize {
    let (a, b) = (Oracle::of(before), Oracle::of(after));
    let entities = a.entities.keys().chain(b.entities.keys());
    let relations = a.relations.keys().chain(b.relations.keys());
    let entities = entities.collect::<std::collections::BTreeSet<_>>();
    let relations = relations.collect::<std::collections::BTreeSet<_>>();
    let says = |o: &Oracle, key: &EntityRef| {
        let node = o.entities.get(key)?;
        Some((node.body.clone(), node.properties.clone()))
    };
    let relation = |o: &Oracle, key: &RelationKey| {
        let relation = o.relations.get(key)?;
        Some((relation.properties.clone(), relation.position))
    };
    entities
        .iter()
        .filter(|key| says(&a, key) != says(&b, key))
        .count()
        + relations
            .iter()
            .filter(|key| relation(&a, key) != relation(&b, key))
            .count()
}

fn check(seed: u64, before: &Snapshot, after: &Snapshot) {
    let changes = diff(before, after);
    let nodes = |c: &Change| matches!(c, Change::SetNode { .. } | Change::RemoveNode { .. });
    let (documents, others) = changes.iter().partition::<Vec<_>, _>(|c| nodes(c));
    assert_eq!(
        others.len(),
        differing(before, after),
        "seed {seed}: {changes:#?}"
    );
    assert_eq!(
        documents.is_empty(),
        before.documents() == after.documents(),
        "seed {seed}"
    );
    let result = applied(before, changes, after);
    assert!(diff(&result, after).is_empty(), "seed {seed}");
    assert!(diff(after, &result).is_empty(), "seed {seed}");
}

/// The same content under other numbers.
fn renumbered(snapshot: &Snapshot) -> Snapshot {
    let mut file = Vec::new();
    checkpoint::write(snapshot, "store", "test", 7, &mut file).expect("a vector has room");
    checkpoint::read(&mut file.as_slice())
        .expect("what was written reads")
        .1
}

#[test]
fn a_difference_applied_to_one_gives_the_other_forwards_and_backwards() {
    for seed in 0..20 {
        let kept = history(seed);
        let mut rng = Rng::new(seed);
        for _ in 0..60 {
            let (a, b) = (rng.pick(&kept), rng.pick(&kept));
            check(seed, a, b);
            check(seed, b, a);
        }
    }
}

#[test]
fn a_difference_does_not_depend_on_numbers() {
    for seed in 0..10 {
        let kept = history(seed);
        let mut rng = Rng::new(seed);
        for _ in 0..10 {
            let (a, b) = (rng.pick(&kept), rng.pick(&kept));
            let other = renumbered(b);
            assert!(diff(b, &other).is_empty(), "seed {seed}");
            check(seed, a, &other);
            check(seed, &other, a);
        }
    }
}

#[test]
fn what_went_and_came_back_did_not_change() {
    let graph = Graph::in_memory();
    let key = EntityRef::parse("key", "team/red").expect("a valid name");
    let put = Mutation::PutEntity {
        key: key.clone(),
        properties: Object::new(),
    };
    let commit = |mutation: Mutation| {
        graph
            .commit(Transaction::of(vec![mutation]))
            .expect("it is valid");
        Snapshot::clone(&graph.snapshot())
    };
    let before = commit(put.clone());
    let between = commit(Mutation::DeleteEntity { key, force: false });
    let after = commit(put);
    assert_eq!(diff(&before, &between).len(), 1);
    assert!(diff(&before, &after).is_empty());
}
