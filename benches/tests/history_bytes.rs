//! What the history ring says that it holds is within twice of what the allocator counts, whichever way it was filled.

#[path = "../counted.rs"]
mod counted;
#[path = "../ring.rs"]
mod ring;

use kg_core::model::{Label, Object, RelationKey};
use kg_core::mutation::Mutation;
use kg_core::testing::generate::{Rng, scale_free};
use ring::{Run, update};

// One test: the count is the process's, and tests run side by side.
#[test]
fn the_ring_tells_its_size_within_twice() {
    let base = scale_free(1, 10_000, 40_000);
    let filled = |fill: &dyn Fn(&mut Run)| {
        let mut run = Run::from(base.clone());
        fill(&mut run);
        run.settle()
    };
    let cases = [
        (
            "5,000 updates in a second",
            filled(&|r| update(r, 5_000, 1, 5_000)),
        ),
        (
            "5,000 updates in 10 seconds",
            filled(&|r| update(r, 5_000, 1, 500)),
        ),
        (
            "5,000 updates in 5,000 seconds",
            filled(&|r| update(r, 5_000, 1, 1)),
        ),
        (
            "5,000 updates, 10 at once",
            filled(&|r| update(r, 5_000, 10, 1)),
        ),
        (
            "5,000 updates, 100 at once",
            filled(&|r| update(r, 5_000, 100, 1)),
        ),
        (
            "5,000 updates, 1,000 at once",
            filled(&|r| update(r, 5_000, 1_000, 1)),
        ),
        (
            "1,000 new relations",
            filled(&|r| relate(r, 1_000, 1, "uses")),
        ),
        (
            "1,000 new relations, 100 at once",
            filled(&|r| relate(r, 1_000, 100, "uses")),
        ),
        (
            "1,000 more relations",
            filled(&|r| relate(r, 1_000, 1, "depends_on")),
        ),
        (
            "1,000 more relations, 100 at once",
            filled(&|r| relate(r, 1_000, 100, "depends_on")),
        ),
    ];
    for (what, (said, held)) in cases {
        assert!(
            said <= 2 * held && held <= 2 * said,
            "{what}: it says {said} bytes and holds {held}"
        );
    }
}

/// Adds relations from one entity to another at random, `each` in a transaction, one transaction a second.
fn relate(run: &mut Run, relations: usize, each: usize, label: &str) {
    let mut keys: Vec<_> = run.head.entities().map(|e| e.key.clone()).collect();
    keys.sort();
    let mut rng = Rng::new(11);
    for number in 0..relations / each {
        let mutations = (0..each)
            .map(|_| Mutation::PutRelation {
                key: RelationKey {
                    from: rng.pick(&keys[..5_000]).clone(),
                    label: Label::parse("label", label).expect("a valid label"),
                    to: rng.pick(&keys[5_000..]).clone(),
                },
                properties: Object::new(),
                create_ends: false,
            })
            .collect();
        run.commit(mutations, number as u64 * 1_000);
    }
}
