//! The steward: it alone lapses leases, and says what follows for each of them.
//!
//! One task owns it and calls [`Steward::sweep`] every [`Steward::next_sweep_ms`]. There are no timers: a call of a holder then
//! writes one word and nothing else, and what changes in one sweep comes out of it as one batch, which can be one write.
//!
//! It judges others by their silence, so it must know when it was deaf itself. A sweep that comes more than half a ttl after the
//! one before, or more than two seconds, says that this process stood still; and its owner knows of restarts, leases that it took over, and stores
//! that could not be reached, and calls [`Steward::excuse`]. From then on every lease has a whole ttl.
//!
//! # Cost
//!
//! A sweep looks at all leases: 10,000 take about half a millisecond, 100,000, which no longer fit into the caches, about 25.
//! It runs from four to a hundred times a second, as the shortest ttl asks for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::guard::{Census, Guard};
use super::id::LeaseId;
use super::known::Known;
use super::sweep::Sweep;
use super::table::{Lease, LeaseTable};
use crate::model::Health;

/// Milliseconds between two sweeps beyond which this process stood still, and knows nothing of who called meanwhile. Sweeps
/// are at most a quarter of a second apart.
pub const STALL_MS: u64 = 2_000;

/// The one that sweeps. A new one takes a first sweep that comes late for the end of a standstill.
#[derive(Default)]
pub struct Steward {
    known: HashMap<LeaseId, Known, RandomState>,
    guard: Guard,
    /// Nobody is held to have been silent before this.
    floor_ms: u64,
    swept_ms: u64,
    /// Numbers the sweeps, to find leases that are gone.
    sweeps: u64,
    shortest_ttl_ms: Option<u32>,
}

impl Steward {
    /// Looks at all leases, lapses those that are overdue unless the guard holds, and returns what is to be shown otherwise.
    /// From then on it is taken as shown, see [`Self::repeat`].
    pub fn sweep(&mut self, table: &LeaseTable, now: u64) -> Sweep {
        self.sweep_after(table, now, now.saturating_sub(self.swept_ms))
    }

    /// The same, for one who knows better for how long calls may not have been heard since the sweep before: who sweeps rarely,
    /// for it waits for what it writes, while others hear the calls.
    pub fn sweep_after(&mut self, table: &LeaseTable, now: u64, deaf_ms: u64) -> Sweep {
        if deaf_ms > STALL_MS {
            self.excuse(now);
        }
        self.swept_ms = now;
        self.meet(table.values());

        let mut census = Census::default();
        for known in self.known.values_mut() {
            known.look(&mut census, self.floor_ms, deaf_ms, now);
        }
        let guard_before = self.guard.state();
        let verdict = self.guard.judge(census, now);

        let mut sweep = Sweep {
            guard: self.guard.state(),
            guard_changed: self.guard.state() != guard_before,
            ..Sweep::default()
        };
        for known in self.known.values_mut() {
            known.settle(&mut sweep, verdict, now);
        }
        sweep.transitions.sort_unstable_by_key(|one| one.id);
        sweep.forgotten.sort_unstable();
        sweep
    }

    /// This process may not have heard who called before now: every lease has a whole ttl from now on.
    pub fn excuse(&mut self, now: u64) {
        self.floor_ms = self.floor_ms.max(now);
    }

    /// These leases are still shown as they were before a sweep (their `from`), because what it returned could not be told.
    /// The next sweep returns again what still holds.
    pub fn repeat(&mut self, shown: impl IntoIterator<Item = (LeaseId, Health)>) {
        for (id, health) in shown {
            if let Some(known) = self.known.get_mut(&id) {
                known.damping.show_again(health);
            }
        }
    }

    /// In how many milliseconds the next sweep is due: in a twentieth of the shortest ttl, as of the last sweep. After a lease
    /// of a shorter ttl was held, sweep at once.
    #[must_use]
    pub fn next_sweep_ms(&self) -> u64 {
        let shortest = self.shortest_ttl_ms.unwrap_or(u32::MAX);
        u64::from(shortest / 20).clamp(10, 250)
    }

    /// How a lease is shown; `None` before its first sweep.
    #[must_use]
    pub fn shown(&self, id: LeaseId) -> Option<Health> {
        self.known.get(&id).map(|known| known.damping.shown())
    }

    /// Until when an improvement of a lease is held back, if one is.
    #[must_use]
    pub fn held_back(&self, id: LeaseId, now: u64) -> Option<u64> {
        self.known.get(&id)?.damping.held_back(now)
    }

    /// Takes note of leases that came, and forgets those that are gone. One that was held anew under its id is another.
    fn meet(&mut self, leases: Vec<Arc<Lease>>) {
        self.sweeps += 1;
        self.shortest_ttl_ms = leases.iter().map(|lease| lease.ttl_ms).min();
        let held = leases.len();
        for lease in leases {
            match self.known.entry(lease.id) {
                Entry::Occupied(known) if Arc::ptr_eq(&known.get().lease, &lease) => {
                    known.into_mut().sweep = self.sweeps;
                }
                Entry::Occupied(mut known) => {
                    known.insert(Known::new(lease, self.sweeps));
                }
                Entry::Vacant(place) => {
                    place.insert(Known::new(lease, self.sweeps));
                }
            }
        }
        if self.known.len() > held {
            self.known.retain(|_, known| known.sweep == self.sweeps);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::lease::{Beat, GuardState, Lease, Said};
    use crate::model::Name;
    use Health::{Degraded, Down, Unknown, Up};

    const ID: LeaseId = LeaseId(1);

    fn hold(table: &LeaseTable, id: u64, ttl_ms: u32, now: u64, shown: Health) {
        let service = Name::parse("name", "checkout").expect("a valid name");
        let lease = Lease::new(LeaseId(id), service, ttl_ms, now, Said::Up, shown);
        table.hold(lease).expect("there is room");
    }

    /// A table with a lease of one second, and a steward that swept it at 0.
    fn swept() -> (LeaseTable, Steward) {
        let (table, mut steward) = (LeaseTable::default(), Steward::default());
        hold(&table, ID.0, 1_000, 0, Unknown);
        assert_eq!(changes(&mut steward, &table, 0), [(1, Unknown, Up)]);
        (table, steward)
    }

    /// What changes until then, swept every quarter of a second.
    fn changes(steward: &mut Steward, table: &LeaseTable, now: u64) -> Vec<(u64, Health, Health)> {
        let between = (steward.swept_ms..now).step_by(250).skip(1);
        let all = between.chain([now]);
        all.flat_map(|now| changes_at(steward, table, now))
            .collect()
    }

    /// What one sweep says, however long after the one before.
    fn changes_at(
        steward: &mut Steward,
        table: &LeaseTable,
        now: u64,
    ) -> Vec<(u64, Health, Health)> {
        let transitions = steward.sweep(table, now).transitions;
        transitions
            .into_iter()
            .map(|one| (one.id.0, one.from, one.to))
            .collect()
    }

    #[test]
    fn a_lease_that_is_silent_for_its_ttl_is_down() {
        let (table, mut steward) = swept();
        assert_eq!(changes(&mut steward, &table, 999), []);
        assert_eq!(changes(&mut steward, &table, 1_000), [(1, Up, Down)]);
        assert_eq!(changes(&mut steward, &table, 1_050), []);
        assert_eq!(steward.shown(ID), Some(Down));
    }

    #[test]
    fn a_lease_that_calls_is_as_its_holder_says() {
        let (table, mut steward) = swept();
        table.keep_alive(ID, 900, Said::Degraded);
        assert_eq!(changes(&mut steward, &table, 1_000), [(1, Up, Degraded)]);
        table.keep_alive(ID, 1_800, Said::Down);
        assert_eq!(changes(&mut steward, &table, 1_900), [(1, Degraded, Down)]);
        table.keep_alive(ID, 2_700, Said::Up);
        assert_eq!(changes(&mut steward, &table, 2_800), [(1, Down, Up)]);
    }

    #[test]
    fn a_lapsed_lease_that_is_revived_is_shown_again() {
        let (table, mut steward) = swept();
        assert_eq!(changes(&mut steward, &table, 1_000), [(1, Up, Down)]);
        let kept = table.keep_alive(ID, 1_500, Said::Up).expect("it is held");
        assert_eq!(kept.beat, Beat::Lapsed);
        assert_eq!(changes(&mut steward, &table, 1_550), []);
        table.revive(ID, 1_600, Said::Up);
        assert_eq!(changes(&mut steward, &table, 1_650), [(1, Down, Up)]);
        assert_eq!(changes(&mut steward, &table, 2_599), []);
        assert_eq!(changes(&mut steward, &table, 2_600), [(1, Up, Down)]);
    }

    #[test]
    fn after_a_standstill_of_half_its_ttl_a_lease_has_a_whole_one() {
        let (table, mut steward) = swept();
        assert_eq!(changes(&mut steward, &table, 500), []);
        assert_eq!(changes_at(&mut steward, &table, 1_000), [(1, Up, Down)]);
        let (table, mut steward) = swept();
        assert_eq!(changes(&mut steward, &table, 900), []);
        assert_eq!(changes_at(&mut steward, &table, 1_401), []);
        assert_eq!(changes(&mut steward, &table, 2_400), []);
        assert_eq!(changes(&mut steward, &table, 2_401), [(1, Up, Down)]);
    }

    #[test]
    fn after_a_standstill_of_two_seconds_everybody_has_a_whole_ttl() {
        for (standstill_ms, end) in [
            (STALL_MS, 10_000),
            (STALL_MS + 1, 7_000 + STALL_MS + 10_001),
        ] {
            let (table, mut steward) = (LeaseTable::default(), Steward::default());
            hold(&table, 1, 10_000, 0, Up);
            assert_eq!(changes(&mut steward, &table, 7_000), []);
            assert_eq!(changes_at(&mut steward, &table, 7_000 + standstill_ms), []);
            assert_eq!(changes(&mut steward, &table, end - 1), []);
            assert_eq!(changes(&mut steward, &table, end), [(1, Up, Down)]);
        }
    }

    #[test]
    fn whoever_is_excused_has_a_whole_ttl() {
        let (table, mut steward) = swept();
        steward.excuse(999);
        assert_eq!(changes(&mut steward, &table, 1_998), []);
        assert_eq!(changes(&mut steward, &table, 1_999), [(1, Up, Down)]);
    }

    #[test]
    fn a_lease_that_is_taken_over_goes_on_from_what_was_shown() {
        let (table, mut steward) = (LeaseTable::default(), Steward::default());
        hold(&table, 1, 1_000, 0, Up);
        hold(&table, 2, 1_000, 0, Down);
        hold(&table, 3, 1_000, 0, Unknown);
        let expected = [(2, Down, Up), (3, Unknown, Up)];
        assert_eq!(changes(&mut steward, &table, 0), expected);
    }

    #[test]
    fn a_lease_that_left_is_forgotten_and_one_held_anew_is_another() {
        let (table, mut steward) = swept();
        table.release(ID);
        assert_eq!(changes(&mut steward, &table, 100), []);
        assert_eq!((steward.shown(ID), steward.known.len()), (None, 0));
        hold(&table, 1, 1_000, 100, Unknown);
        assert_eq!(changes(&mut steward, &table, 100), [(1, Unknown, Up)]);
        // Without a sweep in between.
        hold(&table, 1, 1_000, 200, Degraded);
        assert_eq!(changes(&mut steward, &table, 200), [(1, Degraded, Up)]);
    }

    #[test]
    fn a_lease_that_lapsed_long_ago_is_told_of_until_it_is_released() {
        for (ttl_ms, forgotten) in [(1_000, 600_000), (100_000, 1_000_000)] {
            let (table, mut steward) = (LeaseTable::default(), Steward::default());
            hold(&table, 1, ttl_ms, 0, Unknown);
            let lapsed = u64::from(ttl_ms);
            let mut sweep_until = |end: u64| {
                let mut last = Sweep::default();
                for now in (0..=end).step_by(500) {
                    last = steward.sweep(&table, now.max(steward.swept_ms));
                }
                last.forgotten
            };
            assert_eq!(sweep_until(lapsed + forgotten - 500), []);
            assert_eq!(sweep_until(lapsed + forgotten), [ID]);
            assert_eq!(sweep_until(lapsed + forgotten + 500), [ID]);
        }
    }

    #[test]
    fn what_could_not_be_told_is_told_again_if_it_still_holds() {
        let (table, mut steward) = swept();
        for now in [1_000, 1_050] {
            assert_eq!(changes(&mut steward, &table, now), [(1, Up, Down)]);
            steward.repeat([(ID, Up), (LeaseId(9), Up)]);
        }
        table.revive(ID, 1_100, Said::Up);
        assert_eq!(changes(&mut steward, &table, 1_100), []);
    }

    #[test]
    fn the_guard_holds_what_is_overdue() {
        let (table, mut steward) = (LeaseTable::default(), Steward::default());
        (0..10).for_each(|id| hold(&table, id, 1_000, 0, Unknown));
        steward.sweep(&table, 0);
        table.keep_alive(LeaseId(0), 500, Said::Up);
        steward.sweep(&table, 500);
        let sweep = steward.sweep(&table, 1_000);
        assert!(sweep.guard_changed && sweep.transitions.is_empty());
        assert_eq!(sweep.guard, GuardState::Holding { since_ms: 1_000 });
        assert_eq!((sweep.counts.up, sweep.counts.overdue), (10, 9));
        (0..7).for_each(|id| drop(table.keep_alive(LeaseId(id), 1_040, Said::Up)));
        let sweep = steward.sweep(&table, 1_050);
        assert!(sweep.guard_changed && sweep.guard == GuardState::Idle);
        let down: Vec<u64> = sweep.transitions.iter().map(|one| one.id.0).collect();
        assert_eq!((down, sweep.counts.overdue), (vec![7, 8, 9], 0));
        assert!(!steward.sweep(&table, 1_100).guard_changed);
    }

    #[test]
    fn what_was_down_when_it_was_taken_over_does_not_wake_the_guard() {
        let (table, mut steward) = (LeaseTable::default(), Steward::default());
        for id in 0..15 {
            let service = Name::parse("name", "checkout").expect("a valid name");
            let (said, shown) = if id < 10 {
                (Said::Down, Down)
            } else {
                (Said::Up, Up)
            };
            let lease = Lease::new(LeaseId(id), service, 1_000, 0, said, shown);
            table.take_over(lease);
        }
        let mut down = Vec::new();
        for now in (0..=3_000).step_by(100) {
            // Of those that live all but one call.
            (10..14).for_each(|id| drop(table.keep_alive(LeaseId(id), now, Said::Up)));
            let sweep = steward.sweep(&table, now);
            assert_eq!(sweep.guard, GuardState::Idle, "at {now}");
            down.extend(sweep.transitions.iter().map(|one| (one.id.0, now)));
        }
        assert_eq!(down, [(14, 1_000)]);
    }

    #[test]
    fn sweeps_come_as_often_as_the_shortest_ttl_asks_for() {
        let (table, mut steward) = (LeaseTable::default(), Steward::default());
        assert_eq!(steward.next_sweep_ms(), 250);
        for (id, ttl_ms, next) in [(1, 86_400_000, 250), (2, 2_000, 100), (3, 100, 10)] {
            hold(&table, id, ttl_ms, 0, Unknown);
            steward.sweep(&table, 0);
            assert_eq!(steward.next_sweep_ms(), next);
        }
    }
}
