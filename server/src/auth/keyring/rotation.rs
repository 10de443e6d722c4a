//! When generated keys come and go. Newest first everywhere.
//!
//! ```text
//! made -> (five minutes: every server has read it) -> signs, thirty days -> verifies until no token of it is left -> gone
//! ```
//!
//! A key that signed at once would make tokens that other servers had to read the keys again for, and strangers could keep
//! them from doing so by asking for keys that nobody has.

use std::fmt;

use zeroize::Zeroizing;

use crate::auth::secret::random;
use crate::auth::token::{AHEAD_S, KEY_BYTES, LIFETIME_S, SigningKey};

/// How long after a key the next one is made.
pub const EVERY_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// How old a key is before it signs, unless there is no other.
pub const ADOPTED_MS: u64 = 5 * 60 * 1_000;

/// How long a key verifies once its successor is there: as long as its last token may be good, and an hour for servers
/// that were slow to go on.
pub const KEPT_MS: u64 = ADOPTED_MS + (LIFETIME_S + AHEAD_S + 60 * 60) * 1_000;

/// A generated key, and when it was made.
#[derive(Clone)]
pub struct Dated {
    created_ms: u64,
    bytes: Zeroizing<Vec<u8>>,
    key: SigningKey,
}

impl Dated {
    /// A key; `None` for one that is too short.
    pub fn new(created_ms: u64, bytes: &[u8]) -> Option<Self> {
        Some(Self {
            created_ms,
            bytes: Zeroizing::new(bytes.to_vec()),
            key: SigningKey::new(bytes)?,
        })
    }

    /// A new one.
    pub fn generate(now_ms: u64) -> Self {
        let bytes = Zeroizing::new(random::<KEY_BYTES>());
        Self::new(now_ms, &*bytes).expect("it has the length of a key")
    }

    /// Its name.
    pub fn id(&self) -> &str {
        self.key.id()
    }

    /// When it was made, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.created_ms
    }

    /// What it is made of, to be kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

impl PartialEq for Dated {
    fn eq(&self, other: &Self) -> bool {
        (self.id(), self.created_ms) == (other.id(), other.created_ms)
    }
}

impl fmt::Debug for Dated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.key, self.created_ms)
    }
}

/// Whether a new key is to be made, where the newest is of this time.
pub fn is_due(newest_ms: Option<u64>, now_ms: u64) -> bool {
    newest_ms.is_none_or(|newest| newest.saturating_add(EVERY_MS) <= now_ms)
}

/// Those that still verify.
pub fn live(mut keys: Vec<Dated>, now_ms: u64) -> Vec<Dated> {
    let is_over = |successor: &Dated| successor.created_ms.saturating_add(KEPT_MS) <= now_ms;
    if let Some(last_successor) = keys.iter().position(is_over) {
        keys.truncate(last_successor + 1);
    }
    keys
}

/// The keys as they should be now, at least one.
pub fn rotated(mut keys: Vec<Dated>, now_ms: u64) -> Vec<Dated> {
    if is_due(keys.first().map(Dated::created_ms), now_ms) {
        keys.insert(0, Dated::generate(now_ms));
    }
    live(keys, now_ms)
}

/// The key that signs: the newest that every server knows.
///
/// # Panics
/// When there is none.
pub fn signer(keys: &[Dated], now_ms: u64) -> &Dated {
    let is_adopted = |key: &&Dated| key.created_ms.saturating_add(ADOPTED_MS) <= now_ms;
    let adopted = keys.iter().find(is_adopted).or(keys.last());
    adopted.expect("a ring has at least one key")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn dates(keys: &[Dated]) -> Vec<u64> {
        keys.iter().map(|key| key.created_ms() - NOW).collect()
    }

    #[test]
    fn the_first_key_is_made_at_once_and_signs_at_once() {
        let keys = rotated(Vec::new(), NOW);
        assert_eq!(dates(&keys), [0]);
        assert_eq!(signer(&keys, NOW), &keys[0]);
        assert_eq!(rotated(keys.clone(), NOW + EVERY_MS - 1), keys);
    }

    #[test]
    fn the_next_key_is_made_after_thirty_days_and_signs_when_all_have_read_it() {
        let made = NOW + EVERY_MS;
        let keys = rotated(rotated(Vec::new(), NOW), made);
        assert_eq!(dates(&keys), [EVERY_MS, 0]);
        assert_eq!(signer(&keys, made + ADOPTED_MS - 1), &keys[1]);
        assert_eq!(signer(&keys, made + ADOPTED_MS), &keys[0]);
    }

    #[test]
    fn a_key_verifies_until_the_last_of_its_tokens_has_expired() {
        let made = NOW + EVERY_MS;
        let keys = rotated(rotated(Vec::new(), NOW), made);
        let last_signed = made + ADOPTED_MS - 1;
        let last_good = last_signed + LIFETIME_S * 1_000;
        assert_eq!(live(keys.clone(), last_good).len(), 2);
        assert_eq!(live(keys.clone(), made + KEPT_MS - 1).len(), 2);
        assert_eq!(dates(&live(keys, made + KEPT_MS)), [EVERY_MS]);
    }

    #[test]
    fn a_ring_that_slept_for_long_keeps_nothing_old() {
        let mut keys = Vec::new();
        for n in 0..12 {
            keys = rotated(keys, NOW + n * EVERY_MS);
            assert!(keys.len() <= 2);
        }
        let years = NOW + 100 * EVERY_MS;
        let keys = rotated(keys, years);
        assert_eq!(dates(&keys), [100 * EVERY_MS, 11 * EVERY_MS]);
        assert_eq!(live(keys, years + KEPT_MS).len(), 1);
    }

    #[test]
    fn a_key_of_tomorrow_is_kept_and_signs_only_where_there_is_no_other() {
        let tomorrow = Dated::generate(NOW + 86_400_000);
        let today = Dated::generate(NOW);
        let keys = rotated(vec![tomorrow.clone(), today.clone()], NOW);
        assert_eq!(keys.len(), 2);
        assert_eq!(signer(&keys, NOW + ADOPTED_MS), &today);
        assert_eq!(signer(std::slice::from_ref(&tomorrow), NOW), &tomorrow);
    }
}
