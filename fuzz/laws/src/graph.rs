//! A small graph in which there is something of everything, and what has to hold for whatever is done to it.

use kg_core::error::Refusal;
use kg_core::interchange::parse_json;
use kg_core::log::Record;
use kg_core::mutation::{Change, Transaction, plan};
use kg_core::snapshot::{Snapshot, fold};
use kg_core::testing::compare;
use kg_core::testing::generate::Rng;
use kg_core::testing::oracle::Oracle;
use std::sync::LazyLock;

/// Cycles, a placeholder, every kind of body, names that need quotes, documents.
const SMALL: &[u8] = include_bytes!("small.json");

/// The small graph, at revision 1.
pub fn small() -> &'static Snapshot {
    static GRAPH: LazyLock<Snapshot> = LazyLock::new(|| {
        let import = parse_json(SMALL).expect("the small graph is a file without faults");
        let transaction = Transaction::of(import.mutations);
        let made = agree(&Snapshot::new(), &transaction);
        made.ok()
            .flatten()
            .expect("and it is possible in an empty graph")
    });
    &GRAPH
}

/// The record of what a transaction did, as a committer would make it.
fn record(
    before: &Snapshot,
    transaction: &Transaction,
    after: &Snapshot,
    changes: Vec<Change>,
) -> Record {
    Record {
        revision: before.revision() + 1,
        time_ms: before.time_ms().max(transaction.time_ms),
        actor: transaction.actor.clone(),
        source: transaction.source.clone(),
        reason: transaction.reason.clone(),
        request_id: transaction.request_id.clone(),
        request: transaction.request,
        changes: changes.into(),
        hash: after.hash(),
    }
}

/// Plans a transaction and folds what it gave. The oracle, which is written from the words of the design, must say the
/// same: about a refusal, or about everything in the state after. None: it changes nothing.
///
/// # Errors
/// The refusal.
///
/// # Panics
/// Where something does not hold.
pub fn agree(before: &Snapshot, transaction: &Transaction) -> Result<Option<Snapshot>, Refusal> {
    let hash = before.hash();
    let mut oracle = Oracle::of(before);
    let expected = oracle.apply(transaction);
    let planned = plan(before, transaction);
    assert_eq!(before.hash(), hash, "planning changed what it looked at");
    assert_eq!(compare::content_hash(before), hash, "planning left a trace");
    let planned = match (expected, planned) {
        (Ok(_), Ok(planned)) => planned,
        (Err(no), Err(refusal)) => {
            assert!(no.agrees(&refusal), "expected {no:?}, found {refusal:?}");
            return Err(refusal);
        }
        (expected, planned) => panic!(
            "expected {expected:?}, found {:?}",
            planned.map(|p| p.changes)
        ),
    };
    if planned.changes.is_empty() {
        assert_eq!(planned.next.hash(), hash);
        assert_eq!(oracle, Oracle::of(before));
        return Ok(None);
    }
    let record = record(before, transaction, &planned.next, planned.changes);
    let written = record.encode();
    let read = Record::decode(&written).expect("what was encoded decodes");
    assert_eq!(read.encode(), written);
    let after = fold(before, &read).expect("what was planned folds");
    assert_eq!(compare::content_hash(before), hash, "folding left a trace");
    compare::previous_is_what_was_there(before, &read);
    compare::undone(&after, &read, before);
    compare::everything(&after, &oracle, &mut Rng::new(hash as u64));
    compare::checkpoint_round_trip(&after, &oracle);
    compare::export_round_trip(&after);
    Ok(Some(after))
}
