//! `Table`: the entities of a snapshot, by name and by number, as a persistent hash table.
//!
//! **Linear hashing** (Litwin, 1980) over a persistent vector of buckets. A bucket is one block of slots, as many as it has
//! entities, and each slot holds the entity itself and its hash. The table grows by one bucket at a time: whenever there
//! are more than `LOAD` entities for each, the next bucket in order is split in two. So no insert ever pays for the whole
//! table, and versions share every bucket that did not change.
//!
//! A number is looked up through the hash of its entity, which never changes: a vector of plain words, written once for
//! each entity. So replacing an entity, the most frequent change, copies one path and not two.
//!
//! | operation | cost |
//! |---|---|
//! | `clone` | two reference counts |
//! | `get`, `find` | the hash, then the loads of a radix walk, of one bucket, and of the entity: the last two miss a cold cache |
//! | `by_id` | one load more |
//! | `put` of a known name | a copy of one bucket and of its path: about `LOAD` + 16 x height reference counts |
//! | `put` of a new name | the same, one word more, and in one of `LOAD` cases a split: two paths more |
//! | `diff` | O(buckets that differ x log), see there |
//!
//! **Why not a hash trie.** The tries of this kind that there are (`im`, `imbl`, `rpds`) keep what they hold behind two or
//! three more loads that depend on each other, and copy up to 32 reference counts a level, most of them cold in a large
//! graph. `benches/point_read.rs` and `benches/commit.rs` have the figures. The table does not shrink: what a graph of a
//! million entities leaves behind when it is emptied is 4 MiB of empty buckets, until the next start.

#[cfg(test)]
mod tests;

use super::radix::Radix;
use crate::model::{Entity, EntityId, EntityRef};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// Entities for each bucket, on average. A bucket of four is two cache lines; with fewer the vector of buckets grows, with
/// more the search in a bucket.
const LOAD: usize = 3;

/// All entities of one snapshot.
#[derive(Clone)]
pub(super) struct Table {
    buckets: Radix<Bucket, 16, 16>,
    /// By number: the hash of the entity that has it, or had it.
    hashes: Radix<u32, 64>,
    len: usize,
}

/// What agrees in the low bits of its hash. The empty bucket takes no memory of its own.
type Bucket = Option<Arc<[Slot]>>;

#[derive(Clone)]
struct Slot {
    hash: u32,
    entity: Arc<Entity>,
}

impl Default for Table {
    fn default() -> Self {
        let mut buckets = Radix::new();
        buckets.set(0, None);
        Self {
            buckets,
            hashes: Radix::new(),
            len: 0,
        }
    }
}

impl Table {
    /// How many entities there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The entity that is known by this key. Keys of one origin share their words, and are compared by their pointers first.
    #[inline]
    pub(super) fn get(&self, key: &EntityRef) -> Option<&Arc<Entity>> {
        let hash = hash_of_key(key);
        let is_it = |slot: &&Slot| slot.hash == hash && slot.entity.key == *key;
        self.bucket(hash).iter().find(is_it).map(|s| &s.entity)
    }

    /// The entity of this kind and name.
    #[inline]
    pub(super) fn find(&self, kind: &str, name: &str) -> Option<&Arc<Entity>> {
        let hash = hash_of(kind, name);
        let is_it = |slot: &&Slot| {
            slot.hash == hash
                && slot.entity.key.name.as_str() == name
                && slot.entity.key.kind.as_str() == kind
        };
        self.bucket(hash).iter().find(is_it).map(|s| &s.entity)
    }

    /// The entity with this number.
    #[inline]
    pub(super) fn by_id(&self, id: EntityId) -> Option<&Arc<Entity>> {
        let hash = *self.hashes.get(id.get())?;
        let is_it = |slot: &&Slot| slot.hash == hash && slot.entity.id == id;
        self.bucket(hash).iter().find(is_it).map(|s| &s.entity)
    }

    /// Puts an entity in its place, and returns the one that had its name.
    pub(super) fn put(&mut self, entity: Arc<Entity>) -> Option<Arc<Entity>> {
        let hash = hash_of_key(&entity.key);
        let number = entity.id.get();
        if self.hashes.get(number) != Some(&hash) {
            self.hashes.set(number, hash);
        }
        let at = self.address(hash);
        let bucket = self.buckets.get_mut(at);
        let known = position(bucket, hash, &entity.key);
        if let (Some(slots), Some(place)) = (bucket.as_mut(), known) {
            let slot = &mut Arc::make_mut(slots)[place];
            return Some(std::mem::replace(&mut slot.entity, entity));
        }
        let old = bucket.as_deref().unwrap_or_default();
        let new = std::iter::once(Slot { hash, entity });
        *bucket = Some(old.iter().cloned().chain(new).collect());
        self.len += 1;
        if self.len > self.buckets.len() as usize * LOAD {
            self.split();
        }
        None
    }

    /// Takes an entity away. Its number stays taken.
    pub(super) fn remove(&mut self, key: &EntityRef) -> Option<Arc<Entity>> {
        let hash = hash_of_key(key);
        let at = self.address(hash);
        let place = position(self.buckets.get(at)?, hash, key)?;
        let bucket = self.buckets.get_mut(at);
        let slots = bucket.take()?;
        let removed = slots[place].entity.clone();
        *bucket = of(slots
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != place)
            .map(|(_, s)| s));
        self.len -= 1;
        Some(removed)
    }

    /// All entities, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.as_deref().unwrap_or_default())
            .map(|slot| &slot.entity)
    }

    /// The entities of this table that the other does not hold as the same object, and those that only the other holds.
    /// What both share is passed over by its pointer. Where one has grown, the buckets that were split in between are
    /// looked at whole: O(changes) all the same, for as many were put as made it grow.
    pub(super) fn diff(&self, other: &Self) -> (Vec<Arc<Entity>>, Vec<Arc<Entity>>) {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        self.buckets.diff(&other.buckets, |a, b| {
            let (a, b) = (a.as_deref(), b.as_deref());
            let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
            if !std::ptr::eq(a, b) {
                here.extend(a.iter().filter(|slot| !slot.is_in(b)).map(Slot::shared));
                there.extend(b.iter().filter(|slot| !slot.is_in(a)).map(Slot::shared));
            }
        });
        // What stands in both after all has moved to another bucket in between.
        here.sort_unstable_by_key(Arc::as_ptr);
        there.sort_unstable_by_key(Arc::as_ptr);
        (without(&here, &there), without(&there, &here))
    }

    #[inline]
    fn bucket(&self, hash: u32) -> &[Slot] {
        let bucket = self.buckets.get(self.address(hash));
        bucket.and_then(Option::as_deref).unwrap_or_default()
    }

    /// The bucket of a hash: its low bits, and one fewer where that bucket does not exist yet.
    #[inline]
    fn address(&self, hash: u32) -> u32 {
        let last = self.buckets.len() - 1;
        let mask = u32::MAX.checked_shr(last.leading_zeros()).unwrap_or(0);
        let at = hash & mask;
        if at > last { at & (mask >> 1) } else { at }
    }

    /// Adds a bucket, and takes into it what belongs there from the one that had it so far.
    fn split(&mut self) {
        let new = self.buckets.len();
        let from = new & !(1 << new.ilog2());
        self.buckets.set(new, None);
        let slots = self.buckets.get_mut(from).take();
        let slots = slots.as_deref().unwrap_or_default();
        let moves = |slot: &&Slot| self.address(slot.hash) == new;
        let stays = of(slots.iter().filter(|slot| !moves(slot)));
        let moved = of(slots.iter().filter(moves));
        self.buckets.set(from, stays);
        self.buckets.set(new, moved);
    }
}

impl Slot {
    /// Whether one of these holds the same object.
    fn is_in(&self, slots: &[Slot]) -> bool {
        let same = |other: &Slot| Arc::ptr_eq(&self.entity, &other.entity);
        slots.iter().any(same)
    }

    fn shared(&self) -> Arc<Entity> {
        self.entity.clone()
    }
}

/// Those of `these` that are not among `those`; both are sorted by their addresses.
fn without(these: &[Arc<Entity>], those: &[Arc<Entity>]) -> Vec<Arc<Entity>> {
    let is_alone = |entity: &&Arc<Entity>| {
        those
            .binary_search_by_key(&Arc::as_ptr(entity), Arc::as_ptr)
            .is_err()
    };
    these.iter().filter(is_alone).cloned().collect()
}

/// A bucket of some of another's slots.
fn of<'a>(slots: impl Iterator<Item = &'a Slot>) -> Bucket {
    let slots: Vec<Slot> = slots.cloned().collect();
    (!slots.is_empty()).then(|| slots.into())
}

fn position(bucket: &Bucket, hash: u32, key: &EntityRef) -> Option<usize> {
    let slots = bucket.as_deref()?;
    slots
        .iter()
        .position(|slot| slot.hash == hash && slot.entity.key == *key)
}

fn hash_of_key(key: &EntityRef) -> u32 {
    hash_of(key.kind.as_str(), key.name.as_str())
}

/// Both halves of the hash in one word: buckets go by its low bits.
#[inline]
fn hash_of(kind: &str, name: &str) -> u32 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    name.hash(&mut hasher);
    kind.hash(&mut hasher);
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}
