//! What one would have taken instead, each behind the little that the benches ask of it.
//!
//! [`Table`] is for what is known by a name and read by many: the design that Amadeus replaces (a lock around a map), maps made
//! for many threads, and a plain map that is copied for each write. [`Network`] is for who is related to whom. All of them hash
//! with [`Hasher`], as kg-core does, hold the very keys and values that the benches give them, and are used as their own
//! documents advise. None of them offers what a snapshot does: one state of everything, kept for as long as one looks at it.

mod arc_swapped;
mod csr;
mod dashmapped;
mod locked;
mod papayas;
mod petgraphs;
mod sccs;

use std::hash::Hash;

pub use arc_swapped::ArcSwapped;
pub use csr::{Csr, Met};
pub use dashmapped::Dash;
pub use locked::{ParkingLot, Std};
pub use papayas::Papaya;
pub use petgraphs::Petgraph;
pub use sccs::Scc;

/// The hasher of all of them, and of kg-core's name index.
pub type Hasher = foldhash::fast::FixedState;

/// A plain map with that hasher.
pub type HashMap<K, V> = std::collections::HashMap<K, V, Hasher>;

/// What a key has to be for all of them.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

/// What a value has to be for all of them.
pub trait Value: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Value for V {}

/// A map that many threads read while one writes.
pub trait Table<K: Key, V: Value>: Send + Sync {
    /// What it is called in tables.
    const NAME: &'static str;

    /// One with these in it.
    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self;

    /// Looks at the value of `key` where it lies.
    fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T>;

    /// Replaces the value of `key`.
    fn put(&self, key: K, value: V);
}

/// A directed graph of numbers, and how many a breadth-first search meets from one of them, the root apart.
pub trait Network {
    /// What it is called in tables.
    const NAME: &'static str;

    /// One of the numbers below `nodes`, with these edges.
    fn of(nodes: u32, edges: &[(u32, u32)]) -> Self;

    /// How many are reached by at most `hops` edges; by any number of them where that is absent.
    fn reach(&self, root: u32, hops: Option<u32>) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds_what_was_put_last(table: impl Table<u32, String>) {
        table.put(7, "again".to_owned());
        assert_eq!(table.look(&7, String::clone).as_deref(), Some("again"));
        assert_eq!(table.look(&8, String::len), Some(2));
        assert_eq!(table.look(&100, String::len), None);
    }

    #[test]
    fn every_table_holds_what_was_put_last() {
        fn one<T: Table<u32, String>>() {
            holds_what_was_put_last(T::of((0..10).map(|i| (i, format!("v{i}")))));
        }
        one::<Std<_, _>>();
        one::<ParkingLot<_, _>>();
        one::<Dash<_, _>>();
        one::<Papaya<_, _>>();
        one::<Scc<_, _>>();
        one::<ArcSwapped<_, _>>();
    }

    #[test]
    fn every_network_counts_each_node_once_and_at_its_distance() {
        fn one<N: Network>() {
            // A ring of four with a way across and a tail; 5 is alone.
            let network = N::of(6, &[(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (3, 4)]);
            let reached = |hops| network.reach(0, hops);
            assert_eq!(
                [reached(Some(1)), reached(Some(2)), reached(None)],
                [2, 3, 4]
            );
            assert_eq!(network.reach(5, None), 0);
        }
        one::<Csr>();
        one::<Petgraph>();
    }
}
