//! The history ring under imports and restores: what an old revision costs, and what is charged.

use kg_core::commit::{Committer, Graph, History, HistoryLimits, Options, Outcome, Settled};
use kg_core::log::{InlineLog, MemoryLog};
use kg_core::model::{EntityRef, Object};
use kg_core::mutation::{Mutation, Transaction};
use kg_core::snapshot::Snapshot;
use std::sync::Arc;

fn graph(limits: HistoryLimits) -> Arc<Graph> {
    let history = History::new(Arc::new(Snapshot::new()), limits);
    let log = Box::new(MemoryLog::new());
    Arc::new(Graph::inline(history, &Options::default(), log))
}

fn put(name: String) -> Mutation {
    Mutation::PutEntity {
        key: EntityRef::parse("key", &name).expect("a valid name"),
        properties: Object::new(),
    }
}

fn commit(graph: &Arc<Graph>, mutations: Vec<Mutation>, time_ms: u64) -> Outcome {
    let transaction = Transaction {
        time_ms,
        ..Transaction::of(mutations)
    };
    graph.commit(transaction).expect("committed")
}

#[test]
fn an_import_within_one_second_leaves_snapshots_close_to_each_other() {
    let limits = HistoryLimits {
        dense: 2,
        ..HistoryLimits::default()
    };
    let graph = graph(limits);
    let mut hashes = vec![0];
    for chunk in 0..40 {
        let rows = (0..1_000).map(|row| put(format!("host/{chunk}-{row}")));
        hashes.push(commit(&graph, rows.collect(), 5_000).snapshot.hash());
    }
    let published = graph.published();
    assert_eq!(published.history.oldest(), 0);
    for revision in 1..=40 {
        let snapshot = published.history.at(revision).expect("it is kept");
        assert_eq!(
            snapshot.hash(),
            hashes[usize::try_from(revision).expect("small")]
        );
        assert!(
            published.history.folded_for(revision) <= 10_000,
            "revision {revision}"
        );
    }
}

#[test]
fn what_was_restored_is_charged_and_given_back() {
    let limits = HistoryLimits {
        revisions: 3,
        ..HistoryLimits::default()
    };
    let graph = graph(limits);
    let many = (0..1_000).map(|row| put(format!("host/{row}")));
    let full = commit(&graph, many.collect(), 0);
    commit(&graph, vec![put("host/another".into())], 0);
    let before = graph.published().history.bytes();
    let restore = Mutation::Restore {
        checkpoint: "restored-x".into(),
        content: full.snapshot.clone(),
    };
    let restored = commit(&graph, vec![restore], 0);
    assert_eq!(restored.snapshot.hash(), full.snapshot.hash());
    assert!(graph.published().history.bytes() > before + 100_000);
    // Revisions before, at and after the restore are all what they were.
    let after = commit(&graph, vec![put("host/after".into())], 0);
    assert_eq!(
        graph.snapshot_at(3).expect("kept").hash(),
        full.snapshot.hash()
    );
    assert_eq!(
        graph.snapshot_at(4).expect("kept").hash(),
        after.snapshot.hash()
    );
    for i in 0..10 {
        commit(&graph, vec![put(format!("host/later-{i}"))], 0);
    }
    assert!(graph.published().history.bytes() < 100_000);
}

#[test]
fn a_restore_is_read_back_through_the_thinned_part_of_the_ring() {
    let limits = HistoryLimits {
        dense: 1,
        ..HistoryLimits::default()
    };
    let graph = graph(limits);
    let first = commit(&graph, vec![put("host/a".into())], 0);
    let mut hashes = vec![0, first.snapshot.hash()];
    for i in 0..20 {
        hashes.push(
            commit(&graph, vec![put(format!("host/b{i}"))], 10)
                .snapshot
                .hash(),
        );
        let restore = Mutation::Restore {
            checkpoint: "restored-x".into(),
            content: first.snapshot.clone(),
        };
        hashes.push(commit(&graph, vec![restore], 20).snapshot.hash());
    }
    for (revision, hash) in hashes.iter().enumerate() {
        let snapshot = graph.snapshot_at(revision as u64).expect("it is kept");
        assert_eq!(snapshot.hash(), *hash, "revision {revision}");
    }
}

#[test]
fn what_has_its_answer_is_no_longer_charged() {
    let graph = graph(HistoryLimits::default());
    assert_eq!(graph.queue_bytes(), 0);
    commit(&graph, vec![put("host/a".into())], 0);
    assert_eq!(graph.queue_bytes(), 0);
}

#[test]
fn a_fork_and_its_graph_do_not_see_each_other() {
    let graph = graph(HistoryLimits::default());
    commit(&graph, vec![put("host/both".into())], 1);
    let at = graph.snapshot();
    let hash = at.hash();
    commit(&graph, vec![put("host/real".into())], 2);

    let (fork, mut log) = graph.fork(&at);
    assert_eq!(fork.revisions(), (1, 1));
    assert_eq!(fork.snapshot().hash(), hash);
    let pending = fork.submit(Transaction::of(vec![put("host/forked".into())]));
    let mut committer = Committer::new(fork.clone(), 1);
    while let Some(staged) = committer.stage() {
        let appended = log.append_now(staged.batch.as_ref().expect("it changes something"));
        assert!(matches!(committer.settle(staged, appended), Settled::Done));
    }
    let outcome = pending.expect("it is open").wait().expect("answered");
    assert_eq!(outcome.expect("committed").revision, 2);
    commit(&graph, vec![put("host/later".into())], 3);

    let has = |graph: &Graph, name: &str| {
        let key = EntityRef::parse("key", name).expect("a valid name");
        graph.read(|head| head.entity(&key).is_some())
    };
    let of = |graph: &Graph| {
        ["both", "real", "later", "forked"].map(|n| has(graph, &format!("host/{n}")))
    };
    assert_eq!(of(&graph), [true, true, true, false]);
    assert_eq!(of(&fork), [true, false, false, true]);
    assert_eq!(at.hash(), hash);
}
