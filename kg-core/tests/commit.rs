//! Invariants of the commit path, held against the public API by many threads on an inline graph.

use kg_core::commit::{CommitError, Graph, History, HistoryLimits, Options, Outcome};
use kg_core::error::Refusal;
use kg_core::log::{CommitLog, MemoryLog, Record};
use kg_core::model::{
    Dependency, Entity, EntityRef, Label, Name, Object, Path, RelationKey, ServiceSpec, Value,
};
use kg_core::mutation::{Change, Mutation, Precondition, Request, Transaction};
use kg_core::snapshot::{RequestKey, Snapshot};
use kg_core::sync::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

fn key(text: &str) -> EntityRef {
    EntityRef::parse("key", text).expect("a valid name")
}

fn put(text: &str) -> Mutation {
    Mutation::PutEntity {
        key: key(text),
        properties: Object::new(),
    }
}

fn relation(from: &str, label: &str, to: &str) -> RelationKey {
    RelationKey {
        from: key(from),
        label: Label::parse("label", label).expect("valid"),
        to: key(to),
    }
}

fn relate(from: &str, label: &str, to: &str) -> Mutation {
    Mutation::PutRelation {
        key: relation(from, label, to),
        properties: Object::new(),
        create_ends: false,
    }
}

fn commit(graph: &Arc<Graph>, mutations: Vec<Mutation>) -> Result<Outcome, CommitError> {
    graph.commit(Transaction::of(mutations))
}

fn refusal(result: Result<Outcome, CommitError>) -> Refusal {
    match result {
        Err(CommitError::Refused(refusal)) => refusal,
        other => panic!("a refusal expected, {other:?} found"),
    }
}

fn on_log() -> (Arc<Graph>, MemoryLog) {
    let log = MemoryLog::new();
    let history = History::new(Arc::new(Snapshot::new()), HistoryLimits::default());
    (
        Arc::new(Graph::inline(
            history,
            &Options::default(),
            Box::new(log.clone()),
        )),
        log,
    )
}

fn records(log: &MemoryLog) -> Vec<Record> {
    block_on(log.read(1, usize::MAX)).expect("all are kept")
}

#[test]
fn n_tasks_with_m_distinct_writes_give_n_times_m_entities_and_as_many_revisions() {
    const TASKS: usize = 8;
    const EACH: usize = 250;
    let (graph, log) = on_log();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..TASKS)
            .map(|task| {
                let graph = &graph;
                scope.spawn(move || {
                    for i in 0..EACH {
                        let name = format!("thing/{task}-{i}");
                        let outcome = commit(graph, vec![put(&name)]).expect("committed");
                        let visible = graph.snapshot();
                        assert!(
                            visible.revision() >= outcome.revision
                                && visible.entity(&key(&name)).is_some()
                        );
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = graph.snapshot();
                    assert!(
                        snapshot.revision() >= last,
                        "a reader saw the revision go down"
                    );
                    assert_eq!(snapshot.entity_count() as u64, snapshot.revision());
                    last = snapshot.revision();
                }
            });
        }
        for writer in writers {
            writer.join().expect("no panic");
        }
        done.store(true, Ordering::Relaxed);
    });
    let head = graph.snapshot();
    assert_eq!(
        (head.entity_count(), head.revision()),
        (TASKS * EACH, (TASKS * EACH) as u64)
    );
    let revisions: Vec<u64> = records(&log).iter().map(|r| r.revision).collect();
    assert_eq!(revisions, (1..=(TASKS * EACH) as u64).collect::<Vec<_>>());
}

#[test]
fn folding_the_log_from_nothing_gives_the_heads_hash() {
    let (graph, log) = on_log();
    let path = |text: &str| Path::parse(text).expect("valid");
    let set = |at: &str, json: &str| Mutation::UpdateNode {
        path: path(at),
        value: Value::from_json(json.as_bytes()).expect("json"),
    };
    for mutations in [
        vec![
            put("team/a"),
            put("team/b"),
            relate("team/a", "knows", "team/b"),
        ],
        vec![set(
            "services.cart.dependencies",
            r#"["currency:v2", "redis"]"#,
        )],
        vec![
            set("docs.a[0].b", "1"),
            set("docs.a[1]", r#"{"c": []}"#),
            set("docs.e", "{}"),
        ],
        vec![set("docs.e.f", "true")],
        vec![Mutation::DeleteNode(path("docs.a[0]"))],
        vec![Mutation::DeleteNode(path("docs.e.f"))],
        vec![set("services.cart.dependencies", r#"["redis", "mail"]"#)],
        vec![Mutation::DeleteEntity {
            key: key("team/b"),
            force: true,
        }],
        vec![Mutation::DeleteEntity {
            key: key("cart"),
            force: false,
        }],
    ] {
        commit(&graph, mutations).expect("committed");
    }
    let mut folded = Snapshot::new();
    for record in records(&log) {
        let read_back = Record::decode(&record.encode()).expect("a record");
        folded.fold_in_place(&read_back).expect("it fits");
    }
    let head = graph.snapshot();
    assert_eq!((folded.hash(), folded.revision()), (head.hash(), 9));
    assert_eq!(
        head.entity_count(),
        1,
        "the placeholders went with their last dependents"
    );
    // The hash is of the content, so the same content reached by another way has it too.
    let other = Graph::in_memory();
    commit(
        &other,
        vec![put("team/a"), set("docs", r#"{"a": [{"c": []}], "e": {}}"#)],
    )
    .expect("committed");
    assert_eq!(other.snapshot().hash(), head.hash());
}

#[test]
fn a_record_that_was_read_back_holds_the_entities_of_the_graph() {
    let (graph, log) = on_log();
    let with = |number: f64| Mutation::PutEntity {
        key: key("team/a"),
        properties: Object::unit("n".into(), Value::Number(number)),
    };
    for mutations in [
        vec![with(1.0)],
        // Twice in one transaction: what stood in between stands in no snapshot.
        vec![with(2.0), with(3.0)],
        vec![Mutation::DeleteEntity {
            key: key("team/a"),
            force: false,
        }],
    ] {
        commit(&graph, mutations).expect("committed");
    }
    let mut snapshots = vec![Snapshot::new()];
    let mut shared = Vec::new();
    for mut record in records(&log)
        .iter()
        .map(|r| Record::decode(&r.encode()).expect("whole"))
    {
        let mut next = snapshots.last().expect("one").clone();
        let written = record.encode();
        next.fold_and_share(&mut record).expect("it fits");
        assert_eq!(record.encode(), written, "it says what it said");
        for change in record.changes.iter() {
            let (entity, previous) = match change {
                Change::PutEntity { entity, previous } => (Some(entity), previous.as_ref()),
                Change::RemoveEntity { previous } => (None, Some(previous)),
                other => panic!("{other:?}"),
            };
            let is = |own: Option<&Arc<Entity>>, of: &Snapshot| {
                own.zip(of.entity(&key("team/a")))
                    .is_some_and(|(a, b)| Arc::ptr_eq(a, b))
            };
            shared.push((
                is(previous, snapshots.last().expect("one")),
                is(entity, &next),
            ));
        }
        snapshots.push(next);
    }
    let (before, after) = ((true, false), (false, true));
    assert_eq!(shared, [after, before, after, before]);
}

#[test]
fn a_refused_transaction_leaves_no_trace() {
    let (graph, log) = on_log();
    commit(&graph, vec![put("team/a")]).expect("committed");
    let before = (graph.snapshot().hash(), graph.revisions());
    let refused = refusal(commit(
        &graph,
        vec![put("team/b"), relate("team/a", "knows", "team/none")],
    ));
    assert_eq!(refused, Refusal::NotFound("team/none".into()));
    assert_eq!((graph.snapshot().hash(), graph.revisions()), before);
    assert_eq!(records(&log).len(), 1);
}

#[test]
fn of_k_writes_that_expect_the_same_revision_exactly_one_commits() {
    for expected in [0, 1] {
        let graph = Graph::in_memory();
        if expected == 1 {
            commit(&graph, vec![put("team/a")]).expect("committed");
        }
        let won = AtomicUsize::new(0);
        thread::scope(|scope| {
            for i in 0..16 {
                let (graph, won) = (&graph, &won);
                scope.spawn(move || {
                    let properties = Object::unit("n".into(), Value::Number(f64::from(i)));
                    let transaction = Transaction {
                        preconditions: vec![Precondition::EntityAt {
                            key: key("team/a"),
                            revision: expected,
                        }],
                        ..Transaction::of(vec![Mutation::PutEntity {
                            key: key("team/a"),
                            properties,
                        }])
                    };
                    match graph.commit(transaction) {
                        Ok(_) => drop(won.fetch_add(1, Ordering::Relaxed)),
                        Err(CommitError::Refused(Refusal::AlreadyExists(_))) => {
                            assert_eq!(expected, 0)
                        }
                        Err(CommitError::Refused(Refusal::RevisionMismatch { .. })) => {
                            assert_eq!(expected, 1)
                        }
                        other => panic!("{other:?}"),
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
    }
}

#[test]
fn a_delete_that_races_a_relation_ends_in_one_of_the_two_orders() {
    for _ in 0..200 {
        let graph = Graph::in_memory();
        commit(&graph, vec![put("team/a"), put("team/b")]).expect("committed");
        let (deleted, related) = thread::scope(|scope| {
            let delete = scope.spawn(|| {
                commit(
                    &graph,
                    vec![Mutation::DeleteEntity {
                        key: key("team/b"),
                        force: false,
                    }],
                )
                .is_ok()
            });
            let relate =
                scope.spawn(|| commit(&graph, vec![relate("team/a", "knows", "team/b")]).is_ok());
            (
                delete.join().expect("no panic"),
                relate.join().expect("no panic"),
            )
        });
        assert!(deleted != related, "exactly one of the two can succeed");
        let head = graph.snapshot();
        assert_eq!(head.entity(&key("team/b")).is_some(), related);
        assert_eq!(head.relation_count(), usize::from(related));
    }
}

#[test]
fn the_same_request_id_applies_once() {
    let graph = Graph::in_memory();
    let ask = |body: u64, name: &str| Transaction {
        request: Some(Request {
            key: RequestKey::new("me", "r-1"),
            body,
        }),
        ..Transaction::of(vec![put(name)])
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let asks: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| graph.commit(ask(7, "team/a")).expect("an outcome")))
            .collect();
        asks.into_iter()
            .map(|ask| ask.join().expect("no panic"))
            .collect()
    });
    assert!(outcomes.iter().all(|outcome| outcome.revision == 1));
    assert_eq!(
        outcomes.iter().filter(|outcome| !outcome.repeated).count(),
        1
    );
    assert_eq!(graph.revisions().0, 1);
    let other = refusal(graph.commit(ask(8, "team/b")));
    assert!(other.to_string().contains("request_id"), "{other}");
}

#[test]
fn a_change_that_changes_nothing_makes_no_revision() {
    let graph = Graph::in_memory();
    let spec = || Mutation::RegisterService {
        service: Box::new(ServiceSpec::named(
            Name::parse("name", "cart").expect("valid"),
        )),
        strict: false,
    };
    assert!(commit(&graph, vec![spec()]).expect("committed").changed);
    let again = commit(&graph, vec![spec()]).expect("nothing to do");
    assert_eq!(
        (again.changed, again.revision, graph.revisions().0),
        (false, 1, 1)
    );
}

/// Found by the fuzz target `wire_requests`: the dependency that was added later got a place of its own, which nobody sees,
/// and with it a revision. A service that registers again at each start made one each time that somebody had added one.
#[test]
fn a_service_that_is_registered_as_it_is_shown_changes_nothing() {
    let (graph, _) = on_log();
    let register = |needs: Vec<Dependency>| Mutation::RegisterService {
        service: Box::new(ServiceSpec {
            dependencies: needs,
            ..ServiceSpec::named(Name::parse("name", "a").expect("valid"))
        }),
        strict: false,
    };
    let shown = |graph: &Graph| {
        let snapshot = graph.snapshot();
        snapshot.dependencies(snapshot.service("a").expect("registered"))
    };
    let needs = |name: &str| Dependency::on(Name::parse("name", name).expect("valid"));
    commit(&graph, vec![register(vec![needs("z")])]).expect("committed");
    commit(&graph, vec![relate("service/a", "depends_on", "service/b")]).expect("committed");
    assert_eq!(shown(&graph), [needs("z"), needs("b")]);
    let again = commit(&graph, vec![register(shown(&graph))]).expect("it is as it was");
    assert_eq!((again.revision, again.changed), (2, false));
    // Another order is a change.
    let other = commit(&graph, vec![register(vec![needs("b"), needs("z")])]).expect("committed");
    assert_eq!((other.revision, other.changed), (3, true));
    assert_eq!(shown(&graph), [needs("b"), needs("z")]);
}

/// Found by the fuzz target `dot_paths`: it was NOT_FOUND of the path `services.a.`, which nobody had written.
#[test]
fn a_path_that_takes_a_typed_body_for_a_list_is_told_so() {
    let graph = Graph::in_memory();
    for at in ["services.a[0]", "services.a[0].b", "patterns.a[0]"] {
        let update = Mutation::UpdateNode {
            path: Path::parse(at).expect("valid"),
            value: Value::Null,
        };
        let Refusal::Invalid(faults) = refusal(commit(&graph, vec![update])) else {
            panic!("{at} is invalid")
        };
        let said = faults[0].to_string();
        assert!(
            said.contains("is an object, where the path needs a list"),
            "{said}"
        );
    }
}

#[test]
fn a_forced_delete_leaves_a_placeholder_where_services_depend_on_it() {
    let graph = Graph::in_memory();
    let set = |at: &str, json: &str| Mutation::UpdateNode {
        path: Path::parse(at).expect("valid"),
        value: Value::from_json(json.as_bytes()).expect("json"),
    };
    commit(
        &graph,
        vec![
            set("services.cart", r#"{"dependencies": ["redis"]}"#),
            set("services.redis", "{}"),
            put("team/a"),
        ],
    )
    .expect("committed");
    commit(&graph, vec![relate("team/a", "owns", "redis")]).expect("committed");
    let delete = |force| {
        vec![Mutation::DeleteEntity {
            key: key("redis"),
            force,
        }]
    };
    let Refusal::Precondition { blockers, .. } = refusal(commit(&graph, delete(false))) else {
        panic!("blocked")
    };
    assert_eq!(
        blockers,
        [
            "service/cart depends_on service/redis",
            "team/a owns service/redis"
        ]
    );
    commit(&graph, delete(true)).expect("forced");
    let head = graph.snapshot();
    assert!(head.service("redis").is_some_and(|e| e.is_placeholder()));
    assert_eq!(
        head.relation_count(),
        1,
        "the other incoming relation went in the same revision"
    );
    commit(&graph, vec![set("services.cart.dependencies", "[]")]).expect("committed");
    assert!(
        graph.snapshot().service("redis").is_none(),
        "a placeholder goes with its last incoming relation"
    );
}

#[test]
fn every_recent_revision_reads_as_it_was() {
    let graph = Graph::in_memory();
    for i in 0..600_u32 {
        commit(&graph, vec![put(&format!("thing/{i}"))]).expect("committed");
    }
    for revision in 0..=600 {
        let then = graph.snapshot_at(revision).expect("kept");
        assert_eq!(
            (then.revision(), then.entity_count() as u64),
            (revision, revision)
        );
    }
    assert!(graph.snapshot_at(601).is_err());
}

#[test]
fn the_ring_keeps_to_its_bounds() {
    let limits = HistoryLimits {
        revisions: 50,
        dense: 10,
        ..HistoryLimits::default()
    };
    let options = Options {
        history: limits,
        ..Options::default()
    };
    let history = History::new(Arc::new(Snapshot::new()), limits);
    let graph = Arc::new(Graph::inline(history, &options, Box::new(MemoryLog::new())));
    for i in 0..200_u32 {
        let transaction = Transaction {
            time_ms: u64::from(i) * 100,
            ..Transaction::of(vec![put(&format!("thing/{i}"))])
        };
        graph.commit(transaction).expect("committed");
    }
    let (newest, oldest) = graph.revisions();
    assert!(newest - oldest <= 50, "{oldest} to {newest}");
    for revision in oldest..=newest {
        assert_eq!(
            graph.snapshot_at(revision).expect("kept").entity_count() as u64,
            revision
        );
    }
    assert!(graph.snapshot_at(oldest - 1).is_err());
}
