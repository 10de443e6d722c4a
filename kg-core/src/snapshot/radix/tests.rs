use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a model test does to a vector.
#[derive(Clone, Debug)]
enum Step {
    Set(u32, u64),
    Keep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = prop_oneof![8 => 0u32..600, 2 => 0u32..20_000, 1 => 0u32..200_000];
    let step = prop_oneof![6 => (index, 1u64..).prop_map(|(at, item)| Step::Set(at, item)), 1 => Just(Step::Keep)];
    prop::collection::vec(step, 0..80)
}

fn assert_equal<const WIDTH: usize>(radix: &Radix<u64, WIDTH>, model: &BTreeMap<u32, u64>) {
    let len = model.last_key_value().map_or(0, |(last, _)| last + 1);
    assert_eq!(radix.len(), len);
    assert_eq!(radix.is_empty(), len == 0);
    assert_eq!(radix.get(len), None);
    for (&index, item) in model {
        assert_eq!(radix.get(index), Some(item));
    }
    let filled = (0..).zip(radix.iter()).filter(|(_, item)| **item != 0);
    assert!(filled.eq(model.iter().map(|(&index, item)| (index, item))));
}

fn check<const WIDTH: usize>(steps: &[Step]) {
    let (mut radix, mut model) = (Radix::<u64, WIDTH>::new(), BTreeMap::new());
    let mut kept = Vec::new();
    for step in steps {
        match *step {
            Step::Set(index, item) => {
                radix.set(index, item);
                model.insert(index, item);
            }
            Step::Keep => kept.push((radix.clone(), model.clone())),
        }
    }
    assert_equal(&radix, &model);
    kept.push((radix, model));
    for (radix, model) in &kept {
        assert_equal(radix, model);
    }
    for pair in kept.windows(2) {
        assert_differ(&pair[0], &pair[1]);
        assert_differ(&pair[1], &pair[0]);
    }
}

type Kept<const WIDTH: usize> = (Radix<u64, WIDTH>, BTreeMap<u32, u64>);

/// Every difference is visited once, with both items.
fn assert_differ<const WIDTH: usize>(a: &Kept<WIDTH>, b: &Kept<WIDTH>) {
    let at = |model: &BTreeMap<u32, u64>, index| model.get(index).copied().unwrap_or(0);
    let mut expected: Vec<(u64, u64)> = (a.1.keys().chain(b.1.keys()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|index| (at(&a.1, index), at(&b.1, index)))
        .filter(|(old, new)| old != new)
        .collect();
    let mut found = Vec::new();
    a.0.diff(&b.0, |old, new| {
        found.extend((old != new).then_some((*old, *new)))
    });
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_difference_costs_the_leaves_that_differ() {
    let mut radix = Radix::<u64, 16>::new();
    (0..100_000).for_each(|index| radix.set(index, 1));
    let before = radix.clone();
    let mut seen = 0;
    before.diff(&radix, |_, _| seen += 1);
    assert_eq!(seen, 0, "nothing changed");
    radix.set(7, 2);
    radix.set(99_999, 2);
    before.diff(&radix, |_, _| seen += 1);
    assert_eq!(seen, 2 * 16, "two leaves of 16");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_vector_behaves_like_a_map_and_its_clones_never_change(steps in steps()) {
        check::<4>(&steps);
        check::<16>(&steps);
        check::<64>(&steps);
    }
}

#[test]
fn every_height_finds_what_was_put_at_its_edges() {
    let mut radix = Radix::<u32, 4>::new();
    let edges: Vec<u32> = (2..32)
        .step_by(6)
        .flat_map(|bits| [(1 << bits) - 1, 1 << bits])
        .chain([u32::MAX - 1])
        .collect();
    for &index in &edges {
        radix.set(index, index);
        assert_eq!(radix.len(), index + 1);
    }
    for &index in &edges {
        assert_eq!(radix.get(index), Some(&index));
        assert_eq!(
            radix.get(index - 1),
            Some(&if edges.contains(&(index - 1)) {
                index - 1
            } else {
                0
            })
        );
    }
    assert_eq!(radix.get(u32::MAX), None);
}

#[test]
fn an_index_far_beyond_the_end_costs_a_path() {
    let mut radix = Radix::<u32, 32>::new();
    radix.set(1 << 30, 1);
    assert!(radix.heap_bytes() < 20_000, "{} bytes", radix.heap_bytes());
}

#[test]
fn a_vector_of_its_own_is_changed_in_place() {
    let mut radix = Radix::<u32, 32>::new();
    radix.set(100_000, 1);
    radix.set(5, 1);
    let before = std::ptr::from_ref(radix.leaf(5));
    radix.set(6, 1);
    assert!(std::ptr::eq(before, radix.leaf(6)));
    let kept = radix.clone();
    radix.set(7, 1);
    assert!(std::ptr::eq(before, kept.leaf(7)) && !std::ptr::eq(before, radix.leaf(7)));
    assert!(
        std::ptr::eq(kept.leaf(100_000), radix.leaf(100_000)),
        "what was not changed is shared"
    );
}

#[test]
fn what_was_skipped_is_the_default_and_is_iterated_over() {
    let mut radix = Radix::<u32, 4>::new();
    radix.set(1_001, 7);
    assert_eq!(radix.iter().count(), 1_002);
    assert_eq!(radix.iter().filter(|item| **item == 0).count(), 1_001);
    assert_eq!((radix.get(1_000), radix.get(1_002)), (Some(&0), None));
}
