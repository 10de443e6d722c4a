//! Whatever file is imported as JSON: every fault is told and nothing is imported, or it becomes a graph that exports to a
//! file that imports to the same.

use crate::graph::{agree, small};
use kg_core::interchange::{parse_json, recognise};
use kg_core::limits::{IMPORT_MUTATIONS, LISTED_FAULTS};
use kg_core::mutation::{Transaction, plan};
use kg_core::snapshot::Snapshot;

/// The bytes are a file.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    let recognised = recognise(bytes);
    let import = match parse_json(bytes) {
        Ok(import) => import,
        Err(faults) => {
            assert!((1..=LISTED_FAULTS + 1).contains(&faults.len()));
            return;
        }
    };
    assert_eq!(recognised, Ok(import.form));
    let transaction = Transaction {
        mutation_limit: IMPORT_MUTATIONS,
        ..Transaction::of(import.mutations)
    };
    // Into nothing, and into a graph that says other things of the same names.
    for before in [&Snapshot::new(), small()] {
        if let Ok(Some(after)) = agree(before, &transaction) {
            let again = plan(&after, &transaction).expect("what was imported once");
            assert!(
                again.changes.is_empty(),
                "imported again: {:#?}",
                again.changes
            );
        }
    }
}
