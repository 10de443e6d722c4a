//! DashMap: a lock for each of many shards.

use dashmap::DashMap;

use crate::{Hasher, Key, Table, Value};

/// With as many shards as it chooses itself.
pub struct Dash<K, V>(DashMap<K, V, Hasher>);

impl<K: Key, V: Value> Table<K, V> for Dash<K, V> {
    const NAME: &'static str = "DashMap";

    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(entries.into_iter().collect())
    }

    fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.0.get(key).map(|found| look(found.value()))
    }

    fn put(&self, key: K, value: V) {
        self.0.insert(key, value);
    }
}
