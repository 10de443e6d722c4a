//! Runs of transactions against a history ring, without the threads of a live graph, so that its bytes can be counted.

use std::sync::Arc;

use kg_core::commit::{History, HistoryLimits};
use kg_core::log::Record;
use kg_core::model::{EntityRef, Object, Value};
use kg_core::mutation::{Mutation, Transaction, plan};
use kg_core::snapshot::{Snapshot, fold};
use kg_core::testing::generate::Rng;

/// A ring and the head that it ends with.
pub struct Run {
    pub head: Arc<Snapshot>,
    pub history: History,
}

impl Run {
    pub fn from(head: Snapshot) -> Self {
        let head = Arc::new(head);
        Self {
            history: History::new(head.clone(), HistoryLimits::default()),
            head,
        }
    }

    /// Commits `mutations` as one transaction at `time_ms`.
    pub fn commit(&mut self, mutations: Vec<Mutation>, time_ms: u64) {
        let planned =
            plan(&self.head, &Transaction::of(mutations)).expect("the mutations are valid");
        let record = Record {
            revision: self.head.revision() + 1,
            time_ms,
            actor: Arc::from("bench"),
            source: Arc::from(""),
            reason: Arc::from(""),
            request_id: Arc::from(""),
            request: None,
            changes: planned.changes.into(),
            hash: planned.next.hash(),
        };
        drop(planned.next);
        self.head = Arc::new(fold(&self.head, &record).expect("it was planned on this head"));
        drop(self.history.push(&[Arc::new(record)], self.head.clone()));
    }

    /// Gives up the ring: what it said that it holds beside the head, and what it held.
    pub fn settle(self) -> (usize, usize) {
        let said = self.history.bytes();
        (said, super::counted::freed_by(self.history))
    }
}

/// `updates` updates of single entities, `each` of them in a transaction, `per_second` transactions in a second.
pub fn update(run: &mut Run, updates: usize, each: usize, per_second: usize) {
    let keys: Vec<EntityRef> = run.head.entities().map(|e| e.key.clone()).collect();
    let mut rng = Rng::new(7);
    for number in 0..updates / each {
        let mutations = (0..each)
            .map(|i| Mutation::PutEntity {
                key: rng.pick(&keys).clone(),
                properties: Object::unit(
                    Arc::from("build"),
                    Value::Number((number * each + i) as f64),
                ),
            })
            .collect();
        run.commit(mutations, (number * 1_000 / per_second) as u64);
    }
}
