use super::*;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};

/// What a model test does to a set.
#[derive(Clone, Debug)]
enum Step {
    Insert(u32),
    Remove(u32),
    InsertRun { start: u32, len: u32, stride: u32 },
    RemoveRun { start: u32, len: u32, stride: u32 },
    Keep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let run = || (0u32..3_000, prop_oneof![0u32..16, 0u32..1_500], 1u32..4);
    let step = prop_oneof![
        3 => (0u32..3_000).prop_map(Step::Insert),
        3 => (0u32..3_000).prop_map(Step::Remove),
        2 => run().prop_map(|(start, len, stride)| Step::InsertRun { start, len, stride }),
        2 => run().prop_map(|(start, len, stride)| Step::RemoveRun { start, len, stride }),
        1 => Just(Step::Keep),
    ];
    prop::collection::vec(step, 0..40)
}

fn assert_equal(set: &Hub, model: &BTreeSet<u32>) {
    set.check();
    let ids = set.ids();
    assert_eq!(ids.len(), model.len());
    assert_eq!(ids.is_empty(), model.is_empty());
    assert!(ids.iter().eq(model.iter().copied()));
    let mut visited = Vec::new();
    ids.for_each(|id| visited.push(id));
    assert!(visited.iter().eq(model));
}

fn insert(set: &mut Hub, model: &mut BTreeSet<u32>, id: u32) {
    assert_eq!(set.ids().contains(id), !model.insert(id));
    if !set.ids().contains(id) {
        set.insert(id);
    }
    assert!(set.ids().contains(id));
}

fn remove(set: &mut Hub, model: &mut BTreeSet<u32>, id: u32) {
    assert_eq!(set.ids().contains(id), model.remove(&id));
    if set.ids().contains(id) {
        set.remove(id);
    }
    assert!(!set.ids().contains(id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_set_behaves_like_a_btree_set_and_its_clones_never_change(steps in steps()) {
        let (mut set, mut model) = (Hub::of(&[]), BTreeSet::new());
        let mut kept = Vec::new();
        for step in steps {
            match step {
                Step::Insert(id) => insert(&mut set, &mut model, id),
                Step::Remove(id) => remove(&mut set, &mut model, id),
                Step::InsertRun { start, len, stride } => {
                    (0..len).for_each(|i| insert(&mut set, &mut model, start + i * stride));
                }
                Step::RemoveRun { start, len, stride } => {
                    (0..len).for_each(|i| remove(&mut set, &mut model, start + i * stride));
                }
                Step::Keep => kept.push((set.clone(), model.clone())),
            }
            set.check();
        }
        assert_equal(&set, &model);
        for (set, model) in &kept {
            assert_equal(set, model);
        }
    }
}

/// All numbers below `count`, in an order that looks random and is the same every time.
fn scattered(count: u32) -> impl Iterator<Item = u32> {
    const PRIME: u64 = 1_000_003;
    (0..PRIME)
        .map(|i| (i * 742_938_285 % PRIME) as u32)
        .filter(move |&id| id < count)
}

#[test]
fn every_threshold_is_crossed_both_ways() {
    for ascending in [true, false] {
        let (mut set, mut model) = (Hub::of(&[]), BTreeSet::new());
        let mut kept = Vec::new();
        let id = |i: u32| if ascending { i } else { 2_000 - i };
        for i in 0..700 {
            kept.push((set.clone(), model.clone()));
            insert(&mut set, &mut model, id(i));
            assert_equal(&set, &model);
        }
        assert!(matches!(set.0, Form::Tree(_)));
        for i in 0..700 {
            kept.push((set.clone(), model.clone()));
            remove(&mut set, &mut model, id(i));
            assert_equal(&set, &model);
        }
        assert!(matches!(set.0, Form::Chunk(_)));
        for (set, model) in &kept {
            assert_equal(set, model);
        }
    }
}

#[test]
fn a_set_at_a_threshold_stays_in_its_form() {
    let mut set = Hub::of(&(0..=251).collect::<Vec<_>>());
    assert!(matches!(set.0, Form::Tree(_)));
    (189..=251).for_each(|id| set.remove(id));
    assert!(matches!(set.0, Form::Tree(_)));
    set.remove(188);
    assert!(matches!(set.0, Form::Chunk(_)));
    (188..=250).for_each(|id| set.insert(id));
    assert!(matches!(set.0, Form::Chunk(_)));
}

#[test]
fn a_hub_is_built_and_emptied_in_any_order() {
    let (mut set, mut model) = (Hub::of(&[]), BTreeSet::new());
    scattered(100_000).for_each(|id| insert(&mut set, &mut model, id));
    assert_equal(&set, &model);
    let kept = (set.clone(), model.clone());
    for (done, id) in scattered(100_000).enumerate() {
        remove(&mut set, &mut model, id);
        if done % 5_000 == 0 {
            assert_equal(&set, &model);
        }
    }
    assert_equal(&set, &model);
    assert_equal(&kept.0, &kept.1);
}

#[test]
fn a_hub_that_is_filled_in_ascending_order_wastes_little() {
    let mut set = Hub::of(&[]);
    (0..100_000).for_each(|id| set.insert(id));
    set.check();
    assert!(
        set.heap_bytes() < 600_000,
        "{} bytes for 400,000 of ids",
        set.heap_bytes()
    );
}

fn blocks(set: &Hub) -> HashSet<(*const u8, usize)> {
    let mut blocks = HashSet::new();
    set.for_each_block(&mut |address, bytes| {
        blocks.insert((address, bytes));
    });
    blocks
}

fn bytes_copied(before: &Hub, after: &Hub) -> usize {
    let before: HashSet<_> = blocks(before)
        .into_iter()
        .map(|(address, _)| address)
        .collect();
    blocks(after)
        .into_iter()
        .filter(|(address, _)| !before.contains(address))
        .map(|(_, bytes)| bytes)
        .sum()
}

#[test]
fn a_change_to_a_shared_hub_copies_a_bounded_number_of_bytes() {
    let mut set = Hub::of(&[]);
    scattered(100_000).for_each(|id| set.insert(2 * id));
    let (mut most, mut sum) = (0, 0);
    for id in scattered(100_000).take(300) {
        let before = set.clone();
        set.insert(2 * id + 1);
        let middle = set.clone();
        set.remove(2 * id);
        for copied in [bytes_copied(&before, &middle), bytes_copied(&middle, &set)] {
            most = most.max(copied);
            sum += copied;
        }
    }
    assert!(most <= 8_192, "at worst {most} bytes, for a split");
    assert!(sum / 600 <= 5_000, "{} bytes on average", sum / 600);
}

#[test]
fn a_set_of_its_own_is_changed_in_place() {
    for count in [5, 100, 100_000] {
        let mut set = Hub::of(&[]);
        scattered(count).for_each(|id| set.insert(2 * id));
        let before = blocks(&set);
        set.insert(3);
        set.remove(3);
        assert_eq!(before, blocks(&set), "at {count} ids");
    }
}

impl Hub {
    /// Fails where a form holds what the other should, or a tree is not one.
    fn check(&self) {
        if let Form::Tree(root) = &self.0 {
            assert!(
                root.len() > SHRINKS_AT,
                "{} ids in too large a form",
                root.len()
            );
            root.check();
        }
    }
}
