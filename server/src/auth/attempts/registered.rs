//! How many users were made from where: a bucket for each address, that leaks one place after the other and is full after
//! as many as an hour lets through.
//!
//! It is kept as the moment at which it will be empty. One that is empty is forgotten, and when there are too many the one
//! that will be empty first, which has used least.

use std::collections::{BTreeSet, HashMap};

use super::{Network, Policy, TooEarly};

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// The buckets, and when each will be empty.
#[derive(Debug, Default)]
pub(super) struct Registered {
    empty_ms: HashMap<Network, u64>,
    ends: BTreeSet<(u64, Network)>,
}

impl Registered {
    /// Counts one more.
    pub(super) fn count(
        &mut self,
        address: Network,
        policy: &Policy,
        now_ms: u64,
    ) -> Result<(), TooEarly> {
        self.forget(now_ms);
        let each_ms = HOUR_MS / u64::from(policy.registrations.max(1));
        let before = self.empty_ms.get(&address).copied();
        let empty_ms = before.unwrap_or(now_ms).max(now_ms) + each_ms;
        let full_ms = now_ms + HOUR_MS;
        if empty_ms > full_ms {
            let wait_ms = empty_ms - full_ms;
            return Err(TooEarly { wait_ms });
        }
        if let Some(before) = before {
            self.ends.remove(&(before, address));
        }
        self.empty_ms.insert(address, empty_ms);
        self.ends.insert((empty_ms, address));
        if self.ends.len() > policy.entries
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.empty_ms.remove(&first);
        }
        Ok(())
    }

    fn forget(&mut self, now_ms: u64) {
        while let Some(&(empty_ms, address)) = self.ends.first()
            && empty_ms <= now_ms
        {
            self.ends.pop_first();
            self.empty_ms.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_bounded_and_empty_ones_are_forgotten() {
        let policy = Policy {
            entries: 100,
            ..Policy::default()
        };
        let of = |n: u32| Network::of(n.to_be_bytes().into());
        let mut registered = Registered::default();
        for _ in 0..1_000 {
            registered.count(of(1), &policy, 0).expect("room");
        }
        for n in 2..10_000 {
            registered.count(of(n), &policy, 0).expect("room");
            assert!(registered.ends.len() <= 100);
            assert_eq!(registered.ends.len(), registered.empty_ms.len());
        }
        let refused = registered.count(of(1), &policy, 0);
        assert!(refused.is_err(), "who used most is remembered longest");
        registered.count(of(2), &policy, HOUR_MS).expect("room");
        assert_eq!(registered.ends.len(), 1);
    }
}
