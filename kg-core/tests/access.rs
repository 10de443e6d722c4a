//! What somebody may see is a graph of its own, equal to the naive oracle's at every revision; and what somebody may not
//! change stays as it was, whatever they ask for.

use kg_core::access::{Authority, Reach, Scope, follow, owner_of, view};
use kg_core::commit::Graph;
use kg_core::error::Refusal;
use kg_core::model::{EntityRef, Kind, Label, Object, Path, RelationKey, Value};
use kg_core::mutation::{Mutation, Precondition, Transaction, plan};
use kg_core::snapshot::{Snapshot, diff};
use kg_core::testing::compare;
use kg_core::testing::generate::{self, Rng};
use kg_core::testing::oracle::Oracle;
use std::sync::Arc;

const SEEDS: u64 = 60;
const STEPS: usize = 60;

fn key(text: &str) -> EntityRef {
    EntityRef::parse("key", text).expect("a valid name")
}

fn scope(rng: &mut Rng) -> Scope {
    let kind = match rng.below(5) {
        0 => Some("service"),
        1 => Some("team"),
        2 => Some("document"),
        _ => None,
    };
    let prefix = match rng.below(6) {
        0 => "pay",
        1 => "a",
        2 => "no",
        3 => "payments",
        _ => "",
    };
    let owner = rng.once_in(4).then(|| generate::capability(rng).to_owned());
    Scope {
        kind: kind.map(|kind| Kind::parse("kind", kind).expect("a valid kind")),
        name_prefix: prefix.to_owned(),
        owner,
    }
}

fn reach(rng: &mut Rng) -> Reach {
    Reach::Within((0..1 + rng.below(3)).map(|_| scope(rng)).collect())
}

/// The same, naively: everything that is not covered is struck out.
fn struck_out(whole: &Snapshot, reach: &Reach) -> Oracle {
    let mut oracle = Oracle::of(whole);
    oracle.entities.retain(|key, _| {
        let entity = whole.entity(key).expect("it stands");
        reach.covers(key, owner_of(entity))
    });
    let entities = &oracle.entities;
    oracle
        .relations
        .retain(|key, _| entities.contains_key(&key.from) && entities.contains_key(&key.to));
    let hidden: Vec<String> = oracle.sections.keys().cloned().collect();
    for section in hidden.iter().filter(|s| !reach.covers_section(s)) {
        oracle.sections.remove(section);
        oracle.documents.remove(section.as_str());
    }
    oracle.requests.clear();
    oracle
}

#[test]
fn a_view_answers_like_a_graph_that_holds_nothing_else() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let (graph, mut state) = (Graph::in_memory(), Oracle::default());
        let reaches: Vec<Reach> = (0..4).map(|_| reach(&mut rng)).collect();
        let mut views: Vec<Snapshot> = reaches.iter().map(|_| Snapshot::new()).collect();
        for step in 0..STEPS {
            let transaction = generate::transaction(&mut rng, &state);
            let _ = state.apply(&transaction);
            let before = graph.snapshot();
            let _ = graph.commit(transaction);
            let now = graph.snapshot();
            if now.revision() == before.revision() {
                continue;
            }
            let published = graph.published();
            let record = published.history.record(now.revision()).expect("just made");
            for (reach, seen) in reaches.iter().zip(&mut views) {
                let followed = follow(seen, reach, record, || Some(now.shared()));
                let followed = followed.expect("nothing was restored");
                let expected = struck_out(&now, reach);
                assert_eq!(
                    Oracle::of(&followed),
                    expected,
                    "seed {seed}, step {step}, {reach:?}"
                );
                let made = view(&now, reach, &now);
                assert_eq!(Oracle::of(&made), expected, "seed {seed}, {reach:?}");
                assert!(diff(&made, &followed).is_empty());
                *seen = followed;
            }
        }
        for seen in &views {
            compare::everything(seen, &Oracle::of(seen), &mut rng);
        }
    }
}

#[test]
fn an_old_revision_shows_what_may_be_seen_both_then_and_now() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(1_000 + seed);
        let (graph, mut state) = (Graph::in_memory(), Oracle::default());
        for _ in 0..STEPS {
            let transaction = generate::transaction(&mut rng, &state);
            let _ = state.apply(&transaction);
            let _ = graph.commit(transaction);
        }
        let now = graph.snapshot();
        for _ in 0..10 {
            let reach = reach(&mut rng);
            let then = rng.below(usize::try_from(now.revision()).expect("small") + 1);
            let then = graph.snapshot_at(then as u64).expect("it is kept");
            let seen = view(&then, &reach, &now);
            for entity in then.entities() {
                let may_now = match now.entity(&entity.key) {
                    Some(entity) => reach.covers_entity(entity),
                    None => reach.covers(&entity.key, None),
                };
                let may = reach.covers_entity(entity) && may_now;
                assert_eq!(
                    seen.entity(&entity.key).is_some(),
                    may,
                    "seed {seed}: {}",
                    entity.key
                );
            }
            compare::everything(&seen, &Oracle::of(&seen), &mut rng);
        }
    }
}

/// What a refusal says, in words that could be names.
fn words(refusal: &Refusal) -> Vec<String> {
    let text = refusal.to_string();
    let words = text.split([' ', ',', ':', ';', '(', ')']);
    words.map(str::to_owned).collect()
}

#[test]
fn what_may_not_be_changed_stays_and_what_is_hidden_is_not_named() {
    let (mut done, mut denied) = (0, 0);
    for seed in 0..4 * SEEDS {
        let mut rng = Rng::new(2_000 + seed);
        let (graph, mut state) = (Graph::in_memory(), Oracle::default());
        for _ in 0..STEPS {
            let mut transaction = generate::transaction(&mut rng, &state);
            if rng.once_in(2) {
                let changes = reach(&mut rng);
                let mut sees = changes.clone();
                if let Reach::Within(scopes) = &mut sees {
                    scopes.extend((0..rng.below(3)).map(|_| scope(&mut rng)));
                }
                let authority = Authority {
                    sees,
                    changes,
                    knows_of_hidden: rng.once_in(2),
                };
                let head = graph.snapshot();
                transaction.authority = Some(Arc::new(authority.clone()));
                match plan(&head, &transaction) {
                    Ok(plan) => {
                        done += usize::from(!plan.changes.is_empty());
                        unchanged(&head, &plan.next, &authority.changes);
                    }
                    Err(refusal) => {
                        denied += usize::from(matches!(refusal, Refusal::Denied(_)));
                        let named = format!("{transaction:?}");
                        for word in words(&refusal) {
                            let Ok(key) = EntityRef::parse("key", &word) else {
                                continue;
                            };
                            if !word.contains('/') || head.entity(&key).is_none() {
                                continue;
                            }
                            let known = authority.sees.covers_in(&head, &key)
                                || named.contains(key.name.as_str())
                                // Printed with escapes, of which there are several ways.
                                || key.name.as_str().contains('"');
                            assert!(known, "seed {seed}: {key} is named by: {refusal}");
                        }
                    }
                }
            }
            let _ = graph.commit(transaction);
            state = Oracle::of(&graph.snapshot());
        }
    }
    assert!(done > 500, "only {done} were done");
    assert!(denied > 500, "only {denied} were denied");
}

fn unchanged(before: &Snapshot, after: &Snapshot, reach: &Reach) {
    let (old, new) = (Oracle::of(before), Oracle::of(after));
    let theirs = |key: &EntityRef| {
        let entity = before.entity(key).expect("it stands");
        !entity.is_placeholder() && !reach.covers_entity(entity)
    };
    for (key, node) in old.entities.iter().filter(|(key, _)| theirs(key)) {
        assert_eq!(new.entities.get(key), Some(node), "{key}");
    }
    for (key, relation) in &old.relations {
        if theirs(&key.from) {
            assert_eq!(new.relations.get(key), Some(relation), "{key}");
        }
    }
    for (key, relation) in &new.relations {
        if old.entities.contains_key(&key.from) && theirs(&key.from) {
            assert_eq!(old.relations.get(key), Some(relation), "{key}");
        }
    }
    for section in old.sections.keys().chain(new.sections.keys()) {
        if !reach.covers_section(section) {
            let of = |oracle: &Oracle| oracle.documents.get(&**section).cloned();
            assert_eq!(of(&old), of(&new), "{section}");
        }
    }
    for entity in after.entities() {
        if before.entity(&entity.key).is_none() {
            let ours = entity.is_placeholder() || reach.covers_entity(entity);
            assert!(ours, "{} was made", entity.key);
        }
    }
}

fn put(name: &str) -> Mutation {
    let properties = Object::new();
    Mutation::PutEntity {
        key: key(name),
        properties,
    }
}

fn by(authority: &Authority, mutation: Mutation) -> Transaction {
    Transaction {
        authority: Some(Arc::new(authority.clone())),
        ..Transaction::of(vec![mutation])
    }
}

fn of_prefix(prefix: &str) -> Authority {
    let reach = Reach::Within(vec![Scope {
        name_prefix: prefix.to_owned(),
        ..Scope::default()
    }]);
    Authority {
        sees: reach.clone(),
        changes: reach,
        knows_of_hidden: false,
    }
}

#[test]
fn whether_something_hidden_exists_is_not_told() {
    let graph = Graph::in_memory();
    let theirs = Transaction::of(vec![put("service/their-api"), put("team/their-team")]);
    graph.commit(theirs).expect("committed");
    let head = graph.snapshot();
    let ours = of_prefix("our-");
    let refused = |mutation: Mutation| {
        let refusal = plan(&head, &by(&ours, mutation)).expect_err("refused");
        assert!(matches!(refusal, Refusal::Denied(_)), "{refusal:?}");
        refusal.to_string()
    };
    for (there, absent) in [
        ("service/their-api", "service/their-xyz"),
        ("team/their-team", "team/their-xyzt"),
    ] {
        for force in [false, true] {
            let delete = |name: &str| Mutation::DeleteEntity {
                key: key(name),
                force,
            };
            let (told, other) = (refused(delete(there)), refused(delete(absent)));
            assert_eq!(told.replace(there, absent), other);
        }
        assert_eq!(
            refused(put(there)).replace(there, absent),
            refused(put(absent))
        );
    }
}

#[test]
fn dependents_that_are_hidden_are_counted_and_not_named() {
    let graph = Graph::in_memory();
    let all = Transaction::of(vec![
        put("service/our-db"),
        put("service/our-api"),
        put("service/secret-a"),
        put("service/secret-b"),
        depends("service/our-api", "service/our-db"),
        depends("service/secret-a", "service/our-db"),
        depends("service/secret-b", "service/our-db"),
    ]);
    graph.commit(all).expect("committed");
    let delete = |force| Mutation::DeleteEntity {
        key: key("service/our-db"),
        force,
    };
    let ours = of_prefix("our-");
    let refusal = plan(&graph.snapshot(), &by(&ours, delete(false))).expect_err("refused");
    let text = refusal.to_string();
    assert!(
        text.contains("3 relation(s) point at it, 2 of which you may not see"),
        "{text}"
    );
    assert!(text.contains("service/our-api"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    // Theirs keep what they depend on: it stays as a placeholder.
    let forced = plan(&graph.snapshot(), &by(&ours, delete(true))).expect("allowed");
    assert_eq!(forced.next.relation_count(), 3);
}

fn depends(from: &str, to: &str) -> Mutation {
    Mutation::PutRelation {
        key: RelationKey {
            from: key(from),
            label: Label::depends_on(),
            to: key(to),
        },
        properties: Object::new(),
        create_ends: false,
    }
}

/// Ours are `our-a` and `our-b`; theirs stands between the two, and behind the first.
fn between() -> Snapshot {
    let graph = Graph::in_memory();
    let all = Transaction::of(vec![
        put("service/our-a"),
        put("service/our-b"),
        put("service/their-x"),
        depends("service/our-a", "service/their-x"),
        depends("service/our-a", "service/our-b"),
        depends("service/their-x", "service/our-a"),
    ]);
    graph.commit(all).expect("committed");
    (*graph.snapshot()).clone()
}

fn write(path: &str, json: &str) -> Mutation {
    Mutation::UpdateNode {
        path: Path::parse(path).expect("a path"),
        value: Value::from_json(json.as_bytes()).expect("JSON"),
    }
}

#[test]
fn no_way_leads_to_a_dependency_on_what_is_hidden() {
    let (head, ours) = (between(), of_prefix("our-"));
    for mutation in [
        depends("service/our-b", "service/their-x"),
        depends("service/our-b", "service/their-absent"),
        write("services.our-b.dependencies", r#"["their-x"]"#),
        write("services.our-b.dependencies", r#"["their-absent"]"#),
        write("services.our-b", r#"{"dependencies": ["their-x"]}"#),
        write("services.our-new", r#"{"dependencies": ["their-x"]}"#),
    ] {
        let refusal = plan(&head, &by(&ours, mutation)).expect_err("refused");
        assert!(matches!(refusal, Refusal::Denied(_)), "{refusal:?}");
    }
}

#[test]
fn a_service_is_written_and_guarded_as_it_is_seen() {
    let (head, ours) = (between(), of_prefix("our-"));
    // The list that is seen has one item, and what is hidden stays where it is not written.
    let second = plan(
        &head,
        &by(&ours, write("services.our-a.dependencies[2]", r#""our-c""#)),
    );
    assert!(second.is_err(), "there is no second item to write behind");
    let none = plan(
        &head,
        &by(&ours, write("services.our-a.dependencies", "[]")),
    );
    let kept = none.expect("allowed").next;
    let entity = kept.service("our-a").expect("it stands");
    let left: Vec<String> = kept
        .dependencies(entity)
        .iter()
        .map(|d| d.service.to_string())
        .collect();
    assert_eq!(left, ["their-x"]);
    let delete = |path: &str| Mutation::DeleteNode(Path::parse(path).expect("a path"));
    assert!(plan(&head, &by(&ours, delete("services.our-a.dependencies[1]"))).is_err());
    let equals = |json: &str| Transaction {
        preconditions: vec![Precondition::DocumentEquals {
            path: Path::parse("services.our-a.dependencies").expect("a path"),
            value: Value::from_json(json.as_bytes()).expect("JSON"),
        }],
        ..by(&ours, put("team/our-team"))
    };
    plan(&head, &equals(r#"["our-b"]"#)).expect("that is what is seen");
    assert!(plan(&head, &equals(r#"["their-x", "our-b"]"#)).is_err());
}

#[test]
fn who_does_not_know_of_the_hidden_is_not_told_by_a_guard() {
    let (head, ours) = (between(), of_prefix("our-"));
    let guarded = |precondition: &Precondition, knows_of_hidden| {
        let authority = Authority {
            knows_of_hidden,
            ..ours.clone()
        };
        let transaction = Transaction {
            preconditions: vec![precondition.clone()],
            ..by(&authority, put("team/our-team"))
        };
        plan(&head, &transaction).is_ok()
    };
    let acyclic = Precondition::Acyclic(Label::depends_on());
    assert!(guarded(&acyclic, false) && !guarded(&acyclic, true));
    let no_path = Precondition::NoPath {
        from: key("service/our-b"),
        to: key("service/our-a"),
        label: Label::depends_on(),
    };
    assert!(guarded(&no_path, false));
}
