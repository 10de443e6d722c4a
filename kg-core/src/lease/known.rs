//! One lease as the steward knows it from sweep to sweep.

use std::sync::Arc;

use super::damping::Damping;
use super::guard::{Census, Verdict};
use super::pulse::Heard;
use super::sweep::{Sweep, Transition};
use super::table::Lease;
use crate::limits::LEASE_FORGOTTEN_MS;
use crate::model::Health;

/// What is known of a lease from sweep to sweep.
pub(super) struct Known {
    pub(super) lease: Arc<Lease>,
    pub(super) damping: Damping,
    /// Its holder is not held to have been silent before this.
    floor_ms: u64,
    /// What was heard of it when it came, until its holder has called.
    uncalled: Option<Heard>,
    /// What this sweep's look found.
    heard: Option<Heard>,
    /// When it was found to have lapsed.
    lapsed_ms: Option<u64>,
    /// The last sweep that met it.
    pub(super) sweep: u64,
}

impl Known {
    /// One that was not known before: it goes on from what was shown of it.
    pub(super) fn new(lease: Arc<Lease>, sweep: u64) -> Self {
        Self {
            damping: Damping::of(lease.shown),
            uncalled: lease.heard(),
            lease,
            floor_ms: 0,
            heard: None,
            lapsed_ms: None,
            sweep,
        }
    }

    /// Looks at its pulse, before anything of this sweep is decided. `deaf_ms` have passed since the sweep before: where that is
    /// more than half a ttl, a holder that called in time may not have been heard, and has a whole ttl from now on.
    pub(super) fn look(&mut self, census: &mut Census, floor_ms: u64, deaf_ms: u64, now: u64) {
        self.heard = self.lease.heard();
        self.floor_ms = self.floor_ms.max(floor_ms);
        if deaf_ms.saturating_mul(2) > self.lease.ttl_ms.into() {
            self.floor_ms = now;
        }
        if self.heard.is_some() && self.heard != self.uncalled {
            self.uncalled = None;
        }
        // One that was down when it was taken over: neither its silence nor its lapse says anything new.
        let is_old = self.uncalled.is_some() && self.lease.shown == Health::Down;
        match self.heard {
            _ if is_old => {}
            Some(heard) => {
                self.lapsed_ms = None;
                census.live += 1;
                let is_silent = self.lease.is_silent(silent_ms(heard, self.floor_ms, now));
                census.silent += usize::from(is_silent);
            }
            None => {
                let is_recent = self.lapsed_for_ms(now) < self.lease.ttl_ms.into();
                census.lapsed_recently += usize::from(is_recent);
            }
        }
    }

    /// Lapses it if it is overdue since that look and may lapse, and adds to the sweep what follows.
    pub(super) fn settle(&mut self, sweep: &mut Sweep, verdict: Verdict, now: u64) {
        let ttl_ms = self.lease.ttl_ms;
        let floor_ms = self.floor_ms;
        let is_overdue = |heard: &Heard| silent_ms(*heard, floor_ms, now) >= ttl_ms.into();
        if let Some(heard) = self.heard.filter(is_overdue) {
            match verdict {
                Verdict::Hold => sweep.counts.overdue += 1,
                Verdict::Lapse => {
                    let is_lapsed = self.lease.lapse(heard);
                    // After a lost race: the holder has called since the look, and what it said then holds.
                    self.heard = if is_lapsed { None } else { self.lease.heard() };
                }
            }
        }
        if self.heard.is_none() && self.lapsed_for_ms(now) >= forgotten_ms(ttl_ms) {
            sweep.forgotten.push(self.lease.id);
        }
        let raw = self.heard.map_or(Health::Down, |heard| heard.said.into());
        let from = self.damping.shown();
        let to = self.damping.step(now, raw, ttl_ms);
        if from != to {
            sweep.transitions.push(Transition {
                id: self.lease.id,
                service: self.lease.service.clone(),
                from,
                to,
            });
        }
        sweep.counts.add(to, raw < to);
    }

    /// For how long it has lapsed; found to have done so now, if it had not before.
    fn lapsed_for_ms(&mut self, now: u64) -> u64 {
        now.saturating_sub(*self.lapsed_ms.get_or_insert(now))
    }
}

fn silent_ms(heard: Heard, floor_ms: u64, now: u64) -> u64 {
    now.saturating_sub(heard.at_ms.max(floor_ms))
}

/// For how long a lease has lapsed when it is forgotten.
fn forgotten_ms(ttl_ms: u32) -> u64 {
    LEASE_FORGOTTEN_MS.max(10 * u64::from(ttl_ms))
}
