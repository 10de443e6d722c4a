//! scc's `HashIndex`: of its maps the one made for reading, whose reads are lock-free.

use scc::HashIndex;
use scc::hash_index::Entry;

use crate::{Hasher, Key, Table, Value};

/// scc's index.
pub struct Scc<K: Key, V: Value>(HashIndex<K, V, Hasher>);

impl<K: Key, V: Value> Table<K, V> for Scc<K, V> {
    const NAME: &'static str = "scc::HashIndex";

    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let index = HashIndex::with_hasher(Hasher::default());
        let table = Self(index);
        for (key, value) in entries {
            table.put(key, value);
        }
        table
    }

    fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.0.peek_with(key, |_, value| look(value))
    }

    fn put(&self, key: K, value: V) {
        match self.0.entry_sync(key) {
            Entry::Occupied(mut found) => found.update(value),
            Entry::Vacant(free) => drop(free.insert_entry(value)),
        }
    }
}
