//! A snapshot beside the oracle: state, indexes, every question, every file.

use super::answers::Most;
use super::generate::{self, Rng};
use super::oracle::Oracle;
use crate::interchange::{export_json, parse_json};
use crate::log::{Record, checkpoint};
use crate::model::{Body, EntityId, EntityRef, Health, Kind, Label, Name};
use crate::mutation::{Change, Transaction, plan};
use crate::query::{self, Along, Budget, Direction, Question};
use crate::snapshot::{Names, Snapshot, diff, hash};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// State, hash, indexes and answers.
pub fn everything(snapshot: &Snapshot, oracle: &Oracle, rng: &mut Rng) {
    assert_eq!(Oracle::of(snapshot), *oracle);
    assert_eq!(snapshot.hash(), content_hash(snapshot));
    indexes(snapshot, oracle);
    nodes(snapshot, oracle, rng);
    answers(snapshot, oracle, rng);
    views(snapshot, oracle, rng);
}

/// The hash of a snapshot's content, summed up from nothing.
#[must_use]
pub fn content_hash(snapshot: &Snapshot) -> u128 {
    let entities = snapshot.entities().map(|entity| hash::entity_anew(entity));
    let relations = snapshot.relations_by_label().flat_map(|(label, all)| {
        all.edges().filter_map(move |(from, to, edge)| {
            let relation = snapshot.relation_by_id(label, from, to)?;
            Some(hash::relation(&relation.key, &edge.properties))
        })
    });
    let leaves = snapshot
        .documents()
        .iter()
        .map(|(section, value)| hash::leaves(&[crate::model::Part::Key(section.clone())], value));
    entities
        .chain(relations)
        .chain(leaves)
        .fold(0, u128::wrapping_add)
}

/// Each change carries what stood there before it, which watchers, diffs and undo rely on.
pub fn previous_is_what_was_there(snapshot: &Snapshot, record: &Record) {
    let mut draft = snapshot.clone();
    for change in record.changes.iter() {
        match change {
            Change::PutEntity { entity, previous } => {
                assert_eq!(previous.as_ref(), draft.entity(&entity.key));
            }
            Change::RemoveEntity { previous } => {
                assert_eq!(Some(previous), draft.entity(&previous.key));
            }
            Change::PutRelation { relation, previous } => {
                assert_eq!(previous.as_deref(), draft.relation(&relation.key).as_ref());
            }
            Change::RemoveRelation { previous } => {
                assert_eq!(Some(&**previous), draft.relation(&previous.key).as_ref());
            }
            Change::SetNode { path, previous, .. } => {
                assert_eq!(*previous, draft.node(path).ok());
            }
            Change::RemoveNode { path, previous } => {
                assert_eq!(Some(previous), draft.node(path).ok().as_ref());
            }
            Change::Restore { content, .. } => {
                let content = content.as_ref().expect("it was loaded");
                draft.return_to(content);
                continue;
            }
        }
        draft
            .apply(change, record.revision)
            .expect("what was committed fits");
    }
}

/// The changes of a record taken back, last first, lead to the entities and relations before it. Documents are left out:
/// a node that made its parents does not say so.
pub fn undone(after: &Snapshot, record: &Record, before: &Snapshot) {
    let mut draft = after.clone();
    for change in record.changes.iter().rev() {
        let back = match change.clone() {
            Change::PutEntity { entity, previous } => match previous {
                Some(previous) => Change::PutEntity {
                    entity: previous,
                    previous: Some(entity),
                },
                None => Change::RemoveEntity { previous: entity },
            },
            Change::RemoveEntity { previous } => Change::PutEntity {
                entity: previous,
                previous: None,
            },
            Change::PutRelation { relation, previous } => match previous {
                Some(previous) => Change::PutRelation {
                    relation: previous,
                    previous: Some(relation),
                },
                None => Change::RemoveRelation { previous: relation },
            },
            Change::RemoveRelation { previous } => Change::PutRelation {
                relation: previous,
                previous: None,
            },
            Change::SetNode { .. } | Change::RemoveNode { .. } => continue,
            Change::Restore { .. } => return,
        };
        draft.apply(&back, 0).expect("the way back fits");
    }
    let (mut found, mut expected) = (Oracle::of(&draft), Oracle::of(before));
    found.documents.clear();
    expected.documents.clear();
    assert!(found.says_the_same(&expected), "{record:#?}");
    indexes(&draft, &found);
}

/// The changes from one snapshot to another are those that a look at everything in both finds, and applied to the one
/// they give the other.
pub fn difference(before: (&Snapshot, &Oracle), after: (&Snapshot, &Oracle)) {
    let changes = diff(before.0, after.0);
    let mut draft = before.0.clone();
    for change in &changes {
        draft.apply(change, 0).expect("a difference can be applied");
    }
    assert_eq!(draft.hash(), after.0.hash());
    let found = Oracle::of(&draft);
    assert!(found.says_the_same(after.1), "{changes:#?}");
    indexes(&draft, &found);

    // Node, relation and document are told apart by their first word; each is compared by what it says.
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut nodes = 0;
    for change in &changes {
        let told_once = match change {
            Change::PutEntity { entity, previous } => {
                assert_eq!(previous.as_ref(), before.0.entity(&entity.key));
                told.insert(entity.key.to_string())
            }
            Change::RemoveEntity { previous } => {
                assert_eq!(Some(previous), before.0.entity(&previous.key));
                told.insert(previous.key.to_string())
            }
            Change::PutRelation { relation, previous } => {
                assert_eq!(previous.as_deref(), before.1.relations.get(&relation.key));
                told.insert(relation.key.to_string())
            }
            Change::RemoveRelation { previous } => {
                assert_eq!(Some(&**previous), before.1.relations.get(&previous.key));
                told.insert(previous.key.to_string())
            }
            Change::SetNode { .. } | Change::RemoveNode { .. } => {
                nodes += 1;
                true
            }
            Change::Restore { .. } => false,
        };
        assert!(told_once, "{changes:#?}");
    }
    assert_eq!(told, before.1.differences(after.1), "{changes:#?}");
    assert_eq!(nodes == 0, before.1.documents == after.1.documents);
}

/// The secondary indexes, the neighbours of every entity, and the lists that are read off them.
pub fn indexes(snapshot: &Snapshot, oracle: &Oracle) {
    let found = snapshot.indexes();
    let one = |text: &String| match text.as_str() {
        "" => Vec::new(),
        text => vec![Arc::from(text)],
    };
    assert_eq!(
        plain(&found.capabilities),
        oracle.index_by(|body| body.capabilities.clone())
    );
    assert_eq!(
        plain(&found.categories),
        oracle.index_by(|body| one(&body.category))
    );
    assert_eq!(
        plain(&found.owners),
        oracle.index_by(|body| one(&body.owner))
    );
    let health: BTreeMap<Arc<str>, BTreeSet<Name>> = found
        .health
        .iter()
        .map(|(health, names)| (Arc::from(health.as_str()), names.iter().cloned().collect()))
        .collect();
    assert_eq!(
        health,
        oracle.index_by(|body| vec![Arc::from(Health::as_str(body.health))])
    );
    let mut kinds: BTreeMap<Kind, BTreeSet<Name>> = BTreeMap::new();
    let mut placeholders = BTreeSet::new();
    for (key, node) in &oracle.entities {
        if node.body == Body::Placeholder {
            placeholders.insert(key.name.clone());
        } else {
            let names = kinds.entry(key.kind.clone()).or_default();
            names.insert(key.name.clone());
        }
    }
    assert_eq!(plain(&found.kinds), kinds);
    assert!(found.placeholders.iter().eq(&placeholders));
    assert_eq!(snapshot.entity_count(), oracle.entities.len());
    assert_eq!(snapshot.relation_count(), oracle.relations.len());
    neighbours(snapshot, oracle);
}

fn plain<K: Ord + Clone>(index: &im::OrdMap<K, Names>) -> BTreeMap<K, BTreeSet<Name>> {
    index
        .iter()
        .map(|(word, names)| (word.clone(), names.iter().cloned().collect()))
        .collect()
}

fn neighbours(snapshot: &Snapshot, oracle: &Oracle) {
    let labels: BTreeSet<&Label> = oracle.relations.keys().map(|r| &r.label).collect();
    assert!(snapshot.labels().eq(labels.iter().copied()));
    for key in oracle.entities.keys() {
        let entity = snapshot.entity(key).expect("the state was compared");
        assert_eq!(snapshot.by_id(entity.id).map(|e| &e.key), Some(key));
        assert!(entity.id.get() < snapshot.id_bound());
        if key.is_service() {
            assert_eq!(snapshot.dependencies(entity), oracle.dependencies(key));
        }
        let points_at = oracle.relations.keys().any(|r| r.to == *key);
        let points_out = oracle.relations.keys().any(|r| r.from == *key);
        assert_eq!(snapshot.has_incoming(entity.id), points_at);
        assert_eq!(snapshot.has_outgoing(entity.id), points_out);
        for label in &labels {
            let all = snapshot.relations(label.as_str()).expect("it is listed");
            let near = |neighbours: crate::snapshot::Neighbours<'_>| {
                let mut near = BTreeSet::new();
                neighbours.for_each(|id| {
                    let other = snapshot.by_id(EntityId::new(id));
                    near.insert(other.expect("nothing dangles").key.clone());
                });
                assert_eq!(neighbours.len(), near.len());
                near
            };
            let relations = || oracle.relations.keys().filter(|r| r.label == **label);
            let out = relations().filter(|r| r.from == *key).map(|r| r.to.clone());
            let into = relations().filter(|r| r.to == *key).map(|r| r.from.clone());
            assert!(
                near(all.adjacency().outgoing(entity.id))
                    .into_iter()
                    .eq(out)
            );
            assert!(
                near(all.adjacency().incoming(entity.id))
                    .into_iter()
                    .eq(into)
            );
            assert_eq!(all.len(), relations().count());
        }
    }
}

/// What is read by dot path.
fn nodes(snapshot: &Snapshot, oracle: &Oracle, rng: &mut Rng) {
    for _ in 0..4 {
        let path = generate::path(rng);
        match (snapshot.node(&path), oracle.node(&path)) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{path}"),
            (Err(_), Err(_)) => {}
            (found, expected) => panic!("{path}: expected {expected:?}, found {found:?}"),
        }
    }
}

/// What is written as a checkpoint is read back as the same.
pub fn checkpoint_round_trip(snapshot: &Snapshot, oracle: &Oracle) -> Snapshot {
    let mut file = Vec::new();
    checkpoint::write(snapshot, "store", "why", 7, &mut file).expect("a vector has room");
    let (header, read) = checkpoint::read(&mut file.as_slice()).expect("what was written reads");
    let scanned = checkpoint::scan(&mut file.as_slice()).expect("what was written reads");
    assert_eq!(header, scanned);
    assert_eq!(header.revision, snapshot.revision());
    assert_eq!(Oracle::of(&read), *oracle);
    assert_eq!(read.hash(), snapshot.hash());
    indexes(&read, oracle);
    let mut again = Vec::new();
    checkpoint::write(&read, "store", "why", 7, &mut again).expect("a vector has room");
    assert!(checkpoint::read(&mut again.as_slice()).is_ok());
    read
}

/// What is exported and imported into an empty graph is the same content, and comes out as the same bytes.
pub fn export_round_trip(snapshot: &Snapshot) {
    let export = |snapshot: &Snapshot| {
        let mut file = Vec::new();
        export_json(snapshot, &mut file).expect("a vector has room");
        file
    };
    let file = export(snapshot);
    if snapshot.entity_count() == 0 && snapshot.documents().is_empty() {
        return;
    }
    let import = parse_json(&file).unwrap_or_else(|faults| {
        panic!("{faults:?} in\n{}", String::from_utf8_lossy(&file));
    });
    let transaction = Transaction {
        mutation_limit: usize::MAX,
        ..Transaction::of(import.mutations)
    };
    let read = plan(&Snapshot::new(), &transaction).expect("what was exported is possible");
    assert_eq!(
        read.next.hash(),
        snapshot.hash(),
        "{}",
        String::from_utf8_lossy(&file)
    );
    assert!(Oracle::of(&read.next).says_the_same(&Oracle::of(snapshot)));
    assert_eq!(export(&read.next), file);
}

fn along(rng: &mut Rng) -> Along {
    match rng.below(4) {
        0 => Along::All,
        1 => Along::These(vec![generate::label(rng), generate::label(rng)]),
        _ => Along::These(vec![Label::depends_on()]),
    }
}

fn direction(rng: &mut Rng) -> Direction {
    *rng.pick(&[Direction::Out, Direction::In, Direction::Both])
}

fn most(rng: &mut Rng) -> Most {
    Most {
        entities: rng.once_in(2).then(|| 1 + rng.below(6)),
        depth: rng.once_in(3).then(|| rng.below(4) as u32),
    }
}

fn budget(most: Most) -> Budget<'static> {
    Budget {
        max_entities: most.entities.and_then(|n| u32::try_from(n).ok()),
        max_depth: most.depth,
        ..Budget::unlimited()
    }
}

/// Every question that follows relations, with random arguments.
fn answers(snapshot: &Snapshot, oracle: &Oracle, rng: &mut Rng) {
    let words = ["pay", "refund", "search", "cart", "MAIL", "none"];
    let (all_of, any_of) = (rng.some(&words, 2), rng.some(&words, 3));
    match query::find_by_capability(snapshot, &all_of, &any_of) {
        Ok(found) => assert_eq!(found, oracle.find_by_capability(&all_of, &any_of)),
        Err(_) => assert!(all_of.is_empty() && any_of.is_empty()),
    }
    let keys: Vec<EntityRef> = oracle.entities.keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    reach(snapshot, oracle, &keys, rng);

    let (from, to, along, direction, most) = (
        rng.pick(&keys),
        rng.pick(&keys),
        along(rng),
        direction(rng),
        most(rng),
    );
    assert_eq!(
        query::find_path(snapshot, from, to, &along, direction, &budget(most)).as_ref(),
        Ok(&oracle.find_path(from, to, &along, direction, most)),
        "{from} to {to} {along:?} {direction:?} {most:?}"
    );

    let label = generate::label(rng);
    let cycles = query::cycles(snapshot, &label, &Budget::unlimited()).expect("no limits");
    assert_eq!(cycles.cycles, oracle.cycles(&label));
    let refs = rng.some(&keys, 2);
    let order =
        query::start_order(snapshot, &label, &refs, &Budget::unlimited()).expect("no limits");
    assert_eq!(
        order.levels,
        oracle.start_order(&label, &refs),
        "{label} {refs:?}"
    );
    let inside: BTreeSet<&EntityRef> = order.levels.iter().flatten().collect();
    let expected: Vec<_> = cycles
        .cycles
        .into_iter()
        .filter(|c| c.iter().all(|key| inside.contains(key)))
        .collect();
    assert_eq!(order.cycles, expected);
    assert!(!order.truncated && !cycles.truncated);
}

fn reach(snapshot: &Snapshot, oracle: &Oracle, keys: &[EntityRef], rng: &mut Rng) {
    let mut roots = rng.some(keys, 3);
    roots.push(rng.pick(keys).clone());
    let question = Question {
        roots: &roots,
        along: along(rng),
        direction: direction(rng),
        hops: rng.once_in(3).then(|| rng.below(4) as u32),
    };
    let Question {
        along,
        direction,
        hops,
        ..
    } = &question;
    let all = oracle.reach(&roots, along, *direction, *hops);
    let found = query::reach(snapshot, &question, &Budget::unlimited()).expect("the roots exist");
    assert_eq!((found.total(), found.truncated()), (all.len(), false));
    assert_eq!(found.page(0, usize::MAX), all, "{question:?}");
    let size = 1 + rng.below(4);
    let paged: Vec<_> = (0..all.len())
        .step_by(size)
        .flat_map(|from| found.page(from, size))
        .collect();
    assert_eq!(paged, all, "pages of {size}: {question:?}");

    // A budget of entities keeps the first of them all; one of depth keeps the nearest.
    let most = most(rng);
    let (hits, truncated) = oracle.reach_most(&roots, along, *direction, *hops, most);
    let cut = query::reach(snapshot, &question, &budget(most)).expect("the roots exist");
    assert_eq!(cut.page(0, usize::MAX), hits, "{most:?} {question:?}");
    assert_eq!(
        (cut.total(), cut.truncated()),
        (hits.len(), truncated),
        "{most:?} {question:?}"
    );
    let inside: BTreeSet<EntityRef> = roots
        .iter()
        .cloned()
        .chain(hits.into_iter().map(|hit| hit.key))
        .collect();
    for entity in snapshot.entities() {
        assert_eq!(cut.involves(entity.id), inside.contains(&entity.key));
    }
    assert_eq!(
        query::patterns_using(snapshot, |id| cut.involves(id)),
        oracle.patterns_using(&inside)
    );

    let part = query::subgraph(snapshot, &question, &budget(most)).expect("the roots exist");
    assert!(part.entities.iter().map(|e| &e.key).eq(&inside));
    let between: Vec<_> = part.relations.iter().map(|r| r.key.clone()).collect();
    assert_eq!(between, oracle.between(&inside, along));
    for relation in &part.relations {
        assert_eq!(oracle.relations.get(&relation.key), Some(relation));
    }
    assert_eq!(part.truncated, truncated);
}

/// Every question about what entities say.
fn views(snapshot: &Snapshot, oracle: &Oracle, rng: &mut Rng) {
    for placeholders in [false, true] {
        assert_eq!(
            query::describe(snapshot, placeholders),
            oracle.describe(placeholders)
        );
        let kinds: BTreeSet<Kind> = oracle
            .entities
            .iter()
            .filter(|(_, node)| placeholders || node.body != Body::Placeholder)
            .map(|(key, _)| key.kind.clone())
            .collect();
        assert!(snapshot.kinds(placeholders).iter().eq(&kinds));
        let key = generate::entity(rng);
        let after = rng.once_in(2).then_some(&key.name);
        let names: Vec<Name> = snapshot
            .names(&key.kind, after, placeholders)
            .cloned()
            .collect();
        assert_eq!(
            names,
            oracle.names(&key.kind, after, placeholders),
            "{key} {after:?}"
        );
    }

    let texts = [
        "pay",
        "a",
        "PAY cart",
        "zürich",
        "service/a",
        "1.0",
        "none",
        "team/red ",
    ];
    let text = rng.pick(&texts);
    let kinds = match rng.below(3) {
        0 => vec![Kind::service()],
        1 => vec![generate::entity(rng).kind, generate::entity(rng).kind],
        _ => Vec::new(),
    };
    let entities = rng.once_in(2).then(|| 1 + rng.below(8));
    let most = Most {
        entities,
        depth: None,
    };
    let found = query::search(snapshot, text, &kinds, &budget(most)).expect("there are words");
    let keys: Vec<EntityRef> = found.entities.iter().map(|e| e.key.clone()).collect();
    assert_eq!(
        (keys, found.truncated),
        oracle.search(text, &kinds, entities),
        "{text:?} {kinds:?} {entities:?}"
    );

    let findings = query::validate(snapshot);
    assert!(findings.is_sorted());
    let found: Vec<_> = findings
        .into_iter()
        .map(|f| (f.severity, f.code, f.entity))
        .collect();
    assert_eq!(found, oracle.validate());
    assert!(oracle.agrees_on_idle(&query::prune(snapshot)));
    pictures(snapshot, oracle, rng);
}

fn pictures(snapshot: &Snapshot, oracle: &Oracle, rng: &mut Rng) {
    let keys: Vec<EntityRef> = oracle.entities.keys().cloned().collect();
    let view = query::View {
        root: (!keys.is_empty() && rng.once_in(2)).then(|| rng.pick(&keys).clone()),
        hops: rng.once_in(2).then(|| rng.below(3) as u32),
        along: along(rng),
        direction: direction(rng),
        kind: rng.once_in(3).then(|| generate::entity(rng).kind),
    };
    let mut shown: BTreeSet<EntityRef> = match &view.root {
        None => keys.into_iter().collect(),
        Some(root) => {
            let roots = std::slice::from_ref(root);
            let hits = oracle.reach(roots, &view.along, view.direction, view.hops);
            hits.into_iter()
                .map(|hit| hit.key)
                .chain([root.clone()])
                .collect()
        }
    };
    shown.retain(|key| view.kind.as_ref().is_none_or(|kind| key.kind == *kind));
    let relations = oracle.between(&shown, &view.along);
    let picture = query::picture(snapshot, &view).expect("it is small");
    assert_eq!(picture, oracle.picture(&shown, &relations));
    // Their text has tests of its own; here it only has to come into being.
    for key in &shown {
        let page = query::docs(snapshot, key).expect("it exists");
        assert!(page.starts_with("# "));
    }
    assert_eq!(query::dot(&picture).matches("->").count(), relations.len());
    assert!(query::mermaid(&picture).starts_with("flowchart"));
    assert!(serde_json::from_str::<serde_json::Value>(&picture.json()).is_ok());
    let _ = query::docs_index(snapshot);
}
