//! One revision in messages of bounded size.

use std::sync::Arc;

use amadeus_proto::v1;
use kg_core::limits::MESSAGE_BYTES;
use kg_core::log::Record;
use kg_core::watch::Filter;
use prost::Message;

use crate::rpc::to_proto::{self, Told};

/// Bytes of changes in one message. Small enough that making one costs a thread no more than about a millisecond.
pub const PART_BYTES: usize = 256 * 1024;

/// Bytes of one change; one that is larger goes without its values.
const CHANGE_BYTES: usize = MESSAGE_BYTES - 64 * 1024;

/// Collects changes until a message is full.
#[derive(Default)]
pub struct Filling {
    changes: Vec<v1::Change>,
    bytes: usize,
}

impl Filling {
    /// Whether there is room for `change`. An empty message has room for any.
    pub fn has_room(&self, change: &v1::Change) -> bool {
        self.changes.is_empty() || self.bytes + change.encoded_len() <= PART_BYTES
    }

    /// Adds a change, bounded in size.
    pub fn add(&mut self, change: v1::Change) {
        let change = to_proto::within(change, CHANGE_BYTES);
        self.bytes += change.encoded_len() + 8;
        self.changes.push(change);
    }

    /// Whether it is full.
    pub fn is_full(&self) -> bool {
        self.bytes >= PART_BYTES
    }

    /// The changes.
    pub fn take(self) -> Vec<v1::Change> {
        self.changes
    }
}

/// What is left of one revision.
pub struct Parts {
    record: Arc<Record>,
    told: Told,
    next: usize,
}

impl Parts {
    /// All of a record.
    pub fn new(record: Arc<Record>, previous: bool) -> Self {
        let told = Told {
            revision: record.revision,
            previous,
        };
        Self {
            record,
            told,
            next: 0,
        }
    }

    /// The revision.
    pub fn revision(&self) -> u64 {
        self.told.revision
    }

    /// The next part, and whether it is the last.
    pub fn part(&mut self, filter: &Filter) -> (Vec<v1::Change>, bool) {
        let mut filling = Filling::default();
        while let Some(change) = self.record.changes.get(self.next) {
            if filter.wants(change)
                && let Some(change) = to_proto::change(self.told, change)
            {
                if !filling.has_room(&change) {
                    return (filling.take(), false);
                }
                filling.add(change);
            }
            self.next += 1;
        }
        (filling.take(), true)
    }
}
