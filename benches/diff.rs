//! What does it cost to tell two versions of a large graph apart that differ in 1,000 of 1,000,000 entities?
//!
//! The versions are a second's work apart: one transaction changed 1,000 entities, spread evenly over the graph. The result is made and
//! dropped in each iteration.
//!
//! ```text
//! cargo bench --package benches --bench diff
//! ```

mod ask;
mod live;
mod names;

use ask::Ask;
use benches::contest::{Contest, Unit, each};
use kg_core::mutation::Transaction;
use kg_core::testing::generate::scale_free;
use live::Kept;
use names::update;

fn main() {
    let mut ask = Ask::new(
        "diff",
        "What does it cost to tell two versions of a large graph apart that differ in 1,000 of 1,000,000 entities?",
    );
    let (size, changes) = ask.mode.size((1_000_000, 1_000), (1_000, 10));
    let graph = live::graph(scale_free(1, size, 0), Kept::default());
    let before = graph.snapshot();
    let changed = before
        .entities()
        .filter(|e| e.id.get().is_multiple_of(size / changes))
        .map(|e| update(&e.key, 1));
    graph
        .commit(Transaction::of(changed.collect()))
        .expect("the updates are valid");
    let after = graph.snapshot();
    let diff = || kg_core::diff(&before, &after);
    assert_eq!(diff().len(), changes as usize);
    ask.of(Contest::of(
        "1,000 changes in 1,000,000 entities",
        Unit::Time,
        "diff",
        each(diff),
    )
    .at_most(2e6));
}
