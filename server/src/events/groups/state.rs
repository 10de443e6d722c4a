//! A consumer group as it is kept, and what each call makes of it. Pure: no clock, no store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kg_core::limits::{DEAD_LETTERS, EVENTS_UNACKED};

use super::super::error::GroupError;

/// The pause after the first failure of an event; each further one doubles it, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A consumer group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Group {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Who made it.
    #[prost(string, tag = "2")]
    pub owner: String,
    /// Everything before this place is done.
    #[prost(uint64, tag = "3")]
    pub next: u64,
    /// After how many failures an event becomes a dead letter.
    #[prost(uint32, tag = "4")]
    pub max_failures: u32,
    /// How often the events at these places, none before `next`, have failed.
    #[prost(btree_map = "uint64, uint32", tag = "5")]
    pub failures: BTreeMap<u64, u32>,
    /// Places from `next` on that are dead letters, and passed over.
    #[prost(uint64, repeated, tag = "6")]
    pub dead: Vec<u64>,
    /// How many dead letters it has.
    #[prost(uint32, tag = "7")]
    pub letters: u32,
    /// Counts whom it has served. What carries an earlier number is of somebody whose turn is over.
    #[prost(uint32, tag = "8")]
    pub epoch: u32,
    /// Who is served; 0: nobody.
    #[prost(uint64, tag = "9")]
    pub holder: u64,
    /// Counts how often whoever is served was sent back by a failure.
    #[prost(uint32, tag = "10")]
    pub rewinds: u32,
    /// Where to, the last time.
    #[prost(uint64, tag = "11")]
    pub rewind_to: u64,
    /// How often that event had failed; 0: it is dead.
    #[prost(uint32, tag = "12")]
    pub rewind_failures: u32,
    /// Counts its changes, so that an older state is known as such.
    #[prost(uint64, tag = "13")]
    pub version: u64,
    /// Counts how often it was put elsewhere.
    #[prost(uint32, tag = "14")]
    pub seeks: u32,
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It was done or dead already.
    Passed,
    /// It comes again.
    Again,
    /// It is a dead letter now, after so many failures.
    Dead(u32),
}

impl Group {
    /// A new one.
    #[must_use]
    pub fn new(name: &str, owner: &str, next: u64, max_failures: u32) -> Self {
        Self {
            name: name.to_owned(),
            owner: owner.to_owned(),
            next,
            max_failures: max_failures.max(1),
            ..Self::default()
        }
    }

    /// Everything up to `offset` is done. Lower than before: nothing changes.
    pub fn ack(&mut self, offset: u64) {
        self.next = self.next.max(offset.saturating_add(1));
        self.settle();
    }

    /// The event at `offset` could not be handled. `is_known`: it was a dead letter before the group was put back, and is one still.
    ///
    /// # Errors
    /// [`GroupError::Exhausted`] where too many have failed that were not acknowledged since.
    pub fn fail(&mut self, offset: u64, is_known: bool) -> Result<Failed, GroupError> {
        if offset < self.next || self.dead.contains(&offset) {
            return Ok(Failed::Passed);
        }
        let failures = self.failures.get(&offset).copied().unwrap_or_default() + 1;
        // The dead count as well: where everything fails at once and nothing is acknowledged, they are those that pile up.
        if failures == 1 && self.failures.len() + self.dead.len() >= EVENTS_UNACKED {
            return Err(GroupError::Exhausted(format!(
                "{EVENTS_UNACKED} events of the group {:?} have failed, and none before them is acknowledged",
                self.name
            )));
        }
        if failures < self.max_failures {
            self.failures.insert(offset, failures);
            self.rewind(offset, failures);
            return Ok(Failed::Again);
        }
        self.failures.remove(&offset);
        self.dead.push(offset);
        if !is_known {
            self.letters = self.letters.saturating_add(1).min(DEAD_LETTERS as u32);
        }
        // What was sent behind it comes again as after any failure: a consumer has one rule.
        self.rewind(offset + 1, 0);
        self.settle();
        Ok(Failed::Dead(failures))
    }

    /// The event at `offset` comes next, whatever was done, failed or dead before. The turn is over: what whoever is served says of
    /// what it was sent before would move the group on again. It takes the next one itself.
    pub fn seek(&mut self, offset: u64) {
        self.next = offset;
        self.failures.clear();
        self.dead.clear();
        self.seeks = self.seeks.wrapping_add(1);
        self.next_epoch();
    }

    /// Serves `who`, if nobody is or whoever was is silent.
    pub fn claim(&mut self, who: u64, silent: bool) -> bool {
        if self.holder != 0 && self.holder != who && !silent {
            return false;
        }
        self.holder = who;
        self.next_epoch();
        true
    }

    /// Ends the turn of `who`, if it is served.
    pub fn release(&mut self, who: u64) {
        if self.holder == who {
            self.holder = 0;
        }
    }

    fn next_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// Refuses somebody after whom another one was served. 0 stands for whoever is.
    ///
    /// # Errors
    /// [`GroupError::Stale`].
    pub fn must_be(&self, epoch: u32) -> Result<(), GroupError> {
        if epoch == 0 || epoch == self.epoch {
            return Ok(());
        }
        Err(GroupError::Stale(self.name.clone()))
    }

    /// How long to wait before what failed is sent again.
    #[must_use]
    pub fn pause(&self) -> Duration {
        match self.rewind_failures {
            0 => Duration::ZERO,
            failures => PAUSE
                .saturating_mul(1 << (failures - 1).min(16))
                .min(LONGEST_PAUSE),
        }
    }

    fn rewind(&mut self, to: u64, failures: u32) {
        self.rewinds = self.rewinds.wrapping_add(1);
        self.rewind_to = to;
        self.rewind_failures = failures;
    }

    /// Moves over dead letters, and forgets what is behind.
    fn settle(&mut self) {
        let dead: BTreeSet<u64> = self.dead.iter().copied().collect();
        while dead.contains(&self.next) {
            self.next += 1;
        }
        self.dead.retain(|offset| *offset >= self.next);
        self.failures = self.failures.split_off(&self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        Group::new("g", "alice", 10, 3)
    }

    #[test]
    fn an_acknowledgement_counts_for_all_before_it_and_never_goes_back() {
        let mut group = group();
        group.ack(14);
        assert_eq!(group.next, 15);
        group.ack(12);
        assert_eq!(group.next, 15);
    }

    #[test]
    fn what_fails_comes_again_later_and_later_and_then_is_dead() {
        let mut group = group();
        assert_eq!(group.fail(12, false), Ok(Failed::Again));
        assert_eq!((group.rewind_to, group.pause().as_millis()), (12, 100));
        assert_eq!(group.fail(12, false), Ok(Failed::Again));
        assert_eq!((group.rewinds, group.pause().as_millis()), (2, 200));
        assert_eq!(group.fail(12, false), Ok(Failed::Dead(3)));
        assert_eq!((group.rewind_to, group.pause().as_millis()), (13, 0));
        assert_eq!((group.next, group.letters), (10, 1));
        assert_eq!(group.fail(12, false), Ok(Failed::Passed));
        // Done up to the dead letter is done up to what is behind it.
        group.ack(11);
        assert_eq!((group.next, &group.dead[..]), (13, &[][..]));
        assert_eq!(group.fail(5, false), Ok(Failed::Passed));
    }

    #[test]
    fn the_pause_does_not_grow_for_ever() {
        let mut group = Group::new("g", "alice", 1, 1_000);
        for _ in 0..100 {
            assert_eq!(group.fail(1, false), Ok(Failed::Again));
        }
        assert_eq!(group.pause(), LONGEST_PAUSE);
    }

    #[test]
    fn an_acknowledgement_forgets_failures() {
        let mut group = group();
        group.fail(10, false).expect("there is room");
        group.fail(11, false).expect("there is room");
        group.ack(10);
        assert_eq!(group.failures.into_iter().collect::<Vec<_>>(), [(11, 1)]);
    }

    #[test]
    fn a_seek_begins_anew() {
        let mut group = Group::new("g", "alice", 10, 1);
        assert_eq!(group.fail(11, false), Ok(Failed::Dead(1)));
        group.seek(3);
        assert_eq!((group.next, group.seeks), (3, 1));
        group.ack(10);
        assert_eq!(group.next, 11, "it is wanted again");
        assert_eq!(group.letters, 1);
        // The same one dies again: its letter takes the place of the first.
        assert_eq!(group.fail(11, true), Ok(Failed::Dead(1)));
        assert_eq!(group.letters, 1);
    }

    #[test]
    fn one_is_served_at_a_time_and_who_was_is_refused() {
        let mut group = group();
        assert!(group.claim(1, false));
        let first = group.epoch;
        assert!(!group.claim(2, false));
        assert_eq!(group.must_be(first), Ok(()));
        assert!(group.claim(2, true), "the first is silent");
        assert!(group.must_be(first).is_err());
        group.release(1);
        assert_eq!(group.holder, 2, "whose turn is over ends nobody else's");
        group.release(2);
        assert!(group.claim(1, false));
        assert_eq!(group.must_be(0), Ok(()));
    }

    #[test]
    fn who_was_sent_something_before_a_seek_does_not_undo_it() {
        let mut group = group();
        assert!(group.claim(1, false));
        let turn = group.epoch;
        group.seek(3);
        assert!(group.must_be(turn).is_err());
        assert_eq!(group.holder, 1, "nobody else is served for that");
        assert!(group.claim(1, false));
    }

    #[test]
    fn the_dead_that_wait_are_bounded() {
        let mut group = Group::new("g", "alice", 1, 1);
        for offset in 0..EVENTS_UNACKED as u64 {
            group.fail(2 + offset, false).expect("there is room");
        }
        assert!(matches!(
            group.fail(1 << 40, false),
            Err(GroupError::Exhausted(_))
        ));
        group.ack(1);
        assert_eq!(group.dead, [0; 0]);
        group.fail(1 << 40, false).expect("there is room");
    }

    #[test]
    fn failures_that_wait_are_bounded() {
        let mut group = Group::new("g", "alice", 1, 5);
        for offset in 0..EVENTS_UNACKED as u64 {
            group.fail(1 + offset, false).expect("there is room");
        }
        assert!(matches!(
            group.fail(1 << 40, false),
            Err(GroupError::Exhausted(_))
        ));
        assert_eq!(group.fail(1, false), Ok(Failed::Again));
    }
}
