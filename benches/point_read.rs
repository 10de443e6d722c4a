//! What does it cost to read one service by its name from a snapshot that is held, beside maps made for many threads?
//!
//! At the size of the system that Amadeus replaces (2,400 services) and at 100,000; one reader, and two at once, each walking
//! through all names in its own order. Nobody writes. Both sides read one field of the value where it lies: ours from a
//! snapshot that each reader took before, as a query does; the rivals by their own read, guard or lock, for each name anew,
//! since that is what reading them takes. The rivals hold the entity itself in their tables, which spares them a step
//! that ours pays for letting versions share entities.
//!
//! ```text
//! cargo bench --package benches --bench point_read
//! ```

mod ask;
mod names;

use std::sync::Arc;

use ask::Ask;
use benches::contest::{Contest, Unit, each_in_threads};
use kg_core::commit::Graph;
use kg_core::model::{Entity, EntityRef};
use names::{graph_of, walk};
use rivals::{ArcSwapped, Dash, Papaya, ParkingLot, Scc, Std, Table};

fn main() {
    let mut ask = Ask::new(
        "point_read",
        "What does it cost to read one service by its name from a held snapshot, beside maps made for many threads?",
    );
    for (size, asked) in ask.mode.size(
        [(2_400, [0.8, 1.5]), (100_000, [0.6, 0.6])],
        [(240, [0.8, 1.5]), (1_000, [0.6, 0.6])],
    ) {
        let names = names::names(size);
        let graph = graph_of(&names);
        for (threads, bound) in [(1, asked[0]), (2, asked[1])] {
            contest(&mut ask, &names, &graph, threads, bound);
        }
    }
}

fn contest(ask: &mut Ask, names: &[EntityRef], graph: &Arc<Graph>, threads: u32, bound: f64) {
    let readers = ["one reader", "two readers"][threads as usize - 1];
    let case = format!("{} services, {readers}", names.len());
    let contest = Contest::of(
        case,
        Unit::Rate("reads"),
        "held snapshot",
        each_in_threads(threads, |thread| {
            let (snapshot, mut next) = (graph.snapshot(), walk(names, thread));
            move || revision(snapshot.entity(next()).map(|found| found.modified_revision))
        }),
    );
    let contest = rival::<Dash<_, _>>(contest, names, graph, threads, Some(bound));
    let contest = rival::<Papaya<_, _>>(contest, names, graph, threads, None);
    let contest = rival::<Scc<_, _>>(contest, names, graph, threads, None);
    let contest = rival::<Std<_, _>>(contest, names, graph, threads, None);
    let contest = rival::<ParkingLot<_, _>>(contest, names, graph, threads, None);
    let contest = rival::<ArcSwapped<_, _>>(contest, names, graph, threads, None);
    ask.of(contest);
}

fn rival<'a, T: Table<EntityRef, Entity> + 'a>(
    contest: Contest<'a>,
    names: &'a [EntityRef],
    graph: &Graph,
    threads: u32,
    bound: Option<f64>,
) -> Contest<'a> {
    let snapshot = graph.snapshot();
    let table = T::of(
        snapshot
            .entities()
            .map(|e| (e.key.clone(), Entity::clone(e))),
    );
    for key in names {
        let ours = snapshot.entity(key).map(|e| e.modified_revision);
        assert_eq!(table.look(key, |e| e.modified_revision), ours, "{key}");
    }
    let table = Arc::new(table);
    contest.rival(
        T::NAME,
        bound,
        each_in_threads(threads, move |thread| {
            let (table, mut next) = (table.clone(), walk(names, thread));
            move || revision(table.look(next(), |found| found.modified_revision))
        }),
    )
}

/// What both sides read; every name is there.
fn revision(found: Option<u64>) -> u64 {
    found.expect("every name was put")
}
