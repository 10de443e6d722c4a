//! What does a commit of 64 updates cost, as the graph grows from 1,000 to 1,000,000 entities, and beside maps in place?
//!
//! Ours is the whole way of one transaction on a log in memory: 64 mutations are made, checked, planned, encoded, appended,
//! published, and the past is kept. The maps hold the same entities and change the same 64 of them where they lie: the new
//! properties are made, the revision is counted up, and the old properties are gone. Every turn changes 64 others, far apart.
//!
//! Instructions are counted by valgrind's callgrind, where it is installed, in the commits alone: the program runs itself,
//! switches the counting on when the graph stands, and counts inside [`counted_commits`] only.
//!
//! ```text
//! cargo bench --package benches --bench commit
//! ```

mod ask;
mod callgrind;
mod live;
mod names;

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;

use ask::Ask;
use benches::contest::{Contest, Unit, each, each_then};
use benches::figure::{Better, Figure, Line, Skipped};
use benches::mode::Mode;
use kg_core::commit::Graph;
use kg_core::model::{Entity, EntityRef, Object, Value};
use kg_core::mutation::Transaction;
use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::scale_free;
use live::Kept;
use names::{update, walk};
use rivals::HashMap;

const UPDATES: usize = 64;

/// Commits whose instructions are counted; one before them is not.
const COUNTED: u64 = 20;

fn main() {
    if let Some(size) = callgrind::size_to_count(env::args()) {
        return count(size);
    }
    let mut ask = Ask::new(
        "commit",
        "What does a commit of 64 updates cost, as the graph grows from 1,000 to 1,000,000 entities, and beside maps in place?",
    );
    for (size, bound) in ask.mode.size(
        [(1_000, None), (1_000_000, Some(5.0))],
        [(100, None), (1_000, None)],
    ) {
        contest(&mut ask, size, bound);
    }
    instructions(ask.mode);
}

fn contest(ask: &mut Ask, size: u32, bound: Option<f64>) {
    let snapshot = scale_free(1, size, 0);
    let names = by_number(&snapshot);
    let mut hashed: HashMap<EntityRef, Entity> = in_place(&snapshot);
    let mut sorted: BTreeMap<EntityRef, Entity> = in_place(&snapshot);
    let log = Kept::default();
    let graph = live::graph(snapshot, log.clone());
    let mut next = walk(&names, 0);
    commit(&graph, &mut next, 1);
    let changed = graph.read(|s| s.entities().filter(|e| e.modified_revision == 2).count());
    assert_eq!(
        changed, UPDATES,
        "each of the updates changes an entity of its own"
    );

    let (mut turn, mut next_hashed, mut next_sorted) = (1, walk(&names, 0), walk(&names, 0));
    let ours = each_then(
        || {
            turn += 1;
            commit(&graph, &mut next, turn)
        },
        || log.forget(),
    );
    let mut hashed_turn = 0;
    let in_hashed = each(|| {
        hashed_turn += 1;
        for _ in 0..UPDATES {
            change(hashed.get_mut(next_hashed()), hashed_turn);
        }
    });
    let mut sorted_turn = 0;
    let in_sorted = each(|| {
        sorted_turn += 1;
        for _ in 0..UPDATES {
            change(sorted.get_mut(next_sorted()), sorted_turn);
        }
    });
    let case = format!("64 updates among {size} entities");
    ask.of(Contest::of(case, Unit::Time, "commit", ours)
        .rival("HashMap in place", bound, in_hashed)
        .rival("BTreeMap in place", None, in_sorted));
}

/// Names in the order of their numbers.
fn by_number(snapshot: &Snapshot) -> Vec<EntityRef> {
    let mut entities: Vec<_> = snapshot.entities().collect();
    entities.sort_by_key(|e| e.id);
    entities.into_iter().map(|e| e.key.clone()).collect()
}

fn in_place<M: FromIterator<(EntityRef, Entity)>>(snapshot: &Snapshot) -> M {
    let pair = |e: &Arc<Entity>| (e.key.clone(), Entity::clone(e));
    snapshot.entities().map(pair).collect()
}

fn commit<'a>(graph: &Arc<Graph>, next: &mut impl FnMut() -> &'a EntityRef, turn: u64) -> u64 {
    let mutations = (0..UPDATES).map(|_| update(next(), turn)).collect();
    let outcome = graph.commit(Transaction::of(mutations));
    outcome.expect("the updates are valid").revision
}

fn change(found: Option<&mut Entity>, turn: u64) {
    let entity = found.expect("every name is there");
    entity.properties = Object::unit(Arc::from("build"), Value::Number(turn as f64));
    entity.modified_revision += 1;
}

/// The instructions of a commit at both sizes, each counted by this program in another process.
fn instructions(mode: Mode) {
    if mode == Mode::Smoke {
        return count(100);
    }
    let counted = [1_000, 1_000_000].map(|size| callgrind::instructions(size, "counted_commits"));
    let (question, case) = ("commit".to_owned(), "instructions of 64 updates".to_owned());
    let rival = "among 1,000".to_owned();
    let line = match counted {
        [Ok(small), Ok(large)] => Line::Figure(Figure {
            question,
            case,
            unit: "instructions".into(),
            better: Better::Lower,
            ours_name: "among 1,000,000".into(),
            ours: large as f64 / COUNTED as f64,
            rival,
            rival_value: Some(small as f64 / COUNTED as f64),
            bound: Some(2.5),
        }),
        [Err(reason), _] | [_, Err(reason)] => Line::Skipped(Skipped {
            question,
            case,
            rival,
            reason,
        }),
    };
    line.print();
}

/// In the other process: what is counted.
fn count(size: u32) {
    let snapshot = scale_free(1, size, 0);
    let names = by_number(&snapshot);
    let graph = live::graph(snapshot, Kept::default());
    let mut next = walk(&names, 0);
    callgrind::switch_on();
    commit(&graph, &mut next, 1);
    counted_commits(&graph, &mut next);
}

/// Callgrind counts while this runs, on this thread: old versions are freed by another.
#[inline(never)]
fn counted_commits<'a>(graph: &Arc<Graph>, next: &mut impl FnMut() -> &'a EntityRef) {
    for turn in 0..COUNTED {
        commit(graph, next, turn + 2);
    }
}
