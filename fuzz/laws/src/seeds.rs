//! The seeds: for each law some inputs, most of them let in, from which others are bred. Made from a fixed seed of the random
//! transactions that all tests share, so that they can be made again when a form changes: `cargo run -p fuzz-laws -- seeds`.

mod requests;
mod texts;

use crate::graph::small;
use crate::log_records;
use kg_core::interchange::export_json;
use kg_core::log::{Record, checkpoint};
use kg_core::mutation::plan;
use kg_core::snapshot::{Snapshot, fold};
use kg_core::testing::generate::{self, Rng};
use kg_core::testing::oracle::Oracle;

/// One input of a law.
pub struct Seed {
    /// The law.
    pub law: &'static str,
    /// The name of its file.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Every seed that can be made again.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = texts::all();
    let mut rng = Rng::new(1);
    for n in 0..24 {
        let mut add = |law, bytes| {
            let name = format!("seed-{n:02}");
            seeds.push(Seed { law, name, bytes });
        };
        let (record, after) = some_history(&mut rng);
        let raw = n % 8 == 0;
        let bytes = if raw {
            record.encode()
        } else {
            log_records::body(&record)
        };
        add("log_records", bytes);
        let mut file = Vec::new();
        checkpoint::write(&after, "store", "why", 7, &mut file).expect("a vector has room");
        add("checkpoints", file);
        let mut file = Vec::new();
        export_json(&after, &mut file).expect("a vector has room");
        add("import_json", file);
        add(
            "histories",
            (0..40 + 20 * n).map(|_| rng.number() as u8).collect(),
        );
        add("wire_requests", requests::some(&mut rng));
        add(
            "dot_paths",
            generate::path(&mut rng).to_string().into_bytes(),
        );
    }
    seeds
}

/// The record of a random transaction, and the state some transactions later.
fn some_history(rng: &mut Rng) -> (Record, Snapshot) {
    let (mut first, mut snapshot) = (None, small().clone());
    while first.is_none() || rng.once_in(2) {
        let transaction = generate::transaction(rng, &Oracle::of(&snapshot));
        let Ok(planned) = plan(&snapshot, &transaction) else {
            continue;
        };
        let record = Record {
            revision: snapshot.revision() + 1,
            time_ms: snapshot.time_ms().max(transaction.time_ms),
            actor: transaction.actor,
            source: transaction.source,
            reason: transaction.reason,
            request_id: transaction.request_id,
            request: transaction.request,
            changes: planned.changes.into(),
            hash: planned.next.hash(),
        };
        snapshot = fold(&snapshot, &record).expect("what was planned folds");
        first.get_or_insert(record);
    }
    (first.expect("the loop ends with one"), snapshot)
}
