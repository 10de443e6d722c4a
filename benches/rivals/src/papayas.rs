//! papaya: a lock-free map whose readers pin it; a guard for each read, as for the others.

use crate::{Hasher, Key, Table, Value};

/// papaya's map.
pub struct Papaya<K, V>(papaya::HashMap<K, V, Hasher>);

impl<K: Key, V: Value> Table<K, V> for Papaya<K, V> {
    const NAME: &'static str = "papaya";

    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(entries.into_iter().collect())
    }

    fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.0.pin().get(key).map(look)
    }

    fn put(&self, key: K, value: V) {
        self.0.pin().insert(key, value);
    }
}
