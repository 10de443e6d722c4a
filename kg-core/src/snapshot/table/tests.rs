use super::*;
use crate::model::{Body, Name, Object};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a model test does to a table.
#[derive(Clone, Debug)]
enum Step {
    Put(u16),
    Remove(u16),
    Keep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0u16..200;
    let step = prop_oneof![
        6 => name.clone().prop_map(Step::Put),
        3 => name.prop_map(Step::Remove),
        1 => Just(Step::Keep),
    ];
    prop::collection::vec(step, 0..400)
}

fn key(name: u16) -> EntityRef {
    EntityRef::service(Name::parse("name", &format!("name-{name}")).expect("a valid name"))
}

fn entity(key: EntityRef, id: u32, revision: u64) -> Arc<Entity> {
    Arc::new(Entity {
        id: EntityId::new(id),
        key,
        body: Body::Plain,
        properties: Object::new(),
        created_revision: revision,
        modified_revision: revision,
        digest: Default::default(),
        wire: Default::default(),
    })
}

type Model = BTreeMap<EntityRef, Arc<Entity>>;

fn assert_equal(table: &Table, model: &Model, numbers: u32) {
    assert_eq!(table.len(), model.len());
    for name in 0..200 {
        let key = key(name);
        let (found, expected) = (table.find("service", key.name.as_str()), model.get(&key));
        assert_eq!(found.map(Arc::as_ptr), expected.map(Arc::as_ptr));
    }
    for id in (0..numbers).map(EntityId::new) {
        let expected = model.values().find(|entity| entity.id == id);
        assert_eq!(table.by_id(id).map(Arc::as_ptr), expected.map(Arc::as_ptr));
    }
    let all: BTreeMap<_, _> = table.iter().map(|e| (e.key.clone(), e.clone())).collect();
    assert_eq!(all, *model);
    assert_eq!(table.iter().count(), model.len());
}

/// What one side holds and the other does not, by its address.
fn alone(these: &Model, those: &Model) -> BTreeSet<*const Entity> {
    these
        .iter()
        .filter(|(key, entity)| !those.get(*key).is_some_and(|e| Arc::ptr_eq(e, entity)))
        .map(|(_, entity)| Arc::as_ptr(entity))
        .collect()
}

fn assert_differ(a: &(Table, Model), b: &(Table, Model)) {
    let (here, there) = a.0.diff(&b.0);
    let addresses = |side: &[Arc<Entity>]| side.iter().map(Arc::as_ptr).collect::<BTreeSet<_>>();
    assert_eq!(addresses(&here), alone(&a.1, &b.1));
    assert_eq!(addresses(&there), alone(&b.1, &a.1));
}

proptest! {
    #[test]
    fn it_is_a_map_and_its_versions_stay_as_they_were(steps in steps()) {
        let (mut table, mut model, mut next) = (Table::default(), Model::new(), 0);
        let mut kept = vec![(table.clone(), model.clone())];
        for (revision, step) in (1..).zip(steps) {
            match step {
                Step::Put(name) => {
                    let key = key(name);
                    let id = model.get(&key).map_or(next, |known| known.id.get());
                    next = next.max(id + 1);
                    let entity = entity(key.clone(), id, revision);
                    let old = table.put(entity.clone());
                    prop_assert_eq!(old, model.insert(key, entity));
                }
                Step::Remove(name) => {
                    let key = key(name);
                    prop_assert_eq!(table.remove(&key), model.remove(&key));
                }
                Step::Keep => kept.push((table.clone(), model.clone())),
            }
        }
        kept.push((table, model));
        for (table, model) in &kept {
            assert_equal(table, model, next);
        }
        for pair in kept.windows(2) {
            assert_differ(&pair[0], &pair[1]);
        }
        assert_differ(&kept[0], &kept[kept.len() - 1]);
    }
}

#[test]
fn buckets_stay_short_however_many_there_are() {
    let mut table = Table::default();
    for n in 0..30_000_u32 {
        let name = Name::parse("name", &format!("checkout-{n:07}")).expect("a valid name");
        table.put(entity(EntityRef::service(name), n, 1));
        assert!(table.len() <= table.buckets.len() as usize * LOAD);
    }
    let longest = table.buckets.iter().flatten().map(|b| b.len()).max();
    assert!(longest < Some(8 * LOAD), "{longest:?}");
}

#[test]
fn a_difference_costs_the_buckets_that_differ() {
    let mut table = Table::default();
    let name = |n: u32| EntityRef::service(Name::parse("name", &format!("n{n}")).expect("valid"));
    (0..10_000).for_each(|n| drop(table.put(entity(name(n), n, 1))));
    let before = table.clone();
    table.put(entity(name(77), 77, 2));
    let mut buckets = 0;
    before.buckets.diff(&table.buckets, |a, b| {
        let same = match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        buckets += u32::from(!same);
    });
    assert_eq!(buckets, 1);
}
