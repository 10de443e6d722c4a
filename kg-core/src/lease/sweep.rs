//! What comes out of a sweep: one batch, to be written, told and counted by whoever swept.

use super::guard::GuardState;
use super::id::LeaseId;
use crate::model::{Health, Name};

/// What a sweep found.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Leases that are to be shown otherwise than before, by their ids.
    pub transitions: Vec<Transition>,
    /// Leases that lapsed long ago, by their ids: for the caller to release. Told again until they are.
    pub forgotten: Vec<LeaseId>,
    /// What the guard does.
    pub guard: GuardState,
    /// Whether it did something else before.
    pub guard_changed: bool,
    /// How many leases are how.
    pub counts: Counts,
}

/// A lease that is to be shown otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The lease.
    pub id: LeaseId,
    /// The service that it speaks for.
    pub service: Name,
    /// How it was shown.
    pub from: Health,
    /// How it is to be shown.
    pub to: Health,
}

/// How many leases are how, after a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shown as up.
    pub up: usize,
    /// Shown as degraded.
    pub degraded: usize,
    /// Shown as down.
    pub down: usize,
    /// Silent for a whole ttl, and not lapsed because the guard holds.
    pub overdue: usize,
    /// Better than shown, because the damping holds the improvement back.
    pub held_back: usize,
}

impl Counts {
    /// Counts one lease.
    pub(super) fn add(&mut self, shown: Health, is_held_back: bool) {
        match shown {
            Health::Up => self.up += 1,
            Health::Degraded => self.degraded += 1,
            Health::Down => self.down += 1,
            // A sweep leaves none.
            Health::Unknown => {}
        }
        self.held_back += usize::from(is_held_back);
    }
}
