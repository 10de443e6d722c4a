//! The identity of a store: 128 random bits in hexadecimal. It stands in every reply and every page token, so that those
//! of another store are refused and never misread.

use std::hash::{BuildHasher, RandomState};

/// A new identity. The randomness is the system's, by way of the keys of two hashers.
pub(super) fn new_store_id() -> String {
    let word = |n: u8| {
        let now = std::time::SystemTime::now();
        RandomState::new().hash_one((n, now, std::process::id()))
    };
    format!("{:016x}{:016x}", word(0), word(1))
}
