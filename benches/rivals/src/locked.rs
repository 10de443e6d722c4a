//! The design that Amadeus replaces: one lock around one map, which is changed where it lies.

use crate::{HashMap, Key, Table, Value};

/// With the lock of the standard library.
pub struct Std<K, V>(std::sync::RwLock<HashMap<K, V>>);

/// With `parking_lot`'s.
pub struct ParkingLot<K, V>(parking_lot::RwLock<HashMap<K, V>>);

impl<K: Key, V: Value> Table<K, V> for Std<K, V> {
    const NAME: &'static str = "RwLock (std)";

    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(std::sync::RwLock::new(entries.into_iter().collect()))
    }

    fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        let map = self.0.read().expect("nobody panics with it");
        map.get(key).map(look)
    }

    fn put(&self, key: K, value: V) {
        let mut map = self.0.write().expect("nobody panics with it");
        map.insert(key, value);
    }
}

impl<K: Key, V: Value> Table<K, V> for ParkingLot<K, V> {
    const NAME: &'static str = "RwLock (parking_lot)";

    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(parking_lot::RwLock::new(entries.into_iter().collect()))
    }

    fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.0.read().get(key).map(look)
    }

    fn put(&self, key: K, value: V) {
        self.0.write().insert(key, value);
    }
}
