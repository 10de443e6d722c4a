//! The one door to atomics, locks and shared cells. Code elsewhere in the crate names none of `std::sync::atomic`, `arc_swap`
//! or `dashmap`; it says what it shares with the types below, and so runs unchanged in a build and in a model.
//!
//! - In a build these are std's types, [`arc_swap`] and [`dashmap`].
//! - Under `--cfg loom` they are loom's, which run every interleaving of a small model and hand out every value that the
//!   memory model allows, stale ones too. The models are in `loom-tests/`; `cargo loom` runs them against this very code.
//!
//! What is shared, and with which type:
//!
//! | type | shares |
//! |---|---|
//! | [`Swap`] | one immutable value that is replaced as a whole: the published head |
//! | [`SetOnce`] | one value that is set at most once: why the store takes no more writes |
//! | [`Bell`] | the news that something happened, for any number of waiters |
//! | [`Map`] | entries by key, handed out as clones |
//! | [`exchange`] | ownership that moves through one atomic word; the only file with `unsafe` |
//!
//! Values (snapshots, names, records) are counted by `std::sync::Arc` even in a model: loom's `Arc` has no `Arc<str>`, and a
//! model learns nothing from counting them. [`Shared`] is for the few places where the count itself is part of a protocol.
//!
//! docs/CONCURRENCY.md lists every atomic with its writer, its reader, and the model that shows its ordering.

mod bell;
mod block_on;
pub mod control;
pub mod exchange;
mod map;
mod set_once;
mod swap;
mod tracked;

pub use bell::{Bell, Epoch, Listen};
pub use block_on::block_on;
pub use map::Map;
pub use set_once::SetOnce;
pub use swap::Swap;

#[cfg(not(loom))]
mod chosen {
    pub use std::sync::Arc as Shared;
    pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    #[cfg(not(race))]
    pub use std::sync::{Mutex, MutexGuard};
    pub use std::thread;
    // A contended std lock is taken by code inside std, which the race detector cannot see: it would take what the lock orders
    // for a race.
    #[cfg(race)]
    pub use parking_lot::{Mutex, MutexGuard};
}

#[cfg(loom)]
mod chosen {
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub use loom::sync::{Arc as Shared, Mutex, MutexGuard};
    pub use loom::thread;
}

pub use chosen::*;
pub use std::sync::atomic::Ordering;

/// Locks, also after a panic of another holder: what our locks guard is whole between any two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(not(race))]
    return mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    #[cfg(race)]
    mutex.lock()
}
