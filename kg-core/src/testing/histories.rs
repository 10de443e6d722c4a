//! Random histories: after every transaction the graph, its indexes, its answers, its log and its past agree with the
//! oracle.

use super::generate::{self, Rng};
use super::oracle::Oracle;
use crate::commit::{Graph, History, HistoryLimits, Options};
use crate::log::{CommitLog, MemoryLog, Record, checkpoint};
use crate::model::{EntityRef, Health, Kind, Label, Name};
use crate::mutation::Change;
use crate::query::{Along, Budget, Direction, Question};
use crate::snapshot::{Snapshot, fold};
use crate::{query, sync};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SEEDS: u64 = 30;
const TRANSACTIONS: usize = 80;

#[test]
fn every_revision_of_random_histories_agrees_with_the_oracle() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..TRANSACTIONS {
            run.step();
        }
        run.replay();
        run.past();
    }
}

struct Run {
    seed: u64,
    rng: Rng,
    graph: Arc<Graph>,
    log: MemoryLog,
    oracle: Oracle,
    past: Vec<Oracle>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let log = MemoryLog::new();
        // A ring that thins soon, so that old revisions are folded from older ones.
        let history = HistoryLimits {
            dense: 4,
            ..HistoryLimits::default()
        };
        let ring = History::new(Arc::new(Snapshot::new()), history);
        let graph = Graph::inline(
            ring,
            &Options {
                history,
                ..Options::default()
            },
            Box::new(log.clone()),
        );
        Self {
            seed,
            rng: Rng::new(seed),
            graph: Arc::new(graph),
            log,
            oracle: Oracle::default(),
            past: vec![Oracle::default()],
        }
    }

    fn step(&mut self) {
        let seed = self.seed;
        let transaction = generate::transaction(&mut self.rng);
        let before = self.oracle.clone();
        let expected = self.oracle.apply(&transaction);
        let found = self.graph.commit(transaction.clone());
        match (&expected, &found) {
            (Ok(changed), Ok(outcome)) => {
                assert_eq!(*changed, outcome.changed, "seed {seed}: {transaction:#?}")
            }
            (Err(_), Err(_)) => {}
            _ => panic!(
                "seed {seed}: expected {expected:?}, found {found:#?}\n{transaction:#?}\non {before:#?}"
            ),
        }
        let snapshot = self.graph.snapshot();
        let state = Oracle::of(&snapshot);
        assert_eq!(
            state, self.oracle,
            "seed {seed}: {transaction:#?}\non {before:#?}"
        );
        if expected == Ok(true) {
            self.past.push(state);
            indexes(&snapshot, &self.oracle);
            answers(&snapshot, &self.oracle, &mut self.rng);
            checkpoint_round_trip(&snapshot, &self.oracle);
        }
    }

    /// The log, read back from its bytes and folded from nothing, gives the head and its hash.
    fn replay(&self) {
        let records = sync::block_on(self.log.read(1, usize::MAX)).expect("the log is in memory");
        assert_eq!(records.len() + 1, self.past.len());
        let mut snapshot = Snapshot::new();
        for record in records {
            let decoded = Record::decode(&record.encode()).expect("what was encoded decodes");
            assert_eq!(decoded.encode(), record.encode());
            previous_is_what_was_there(&snapshot, &decoded);
            snapshot = fold(&snapshot, &decoded).expect("what was committed folds");
            let revision = usize::try_from(snapshot.revision()).expect("few revisions");
            assert_eq!(Oracle::of(&snapshot), self.past[revision]);
        }
        assert_eq!(
            snapshot.hash(),
            self.graph.snapshot().hash(),
            "seed {}",
            self.seed
        );
        indexes(&snapshot, &self.oracle);
    }

    fn past(&self) {
        for expected in &self.past {
            let then = self
                .graph
                .snapshot_at(expected.revision)
                .expect("the ring is large enough");
            assert_eq!(Oracle::of(&then), *expected, "seed {}", self.seed);
        }
    }
}

/// Each change carries what stood there before it, which watchers, diffs and undo rely on.
fn previous_is_what_was_there(snapshot: &Snapshot, record: &Record) {
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
            Change::Restore { .. } => panic!("no random transaction restores"),
        }
        draft
            .apply(change, record.revision)
            .expect("what was committed fits");
    }
}

fn indexes(snapshot: &Snapshot, oracle: &Oracle) {
    let found = snapshot.indexes();
    let same = |index: &im::OrdMap<Arc<str>, crate::snapshot::Names>,
                expected: BTreeMap<Arc<str>, BTreeSet<Name>>| {
        let found: BTreeMap<Arc<str>, BTreeSet<Name>> = index
            .iter()
            .map(|(word, names)| (word.clone(), names.iter().cloned().collect()))
            .collect();
        assert_eq!(found, expected);
    };
    let one = |text: &String| {
        if text.is_empty() {
            Vec::new()
        } else {
            vec![Arc::from(text.as_str())]
        }
    };
    same(
        &found.capabilities,
        oracle.index_by(|body| body.capabilities.clone()),
    );
    same(
        &found.categories,
        oracle.index_by(|body| one(&body.category)),
    );
    same(&found.owners, oracle.index_by(|body| one(&body.owner)));
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
        if node.body == crate::model::Body::Placeholder {
            placeholders.insert(key.name.clone());
        } else {
            kinds
                .entry(key.kind.clone())
                .or_default()
                .insert(key.name.clone());
        }
    }
    assert_eq!(
        found.placeholders.iter().cloned().collect::<BTreeSet<_>>(),
        placeholders
    );
    let listed: BTreeMap<Kind, BTreeSet<Name>> = found
        .kinds
        .iter()
        .map(|(kind, names)| (kind.clone(), names.iter().cloned().collect()))
        .collect();
    assert_eq!(listed, kinds);
    for key in oracle.entities.keys() {
        let entity = snapshot.entity(key).expect("the state was compared");
        assert_eq!(snapshot.by_id(entity.id).map(|e| &e.key), Some(key));
        if key.is_service() {
            assert_eq!(snapshot.dependencies(entity), oracle.dependencies(key));
        }
        let points_at = oracle.relations.keys().any(|r| r.to == *key);
        let points_out = oracle.relations.keys().any(|r| r.from == *key);
        assert_eq!(
            (
                snapshot.has_incoming(entity.id),
                snapshot.has_outgoing(entity.id)
            ),
            (points_at, points_out)
        );
    }
    assert_eq!(snapshot.entity_count(), oracle.entities.len());
    assert_eq!(snapshot.relation_count(), oracle.relations.len());
    let all = kinds.values().flatten().count() + placeholders.len();
    let counted = query::describe(snapshot, true);
    assert_eq!(
        (counted.entities, counted.kinds.iter().map(|(_, n)| n).sum()),
        (all, all)
    );
    assert_eq!(counted.placeholders, placeholders.len());
}

fn checkpoint_round_trip(snapshot: &Snapshot, oracle: &Oracle) {
    let mut file = Vec::new();
    checkpoint::write(snapshot, "store", "why", 7, &mut file).expect("a vector has room");
    let (header, read) = checkpoint::read(&mut file.as_slice()).expect("what was written reads");
    assert_eq!(
        (header.revision, read.time_ms()),
        (snapshot.revision(), snapshot.time_ms())
    );
    assert_eq!(Oracle::of(&read), *oracle);
    assert_eq!(read.hash(), snapshot.hash());
    assert!(read.sections().eq(snapshot.sections()));
    indexes(&read, oracle);
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

/// Every question once, with random arguments.
fn answers(snapshot: &Snapshot, oracle: &Oracle, rng: &mut Rng) {
    let keys: Vec<EntityRef> = oracle.entities.keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    reach(snapshot, oracle, &keys, rng);

    let (from, to, along, direction) =
        (rng.pick(&keys), rng.pick(&keys), along(rng), direction(rng));
    let way = query::find_path(snapshot, from, to, &along, direction, &Budget::unlimited());
    assert_eq!(
        way.as_ref(),
        Ok(&oracle.find_path(from, to, &along, direction))
    );

    let words = ["pay", "refund", "search", "cart", "MAIL", "none"];
    let (all_of, any_of) = (rng.some(&words, 2), rng.some(&words, 3));
    match query::find_by_capability(snapshot, &all_of, &any_of) {
        Ok(found) => assert_eq!(found, oracle.find_by_capability(&all_of, &any_of)),
        Err(_) => assert!(all_of.is_empty() && any_of.is_empty()),
    }

    let label = generate::label(rng);
    let cycles = query::cycles(snapshot, &label, &Budget::unlimited()).expect("no limits");
    assert_eq!(cycles.cycles, oracle.cycles(&label));
    let refs = rng.some(&keys, 2);
    let order =
        query::start_order(snapshot, &label, &refs, &Budget::unlimited()).expect("no limits");
    assert_eq!(
        order.levels,
        oracle.start_order(&label, &refs),
        "{label} {refs:?} {:?}",
        oracle.relations.keys()
    );
    let inside: BTreeSet<&EntityRef> = order.levels.iter().flatten().collect();
    let expected: Vec<_> = cycles
        .cycles
        .into_iter()
        .filter(|c| c.iter().all(|key| inside.contains(key)))
        .collect();
    assert_eq!(order.cycles, expected);
}

fn reach(snapshot: &Snapshot, oracle: &Oracle, keys: &[EntityRef], rng: &mut Rng) {
    let mut roots = rng.some(keys, 3);
    roots.push(rng.pick(keys).clone());
    let question = Question {
        roots: &roots,
        along: along(rng),
        direction: direction(rng),
        hops: if rng.once_in(3) {
            Some(rng.below(4) as u32)
        } else {
            None
        },
    };
    let expected = oracle.reach(&roots, &question.along, question.direction, question.hops);
    let found = query::reach(snapshot, &question, &Budget::unlimited()).expect("the roots exist");
    assert_eq!((found.total(), found.truncated()), (expected.len(), false));
    assert_eq!(found.page(0, usize::MAX), expected, "{question:?}");
    let size = 1 + rng.below(4);
    let paged: Vec<_> = (0..expected.len())
        .step_by(size)
        .flat_map(|from| found.page(from, size))
        .collect();
    assert_eq!(paged, expected, "pages of {size}: {question:?}");

    // A budget of entities keeps the first of them all; one of depth keeps the nearest.
    let most = 1 + rng.below(6);
    let budget = Budget {
        max_entities: u32::try_from(most).ok(),
        ..Budget::unlimited()
    };
    let cut = query::reach(snapshot, &question, &budget).expect("the roots exist");
    assert_eq!(cut.page(0, 100), expected[..most.min(expected.len())]);
    assert_eq!(
        cut.truncated(),
        expected.len() > most,
        "{most} of {expected:?}"
    );
    let depth = rng.below(4) as u32;
    let budget = Budget {
        max_depth: Some(depth),
        ..Budget::unlimited()
    };
    let cut = query::reach(snapshot, &question, &budget).expect("the roots exist");
    let near: Vec<_> = expected
        .iter()
        .filter(|hit| hit.depth <= depth)
        .cloned()
        .collect();
    assert_eq!(cut.page(0, 100), near);
    assert_eq!(cut.truncated(), near.len() < expected.len());

    let part = query::subgraph(snapshot, &question, &Budget::unlimited()).expect("the roots exist");
    let inside: BTreeSet<EntityRef> = roots
        .iter()
        .cloned()
        .chain(expected.into_iter().map(|hit| hit.key))
        .collect();
    assert!(part.entities.iter().map(|e| &e.key).eq(&inside));
    let between: Vec<_> = part.relations.iter().map(|r| r.key.clone()).collect();
    assert_eq!(between, oracle.between(&inside, &question.along));
    for relation in &part.relations {
        assert_eq!(oracle.relations.get(&relation.key), Some(relation));
    }
}
