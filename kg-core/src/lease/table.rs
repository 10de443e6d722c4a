//! The leases that call this server, by their ids.
//!
//! A call costs one look into a map, which locks the shard of its key for that moment, and two steps of words of the lease
//! itself. It allocates nothing and waits for no sweep.
//!
//! # Orderings
//!
//! [`Lease::gap`](Lease) only counts and is Relaxed: a sweep that reads it one call late asks one call later whether a holder is
//! silent. Everything else of a lease never changes, or is its [`Pulse`].

use std::sync::Arc;

use super::id::LeaseId;
use super::pulse::{Beat, Heard, Pulse, Said};
use crate::limits::LEASES;
use crate::model::{Health, Name};
use crate::sync::{AtomicU64, Map, Ordering};

/// A promise to keep calling for a service.
#[derive(Debug)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// The service that it speaks for.
    pub service: Name,
    /// How long it lives without a call, in milliseconds.
    pub ttl_ms: u32,
    /// What had been shown of it when it was held here: `Unknown` of a fresh one, else what the server showed from which it
    /// was taken over. It goes on from there.
    pub shown: Health,
    pulse: Pulse,
    /// The widest gap between two calls, in milliseconds. An eighth of it wears off with each call, so that one late call
    /// does not count for ever.
    gap: AtomicU64,
}

/// The leases, by their ids.
#[derive(Default)]
pub struct LeaseTable {
    leases: Map<LeaseId, Arc<Lease>>,
}

/// What became of a call for a lease that is held here.
#[derive(Debug)]
pub struct KeptAlive {
    /// The lease.
    pub lease: Arc<Lease>,
    /// Whether it lives. One that has lapsed comes back by [`LeaseTable::revive`].
    pub beat: Beat,
}

/// There are [`LEASES`] leases already. Other servers may have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this server holds {LEASES} leases, and no more are allowed")]
pub struct TableFull;

impl LeaseTable {
    /// Holds a lease, instead of one of the same id that may be here. Two who hold the last one at once may both be let in.
    ///
    /// # Errors
    /// [`TableFull`] at the bound.
    pub fn hold(&self, lease: Lease) -> Result<(), TableFull> {
        if self.is_full() && self.get(lease.id).is_none() {
            return Err(TableFull);
        }
        self.take_over(lease);
        Ok(())
    }

    /// Holds a lease that somebody has to judge, whatever the bound says: one that this server owns already.
    pub fn take_over(&self, lease: Lease) {
        self.leases.insert(lease.id, Arc::new(lease));
    }

    /// Whether there is no room for a lease that is not here yet.
    pub fn is_full(&self) -> bool {
        self.leases.len() >= LEASES
    }

    /// The holder of a lease calls; `None`, if the lease is not held here.
    pub fn keep_alive(&self, id: LeaseId, now: u64, said: Said) -> Option<KeptAlive> {
        let lease = self.get(id)?;
        let beat = lease.pulse.beat(now, said);
        if let Beat::Kept { silent_ms, .. } = beat {
            lease.widen_gap(silent_ms);
        }
        Some(KeptAlive { lease, beat })
    }

    /// The holder of a lapsed lease is back. The next sweep sees it alive, and the damping decides when it is shown so.
    pub fn revive(&self, id: LeaseId, now: u64, said: Said) -> Option<Arc<Lease>> {
        let lease = self.get(id)?;
        lease.pulse.revive(now, said);
        Some(lease)
    }

    /// Ends a lease, and returns it. The steward forgets it with the next sweep and shows nothing of that.
    pub fn release(&self, id: LeaseId) -> Option<Arc<Lease>> {
        self.leases.remove(&id)
    }

    /// The lease of this id.
    pub fn get(&self, id: LeaseId) -> Option<Arc<Lease>> {
        self.leases.get(&id)
    }

    /// All leases, in no order. Those that come or go meanwhile may be among them or not.
    pub fn values(&self) -> Vec<Arc<Lease>> {
        self.leases.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

impl Lease {
    /// A lease whose holder is heard from now. One that is taken over is made with what its row says: it has a whole ttl to
    /// call, and if it was shown as down it is to have said `Down`, or else it would be shown up before it has called.
    #[must_use]
    pub fn new(
        id: LeaseId,
        service: Name,
        ttl_ms: u32,
        now: u64,
        said: Said,
        shown: Health,
    ) -> Self {
        Self {
            id,
            service,
            ttl_ms,
            shown,
            pulse: Pulse::new(now, said),
            gap: AtomicU64::new(0),
        }
    }

    /// The holder's last call; `None` if the lease has lapsed.
    pub fn heard(&self) -> Option<Heard> {
        self.pulse.heard()
    }

    /// When the holder called last, also of a lease that has lapsed.
    pub fn called_ms(&self) -> u64 {
        self.pulse.called_ms()
    }

    pub(super) fn lapse(&self, heard: Heard) -> bool {
        self.pulse.lapse(heard)
    }

    /// Whether it is odd that the holder has not called for so long: for half its ttl, or, where it calls more rarely than
    /// that, for a quarter more than the widest recent gap. Past its ttl it always is.
    pub(super) fn is_silent(&self, silent_ms: u64) -> bool {
        // Relaxed: it only counts.
        let gap = self.gap.load(Ordering::Relaxed);
        let ttl = u64::from(self.ttl_ms);
        silent_ms >= ttl || silent_ms > (ttl / 2).max(gap + gap / 4)
    }

    fn widen_gap(&self, silent_ms: u64) {
        // A gap beyond the ttl says no more than one of the ttl, and would take longer to wear off.
        let silent_ms = silent_ms.min(self.ttl_ms.into());
        let wider = |gap: u64| Some(silent_ms.max(gap - gap / 8));
        // Relaxed: it only counts.
        let _always = self
            .gap
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, wider);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn lease(id: u64, ttl_ms: u32) -> Lease {
        let service = Name::parse("name", "checkout").expect("a valid name");
        Lease::new(LeaseId(id), service, ttl_ms, 0, Said::Up, Health::Unknown)
    }

    fn table(ttl_ms: u32) -> LeaseTable {
        let table = LeaseTable::default();
        table.hold(lease(1, ttl_ms)).expect("there is room");
        table
    }

    #[test]
    fn only_a_lease_that_is_held_is_kept_alive() {
        let table = table(1_000);
        let kept = table.keep_alive(LeaseId(1), 300, Said::Degraded);
        let kept = kept.expect("it is held");
        let before = Said::Up;
        assert_eq!(
            (kept.lease.ttl_ms, kept.beat),
            (
                1_000,
                Beat::Kept {
                    before,
                    silent_ms: 300
                }
            )
        );
        assert!(table.keep_alive(LeaseId(2), 300, Said::Up).is_none());
        assert!(table.release(LeaseId(1)).is_some() && table.is_empty());
        assert!(table.keep_alive(LeaseId(1), 300, Said::Up).is_none());
    }

    #[test]
    fn a_lapsed_lease_is_told_so_and_comes_back() {
        let table = table(1_000);
        let lease = table.get(LeaseId(1)).expect("it is held");
        assert!(lease.heard().is_some_and(|heard| lease.lapse(heard)));
        let kept = table.keep_alive(LeaseId(1), 2_000, Said::Up);
        assert!(kept.is_some_and(|kept| kept.beat == Beat::Lapsed));
        assert!(table.revive(LeaseId(1), 2_000, Said::Up).is_some());
        assert_eq!(lease.heard().map(|heard| heard.at_ms), Some(2_000));
        assert!(table.revive(LeaseId(2), 2_000, Said::Up).is_none());
    }

    #[test]
    fn a_holder_is_silent_after_half_its_ttl_or_more_than_its_own_rhythm() {
        let table = table(1_000);
        let lease = table.get(LeaseId(1)).expect("it is held");
        assert!(!lease.is_silent(500) && lease.is_silent(501));
        let mut now = 600;
        table.keep_alive(LeaseId(1), now, Said::Up);
        assert!(!lease.is_silent(750) && lease.is_silent(751));
        // One that calls just in time is silent once it is overdue.
        now += 999;
        table.keep_alive(LeaseId(1), now, Said::Up);
        assert!(!lease.is_silent(999) && lease.is_silent(1_000));
        // An old habit wears off, and so does a call that came late because nobody was heard for long.
        for late in [0, 9_000] {
            now += late;
            table.keep_alive(LeaseId(1), now, Said::Up);
            for _ in 0..10 {
                now += 100;
                table.keep_alive(LeaseId(1), now, Said::Up);
            }
            assert!(!lease.is_silent(500) && lease.is_silent(501));
        }
    }

    #[test]
    fn the_bound_holds_and_room_comes_back() {
        let table = LeaseTable::default();
        for id in 0..LEASES as u64 {
            table.hold(lease(id, 1_000)).expect("there is room");
        }
        let one_more = LEASES as u64;
        assert_eq!(table.hold(lease(one_more, 1_000)), Err(TableFull));
        assert_eq!(table.hold(lease(0, 2_000)), Ok(()), "one that is there");
        table.release(LeaseId(7));
        assert_eq!(table.hold(lease(one_more, 1_000)), Ok(()));
        assert_eq!((table.len(), table.values().len()), (LEASES, LEASES));
    }
}
