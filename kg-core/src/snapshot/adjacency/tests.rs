use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

type Edges = BTreeSet<(u32, u32)>;

fn assert_equal(adjacency: &Adjacency, model: &Edges) {
    assert_eq!(adjacency.len(), model.len() as u64);
    assert_eq!(adjacency.is_empty(), model.is_empty());
    let edges = adjacency.edges().map(|(from, to)| (from.get(), to.get()));
    assert!(edges.eq(model.iter().copied()));
    let backwards: Edges = model.iter().map(|&(from, to)| (to, from)).collect();
    let incoming = adjacency
        .lists(Way::In)
        .flat_map(|(to, set)| set.iter().map(move |from| (to, from)));
    assert!(incoming.eq(backwards));
}

/// An edge to add, an edge to take away, or none: keep a clone.
fn steps() -> impl Strategy<Value = Vec<Option<(bool, u32, u32)>>> {
    // Few ends, so that lists become hubs and come back, and two of them in one block.
    let end = || prop_oneof![3 => 0u32..4, 3 => 0u32..100, 1 => 0u32..10_000];
    prop::collection::vec(
        prop::option::weighted(0.98, (prop::bool::weighted(0.7), end(), end())),
        0..600,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn both_directions_agree_with_a_set_of_pairs_and_clones_never_change(steps in steps()) {
        let (mut adjacency, mut model) = (Adjacency::new(), Edges::new());
        let mut kept = Vec::new();
        for step in steps {
            match step {
                Some((is_insert, from, to)) => {
                    let (a, b) = (EntityId::new(from), EntityId::new(to));
                    let (changed, expected) = if is_insert {
                        (adjacency.insert(a, b), model.insert((from, to)))
                    } else {
                        (adjacency.remove(a, b), model.remove(&(from, to)))
                    };
                    assert_eq!(changed, expected);
                    assert_eq!(adjacency.contains(a, b), is_insert);
                }
                None => kept.push((adjacency.clone(), model.clone())),
            }
        }
        assert_equal(&adjacency, &model);
        for (adjacency, model) in &kept {
            assert_equal(adjacency, model);
        }
    }
}

#[test]
fn a_list_that_grows_stands_by_itself_and_comes_back() {
    let (mut adjacency, mut model, mut kept) = (Adjacency::new(), Edges::new(), Vec::new());
    // Two hubs in one block, in both directions, between lists of their block that stay short.
    let edges: Vec<(u32, u32)> = (0..400)
        .flat_map(|n| [(3, 1_000 - n), (1_000 + n, 3), (5, 2 * n), (n % 16, 7)])
        .collect();
    for (n, &(from, to)) in edges.iter().enumerate() {
        let added = adjacency.insert(EntityId::new(from), EntityId::new(to));
        assert_eq!(added, model.insert((from, to)));
        if n % 97 == 0 {
            assert_equal(&adjacency, &model);
            kept.push((adjacency.clone(), model.clone()));
        }
    }
    for (n, &(from, to)) in edges.iter().enumerate() {
        let removed = adjacency.remove(EntityId::new(from), EntityId::new(to));
        assert_eq!(removed, model.remove(&(from, to)));
        if n % 97 == 0 {
            assert_equal(&adjacency, &model);
        }
    }
    assert!(adjacency.is_empty());
    for (adjacency, model) in &kept {
        assert_equal(adjacency, model);
    }
}

#[test]
fn an_entity_that_was_never_named_has_no_neighbours() {
    let mut adjacency = Adjacency::new();
    assert!(adjacency.outgoing(EntityId::new(0)).is_empty());
    assert!(adjacency.insert(EntityId::new(3), EntityId::new(70_000)));
    assert!(adjacency.incoming(EntityId::new(3)).is_empty());
    assert!(adjacency.incoming(EntityId::new(u32::MAX)).is_empty());
    assert_eq!(
        adjacency
            .incoming(EntityId::new(70_000))
            .iter()
            .collect::<Vec<_>>(),
        [3]
    );
}

#[test]
fn an_entity_may_point_to_itself() {
    let (mut adjacency, id) = (Adjacency::new(), EntityId::new(1));
    assert!(adjacency.insert(id, id));
    assert!(adjacency.incoming(id).contains(1) && adjacency.outgoing(id).contains(1));
    assert!(adjacency.remove(id, id));
    assert!(adjacency.is_empty() && adjacency.edges().next().is_none());
}

#[test]
fn a_label_that_few_entities_use_is_small() {
    let mut adjacency = Adjacency::new();
    (0..10).for_each(|i| assert!(adjacency.insert(EntityId::new(i * 90_000), EntityId::new(1))));
    assert!(
        adjacency.heap_bytes() < 64_000,
        "{} bytes",
        adjacency.heap_bytes()
    );
}
