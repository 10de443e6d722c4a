//! Everything that is wrong with one file, up to a bound.

use crate::error::Fault;
use crate::limits::LISTED_FAULTS;

/// Faults in the order in which they were found. Beyond the bound they are counted and no longer kept.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kept: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// A second fault of the same field is passed over: what is no string is not an empty name besides.
    pub(super) fn push(&mut self, fault: Fault) {
        if self
            .kept
            .last()
            .is_some_and(|last| last.field == fault.field)
        {
            return;
        }
        if self.kept.len() < LISTED_FAULTS {
            self.kept.push(fault);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.push(Fault::new(field, reason));
    }

    /// Takes the faults of a part, whose fields are relative to `at`.
    pub(super) fn take_under(&mut self, at: &str, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.push(fault.under(at));
        }
    }

    /// The value of a check that passed; the fault of one that did not is kept.
    pub(super) fn keep<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.push(fault)).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The list to show, which says at its end how many more there were.
    pub(super) fn into_list(mut self) -> Vec<Fault> {
        if self.more > 0 {
            self.kept
                .push(Fault::new("", format!("and {} more", self.more)));
        }
        self.kept
    }
}
