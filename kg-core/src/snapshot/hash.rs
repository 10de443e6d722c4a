//! The hash of a graph's content: a sum of 128-bit item hashes.
//!
//! It covers entities, relations and document leaves; not ids, revisions, times or the order of dependencies. A sum can
//! be kept in O(changes): what goes is subtracted, what comes is added. Each item is hashed by XXH3-128, whose output is
//! the same on every platform and in every version of its library. This finds damage and divergence; it is no defence
//! against somebody who constructs collisions.

use crate::log::record;
use crate::model::path::Part;
use crate::model::value::object_json;
use crate::model::{Entity, Object, RelationKey, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_128_with_seed};

const ENTITY: u64 = 1;
const RELATION: u64 = 2;
const LEAF: u64 = 3;

/// Hash of one entity's content, computed once for each version.
#[must_use]
pub fn entity(entity: &Entity) -> u128 {
    entity.digest.get_or_compute(|| entity_anew(entity))
}

/// Hash of one entity's content, computed anew: for whoever doubts what is kept.
#[must_use]
pub fn entity_anew(entity: &Entity) -> u128 {
    xxh3_128_with_seed(&record::entity_content(entity), ENTITY)
}

/// Hash of one relation's content.
#[must_use]
pub fn relation(key: &RelationKey, properties: &Object) -> u128 {
    let mut hash = Xxh3::with_seed(RELATION);
    for word in [
        key.from.kind.as_str(),
        key.from.name.as_str(),
        key.label.as_str(),
        key.to.kind.as_str(),
        key.to.name.as_str(),
    ] {
        hash.update(&(word.len() as u64).to_le_bytes());
        hash.update(word.as_bytes());
    }
    if !properties.is_empty() {
        hash.update(object_json(properties).as_bytes());
    }
    hash.digest128()
}

/// Sum of the hashes of the leaves of `value`, which stands at `at`. Empty lists and objects are leaves.
#[must_use]
pub fn leaves(at: &[Part], value: &Value) -> u128 {
    let mut path = at.to_vec();
    sum(&mut path, value)
}

fn sum(path: &mut Vec<Part>, value: &Value) -> u128 {
    match value {
        Value::List(items) if !items.is_empty() => {
            items.iter().enumerate().fold(0_u128, |total, (i, item)| {
                path.push(Part::Index(i));
                let total = total.wrapping_add(sum(path, item));
                path.pop();
                total
            })
        }
        Value::Object(members) if !members.is_empty() => {
            members.iter().fold(0_u128, |total, (key, member)| {
                path.push(Part::Key(key.clone()));
                let total = total.wrapping_add(sum(path, member));
                path.pop();
                total
            })
        }
        leaf => leaf_hash(path, leaf),
    }
}

fn leaf_hash(path: &[Part], leaf: &Value) -> u128 {
    let mut hash = Xxh3::with_seed(LEAF);
    for part in path {
        match part {
            Part::Key(key) => {
                hash.update(&[0]);
                hash.update(&(key.len() as u64).to_le_bytes());
                hash.update(key.as_bytes());
            }
            Part::Index(i) => {
                hash.update(&[1]);
                hash.update(&(*i as u64).to_le_bytes());
            }
        }
    }
    hash.update(&[2]);
    hash.update(leaf.to_json().as_bytes());
    hash.digest128()
}
