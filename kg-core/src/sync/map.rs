//! Entries by key that many threads share: a [`dashmap::DashMap`] that hands out clones and no guards.
//!
//! A guard into a DashMap must not be held across an await, nor while the same map is touched again. Here nobody has one:
//! values are cheap to clone (an `Arc`, a number), and an entry is read or replaced as a whole.

use std::borrow::Borrow;
use std::hash::Hash;

/// Entries by key.
pub struct Map<K, V>(inner::Inner<K, V>);

impl<K: Eq + Hash, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(inner::Inner::default())
    }
}

impl<K: Eq + Hash, V: Clone> Map<K, V> {
    /// The value at `key`.
    pub fn get<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// Puts a value at `key` and returns the one before.
    pub fn insert(&self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// The value at `key`; if there is none, the one that `make` returns, put there in the same step. `make` runs at most
    /// once for all callers of one key, while the entry is locked: let it be quick, and let it not touch this map.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V {
        self.0.get_or_insert_with(key, make)
    }

    /// Removes the value at `key` and returns it.
    pub fn remove<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }

    /// Removes the entries for which `keep` says no. It must not touch this map.
    pub fn retain(&self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain(keep);
    }

    /// All values, in no order. Entries that come or go meanwhile may be in it or not.
    pub fn values(&self) -> Vec<V> {
        self.0.values()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(not(loom))]
mod inner {
    use std::borrow::Borrow;
    use std::hash::Hash;

    use dashmap::DashMap;
    use foldhash::quality::RandomState;

    pub(super) struct Inner<K, V>(DashMap<K, V, RandomState>);

    impl<K: Eq + Hash, V> Default for Inner<K, V> {
        fn default() -> Self {
            Self(DashMap::with_hasher(RandomState::default()))
        }
    }

    impl<K: Eq + Hash, V: Clone> Inner<K, V> {
        pub(super) fn get<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<V>
        where
            K: Borrow<Q>,
        {
            self.0.get(key).map(|found| found.value().clone())
        }

        pub(super) fn insert(&self, key: K, value: V) -> Option<V> {
            self.0.insert(key, value)
        }

        pub(super) fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V {
            self.0.entry(key).or_insert_with(make).value().clone()
        }

        pub(super) fn remove<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<V>
        where
            K: Borrow<Q>,
        {
            self.0.remove(key).map(|(_, value)| value)
        }

        pub(super) fn retain(&self, keep: impl FnMut(&K, &mut V) -> bool) {
            self.0.retain(keep);
        }

        pub(super) fn values(&self) -> Vec<V> {
            self.0.iter().map(|entry| entry.value().clone()).collect()
        }

        pub(super) fn len(&self) -> usize {
            self.0.len()
        }
    }
}

#[cfg(loom)]
mod inner {
    use std::borrow::Borrow;
    use std::collections::HashMap;
    use std::hash::Hash;

    use foldhash::quality::FixedState;

    use crate::sync::{Mutex, lock};

    /// The stand-in: one lock, and a fixed seed, because a model must run the same way twice.
    pub(super) struct Inner<K, V>(Mutex<HashMap<K, V, FixedState>>);

    impl<K: Eq + Hash, V> Default for Inner<K, V> {
        fn default() -> Self {
            Self(Mutex::new(HashMap::with_hasher(FixedState::default())))
        }
    }

    impl<K: Eq + Hash, V: Clone> Inner<K, V> {
        pub(super) fn get<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<V>
        where
            K: Borrow<Q>,
        {
            lock(&self.0).get(key).cloned()
        }

        pub(super) fn insert(&self, key: K, value: V) -> Option<V> {
            lock(&self.0).insert(key, value)
        }

        pub(super) fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V {
            lock(&self.0).entry(key).or_insert_with(make).clone()
        }

        pub(super) fn remove<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<V>
        where
            K: Borrow<Q>,
        {
            lock(&self.0).remove(key)
        }

        pub(super) fn retain(&self, keep: impl FnMut(&K, &mut V) -> bool) {
            lock(&self.0).retain(keep);
        }

        pub(super) fn values(&self) -> Vec<V> {
            lock(&self.0).values().cloned().collect()
        }

        pub(super) fn len(&self) -> usize {
            lock(&self.0).len()
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_missing_entry_is_made_once_for_all_who_ask() {
        let map = Map::<u32, usize>::default();
        let made = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| map.get_or_insert_with(7, || made.fetch_add(1, Ordering::Relaxed)));
            }
        });
        assert_eq!((made.into_inner(), map.get(&7), map.len()), (1, Some(0), 1));
    }

    #[test]
    fn entries_come_and_go() {
        let map = Map::<String, u8>::default();
        assert_eq!(map.insert("a".into(), 1), None);
        assert_eq!(map.insert("a".into(), 2), Some(1));
        assert_eq!(map.insert("b".into(), 3), None);
        map.retain(|_, value| *value > 2);
        assert_eq!((map.get("a"), map.values()), (None, vec![3]));
        assert_eq!(map.remove("b"), Some(3));
        assert!(map.is_empty());
    }
}
