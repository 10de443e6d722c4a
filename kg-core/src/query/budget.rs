//! Budgets: how much work a question may be.
//!
//! The core has no clock. Time enters as a closure that is asked every few thousand visits whether it is up.

use crate::error::Fault;

/// Visits between two looks at the clock: about 20 us of work.
const VISITS_PER_LOOK: usize = 4_096;

/// How much work a question may be. What is absent is unlimited.
#[derive(Clone, Copy, Default)]
pub struct Budget<'a> {
    /// Entities visited, apart from those that the question begins at. Where it cuts a layer, the first by kind and name
    /// stay, so that the answer is the same on every server.
    pub max_entities: Option<u32>,
    /// Relations followed from the start; 0: the start alone.
    pub max_depth: Option<u32>,
    /// Whether time is up.
    pub out_of_time: Option<&'a dyn Fn() -> bool>,
}

impl Budget<'_> {
    /// The whole graph, however long it takes.
    #[must_use]
    pub fn unlimited() -> Budget<'static> {
        Budget::default()
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.max_entities == Some(0) {
            return Err(Fault::new(
                "budget.max_entities",
                "must be above 0: leave it out for no limit",
            ));
        }
        Ok(())
    }

    /// For questions that begin nowhere in particular, where a depth would mean nothing.
    pub(super) fn check_without_depth(&self) -> Result<(), Fault> {
        if self.max_depth.is_some() {
            return Err(Fault::new(
                "budget.max_depth",
                "has no meaning here: this question does not begin at an entity",
            ));
        }
        self.check()
    }

    pub(super) fn meter(&self) -> Meter<'_> {
        Meter {
            entities: self.max_entities.map_or(usize::MAX, |n| n as usize),
            out_of_time: self.out_of_time,
            visits: 0,
            late: false,
        }
    }
}

/// What is left of a budget.
pub(super) struct Meter<'a> {
    /// Entities that may still be visited.
    pub(super) entities: usize,
    out_of_time: Option<&'a dyn Fn() -> bool>,
    visits: usize,
    late: bool,
}

impl Meter<'_> {
    /// Counts work against the clock; true once time is up.
    #[inline]
    pub(super) fn spend(&mut self, visits: usize) -> bool {
        self.visits += visits;
        if self.visits >= VISITS_PER_LOOK {
            self.visits = 0;
            self.late |= self.out_of_time.is_some_and(|up| up());
        }
        self.late
    }

    /// Counts one more entity; false if there is no room for it or time is up.
    pub(super) fn visit(&mut self) -> bool {
        if self.entities == 0 || self.spend(1) {
            return false;
        }
        self.entities -= 1;
        true
    }
}
