//! The design that Amadeus replaces, around our own graph: one lock, which a writer holds for the whole of a commit.
//!
//! What is checked, changed and logged under the lock is what a commit of ours checks, changes and logs: the same plan, and
//! its changes kept in memory. Only the history and the tickets are missing, which a lock has no need of.

use std::sync::{PoisonError, RwLock};

use kg_core::model::EntityRef;
use kg_core::mutation::{Change, Transaction, plan};
use kg_core::snapshot::Snapshot;

use crate::names::update;

/// Changes that are kept before they are let go, so that a long run does not fill the memory.
const KEPT: usize = 10_000;

/// The graph, and the log of what was done to it.
pub struct State {
    snapshot: Snapshot,
    log: Vec<Vec<Change>>,
}

impl State {
    pub fn of(snapshot: Snapshot) -> Self {
        let log = Vec::with_capacity(KEPT);
        Self { snapshot, log }
    }

    fn revision(&self, key: &EntityRef) -> u64 {
        let found = self.snapshot.entity(key);
        found.expect("it was put").modified_revision
    }

    fn commit(&mut self, transaction: &Transaction) {
        let planned = plan(&self.snapshot, transaction).expect("the update is valid");
        if self.log.len() == KEPT {
            self.log.clear();
        }
        self.log.push(planned.changes);
        self.snapshot = planned.next;
    }
}

/// A lock around it.
pub trait Lock: Sync {
    const NAME: &'static str;

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T;

    fn write(&self, change: impl FnOnce(&mut State));
}

impl Lock for RwLock<State> {
    const NAME: &'static str = "RwLock (std) held for the whole commit";

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&RwLock::read(self).unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut RwLock::write(self).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Lock for parking_lot::RwLock<State> {
    const NAME: &'static str = "RwLock (parking_lot) held for the whole commit";

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&parking_lot::RwLock::read(self))
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut parking_lot::RwLock::write(self));
    }
}

/// One of them, as the bench reads and writes it.
pub struct Whole<L>(pub L);

impl<L: Lock> crate::Shared for Whole<L> {
    const NAME: &'static str = L::NAME;

    fn read(&self, key: &EntityRef) -> u64 {
        self.0.read(|state| state.revision(key))
    }

    fn write(&self, key: &EntityRef, turn: u64) {
        let transaction = Transaction::of(vec![update(key, turn)]);
        self.0.write(|state| state.commit(&transaction));
    }
}
