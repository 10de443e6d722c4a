//! Whatever file is imported as CSV, and however it is cut on its way: the same rows come of it, or the same faults; what
//! can be committed exports to a file that says the same.

use crate::graph::agree;
use kg_core::error::Fault;
use kg_core::interchange::{CsvChunks, export_csv};
use kg_core::limits::CSV_CHUNK_ROWS;
use kg_core::mutation::{Mutation, Transaction};
use kg_core::snapshot::Snapshot;

/// The first byte says how long the pieces are in which the rest arrives.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    let Some((piece, file)) = bytes.split_first() else {
        return;
    };
    let whole = read(file, file.len().max(1));
    let cut = read(file, usize::from(*piece).max(1));
    assert_eq!(
        format!("{whole:?}"),
        format!("{cut:?}"),
        "cut into pieces of {piece}"
    );
    let Ok(mutations) = whole else {
        return;
    };
    let Ok(Some(after)) = agree(&Snapshot::new(), &transaction(mutations)) else {
        return;
    };
    let mut written = Vec::new();
    export_csv(&after, &mut written).expect("a vector has room");
    let again = read(&written, written.len()).expect("what was exported has no faults");
    assert_eq!(again.len(), after.relation_count());
    // The order of dependencies, and ends without a relation, are all that such a file leaves out.
    let again = agree(&Snapshot::new(), &transaction(again)).ok().flatten();
    let again = again.expect("it was possible once");
    let mut rewritten = Vec::new();
    export_csv(&again, &mut rewritten).expect("a vector has room");
    assert_eq!(written, rewritten);
    assert_eq!(again.hash(), after.hash());
}

fn transaction(mutations: Vec<Mutation>) -> Transaction {
    Transaction {
        mutation_limit: CSV_CHUNK_ROWS,
        ..Transaction::of(mutations)
    }
}

/// The mutations of a file that arrives in pieces; a fuzzer's files have one chunk.
fn read(file: &[u8], piece: usize) -> Result<Vec<Mutation>, Vec<Fault>> {
    let mut chunks = CsvChunks::new();
    for part in file.chunks(piece) {
        chunks.feed(part);
    }
    chunks.finish();
    let mut mutations = Vec::new();
    while let Some(chunk) = chunks.next_chunk() {
        mutations.extend(chunk?.mutations);
    }
    Ok(mutations)
}
