//! The whole graph: writers, readers of the head and of old revisions, watchers, and a ring that lets go all the time.

use kg_core::commit::{
    CommitError, Committer, Graph, History, HistoryLimits, NotKept, Options, Settled,
};
use kg_core::log::{AppendError, CommitLog, MemoryLog};
use kg_core::model::{EntityRef, Label, Object, RelationKey};
use kg_core::mutation::{Mutation, Transaction};
use kg_core::snapshot::Snapshot;
use kg_core::sync::block_on;
use kg_core::watch::{Cursor, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use crate::{Body, at_once, body, number, times};

const WRITERS: u64 = 3;

/// Pairs that the writers put and delete.
const PAIRS: u64 = 40;

/// Choices that can be made again (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number("AMADEUS_TEST_SEED")
        .unwrap_or_else(|| now().map_or(0, |time| time.as_nanos() as u64));
    eprintln!("AMADEUS_TEST_SEED={seed}");
    seed
}

/// Either end of a pair: both are there, or neither.
fn end(pair: u64, side: &str) -> EntityRef {
    EntityRef::parse("key", &format!("host/{pair}-{side}")).expect("a valid name")
}

/// Puts a pair and its relation, or deletes both its ends: one transaction, so that a reader sees all of it or nothing.
fn transaction(dice: &mut Dice) -> Transaction {
    let pair = dice.below(PAIRS);
    let (from, to) = (end(pair, "a"), end(pair, "b"));
    let delete = |key| Mutation::DeleteEntity { key, force: true };
    if dice.below(3) == 0 {
        return Transaction::of(vec![delete(from), delete(to)]);
    }
    let properties = Object::new();
    let put = |key: &EntityRef| Mutation::PutEntity {
        key: key.clone(),
        properties: properties.clone(),
    };
    Transaction::of(vec![
        put(&from),
        put(&to),
        Mutation::PutRelation {
            key: RelationKey {
                from,
                label: Label::parse("label", "linked").expect("a valid label"),
                to,
            },
            properties: Object::new(),
            create_ends: false,
        },
    ])
}

fn assert_whole(snapshot: &Snapshot, dice: &mut Dice) {
    let pair = dice.below(PAIRS);
    let stands = |side| snapshot.entity(&end(pair, side)).is_some();
    assert_eq!(stands("a"), stands("b"), "half a transaction was seen");
    assert_eq!(
        snapshot.entity_count() % 2,
        0,
        "half a transaction was seen"
    );
}

/// A ring that keeps 16 revisions, so that it lets go of one with almost every commit.
fn history() -> History {
    let limits = HistoryLimits {
        revisions: 16,
        dense: 4,
        ..HistoryLimits::default()
    };
    History::new(Arc::new(Snapshot::new()), limits)
}

/// Reads old revisions: each comes whole, or is refused for a reason that holds.
fn read_the_past(graph: &Graph, dice: &mut Dice) {
    let (newest, oldest) = graph.revisions();
    assert!(oldest <= newest);
    let asked = oldest.saturating_sub(2) + dice.below(newest - oldest + 5);
    match graph.snapshot_at(asked) {
        Ok(held) => {
            assert_eq!(held.revision(), asked);
            assert_whole(&held, dice);
        }
        Err(NotKept { oldest, newest, .. }) => assert!(asked < oldest || asked > newest),
    }
}

/// Follows from the head until `last`; from the log where the ring no longer keeps its place.
fn watch(graph: &Graph, log: &MemoryLog, last: &AtomicU64) {
    let mut came = graph.snapshot().revision();
    let mut cursor = Cursor::at(came + 1);
    while came < last.load(Relaxed) {
        let revisions: Vec<u64> = match block_on(cursor.follow(graph, 5)) {
            Step::Records(records) => records.iter().map(|record| record.revision).collect(),
            Step::Behind => {
                let records = block_on(log.read(cursor.next(), 5)).expect("all are kept");
                assert!(!records.is_empty(), "shown, and not in the log");
                records.iter().map(|record| record.revision).collect()
            }
            Step::AtHead => unreachable!("it waits"),
        };
        for revision in revisions {
            assert_eq!(revision, came + 1, "a gap, or one that came twice");
            cursor.pass(revision);
            came = revision;
        }
    }
}

/// A graph, its log, and how far its watchers have to come.
struct Loaded {
    graph: Arc<Graph>,
    log: MemoryLog,
    writing: AtomicU64,
    last: AtomicU64,
}

impl Loaded {
    fn write(&self, mut dice: Dice) {
        for _ in 0..times() {
            if let Ok(outcome) = self.graph.commit(transaction(&mut dice)) {
                let newest = self.graph.revisions().0;
                assert!(newest >= outcome.revision, "not yet visible");
            }
        }
        if self.writing.fetch_sub(1, Relaxed) > 1 {
            return;
        }
        // The last writer makes one more, of which every watcher hears.
        self.last.store(self.graph.revisions().0 + 1, Relaxed);
        let end = Mutation::PutEntity {
            key: EntityRef::parse("key", "team/last").expect("a valid name"),
            properties: Object::new(),
        };
        let end = self.graph.commit(Transaction::of(vec![end]));
        assert_eq!(end.expect("committed").revision, self.last.load(Relaxed));
    }

    fn read(&self, mut dice: Dice) {
        let mut newest = 0;
        while self.writing.load(Relaxed) > 0 {
            let held = self.graph.snapshot();
            assert!(held.revision() >= newest, "a revision went down");
            newest = held.revision();
            assert_whole(&held, &mut dice);
            read_the_past(&self.graph, &mut dice);
        }
    }

    fn watch(&self) {
        watch(&self.graph, &self.log, &self.last);
    }
}

#[test]
fn writers_readers_watchers_and_the_ring_at_once() {
    let seed = seed();
    let log = MemoryLog::new();
    let inline = Box::new(log.clone());
    let graph = Arc::new(Graph::inline(history(), &Options::default(), inline));
    let loaded = Arc::new(Loaded {
        graph,
        log,
        writing: AtomicU64::new(WRITERS),
        last: AtomicU64::new(u64::MAX),
    });
    let write = |n| body(&loaded, move |loaded| loaded.write(Dice(seed ^ n)));
    let read = |n| body(&loaded, move |loaded| loaded.read(Dice(!seed ^ n)));
    let watch = |_| body(&loaded, Loaded::watch);
    let bodies = (0..WRITERS).map(write);
    at_once(bodies.chain((0..2).map(read)).chain((0..2).map(watch)));
    let records = block_on(loaded.log.read(1, usize::MAX)).expect("all are kept");
    let mut folded = Snapshot::new();
    for record in &records {
        folded.fold_in_place(record).expect("it fits");
    }
    assert_eq!(folded.hash(), loaded.graph.snapshot().hash());
}

/// Submits, waits for some answers together, and drops some tickets.
fn submit(graph: &Graph, mut dice: Dice) {
    let mut waiting = Vec::new();
    for _ in 0..times() {
        waiting.push(graph.submit(transaction(&mut dice)).expect("it is open"));
        match dice.below(4) {
            0 => drop(waiting.pop()),
            1 => {
                for pending in waiting.drain(..) {
                    match pending.wait().expect("everything is answered") {
                        Ok(outcome) => assert!(graph.revisions().0 >= outcome.revision),
                        Err(CommitError::StoreFull(_) | CommitError::Refused(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Commits as the server's task does, on a log that is full now and then, until the graph is closed and drained.
fn serve(mut committer: Committer, mut dice: Dice) {
    let graph = Arc::clone(committer.graph());
    let mut log = MemoryLog::new();
    loop {
        let seen = graph.work_epoch();
        if let Some(staged) = committer.stage() {
            let appended = match &staged.batch {
                Some(_) if dice.below(8) == 0 => Err(AppendError::Full("on purpose".into())),
                Some(batch) => block_on(log.append(batch)),
                None => Ok(()),
            };
            assert!(matches!(committer.settle(staged, appended), Settled::Done));
        } else if graph.is_drained() {
            break;
        } else {
            block_on(graph.listen_for_work(seen));
        }
    }
    let logged = block_on(log.last_revision()).expect("a memory log answers");
    assert_eq!((graph.revisions().0, graph.queue_bytes()), (logged, 0));
}

#[test]
fn a_committer_task_answers_everything_until_the_close() {
    let seed = seed();
    let graph = Arc::new(Graph::new(history(), &Options::default()));
    let committer = Committer::new(Arc::clone(&graph), seed);
    let task: Body = Box::new(move || serve(committer, Dice(seed)));
    let shared = Arc::new((graph, AtomicU64::new(WRITERS)));
    let write = |n| {
        body(&shared, move |(graph, writing)| {
            submit(graph, Dice(seed ^ n));
            if writing.fetch_sub(1, Relaxed) == 1 {
                graph.close();
            }
        })
    };
    at_once((0..WRITERS).map(write).chain([task]));
}
