//! What does it cost to get hold of the graph: a guard for one look, and a snapshot to keep?
//!
//! Nobody writes. Each iteration takes hold of the head, reads its revision, and lets go again. Beside them what one gets
//! hold of a lock for.
//!
//! ```text
//! cargo bench --package benches --bench hold
//! ```

mod ask;
mod names;

use std::sync::RwLock;

use ask::Ask;
use benches::contest::{Contest, Unit, each};
use kg_core::snapshot::Snapshot;

fn main() {
    let mut ask = Ask::new(
        "hold",
        "What does it cost to get hold of the graph: a guard for one look, and a snapshot to keep?",
    );
    let graph = names::graph_of(&names::names(ask.mode.size(2_400, 24)));
    let locked = RwLock::new(graph.snapshot().shared());
    let by_lock = || {
        let held = locked.read().expect("nobody panics with it");
        held.revision()
    };
    assert_eq!(graph.read(Snapshot::revision), by_lock());
    ask.of(Contest::of(
        "Graph::read, a guard",
        Unit::Time,
        "guard",
        each(|| graph.read(Snapshot::revision)),
    )
    .at_most(25.0));
    ask.of(Contest::of(
        "Graph::snapshot, taken and dropped",
        Unit::Time,
        "snapshot",
        each(|| graph.snapshot().revision()),
    )
    .at_most(50.0));
    ask.of(Contest::of(
        "guard beside a lock",
        Unit::Time,
        "guard",
        each(|| graph.read(Snapshot::revision)),
    )
    .rival("RwLock (std), read", None, each(by_lock)));
}
