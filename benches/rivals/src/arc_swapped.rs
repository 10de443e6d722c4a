//! The simplest way to an immutable snapshot: a plain map behind an `ArcSwap`, copied as a whole for each write.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{HashMap, Key, Table, Value};

/// A map of which the newest copy is shown.
pub struct ArcSwapped<K, V>(ArcSwap<HashMap<K, V>>);

impl<K: Key, V: Value> Table<K, V> for ArcSwapped<K, V> {
    const NAME: &'static str = "ArcSwap of a HashMap, copied for a write";

    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(ArcSwap::from_pointee(entries.into_iter().collect()))
    }

    fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.0.load().get(key).map(look)
    }

    fn put(&self, key: K, value: V) {
        let mut next = HashMap::clone(&self.0.load());
        next.insert(key, value);
        self.0.store(Arc::new(next));
    }
}
