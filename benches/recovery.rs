//! How long until a graph of 1,000,000 entities stands again, beside building it from records that are in memory already?
//!
//! Ours is what a start does: a checkpoint is read from a file (which the kernel has in its cache), every checksum and the
//! content's hash are proved, and the graph is built. Beside it, the same graph is folded from decoded records of 10,000
//! entities each; each record's hash is proved there too. Dropping what was built is not timed on either side.
//!
//! ```text
//! cargo bench --package benches --bench recovery
//! ```

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use benches::figure::{Better, Figure, Line, Question};
use benches::mode::Mode;
use kg_core::commit::{Graph, History, HistoryLimits, Options};
use kg_core::log::{CommitLog, MemoryLog, Record, checkpoint};
use kg_core::mutation::Transaction;
use kg_core::snapshot::Snapshot;
use kg_core::sync::block_on;

mod names;

fn main() {
    let mode = Mode::from_args();
    Line::Question(Question {
        question: "recovery".into(),
        text: "How long until a graph of 1,000,000 entities stands again, beside building it from records in memory?".into(),
    })
    .print();
    let (head, records) = built(mode.size(1_000_000, 2_000));
    let folder = tempfile::tempdir().expect("a folder for the checkpoint");
    let path = folder.path().join("checkpoint");
    let mut file = BufWriter::new(File::create(&path).expect("a file in it"));
    checkpoint::write(&head, "bench", "", 0, &mut file).expect("room for the checkpoint");
    file.flush().expect("room for the checkpoint");

    let load = || {
        let file = File::open(&path).expect("it was written");
        checkpoint::read(&mut BufReader::with_capacity(256 * 1024, file)).map(|(_, s)| s)
    };
    let fold = |records: &[Record]| {
        records
            .iter()
            .try_fold(Snapshot::new(), |mut snapshot, record| {
                snapshot.fold_in_place(record).map(|()| snapshot)
            })
    };
    for _ in 0..mode.rounds() {
        let (ours, loaded) = timed(|| load().expect("it is whole"));
        // Decoded anew, and that is not timed: an entity that was in a graph before knows its hash, and has nothing to prove.
        let fresh: Vec<Record> = records.iter().map(|bytes| decoded(bytes)).collect();
        let (rival, folded) = timed(|| fold(&fresh).expect("they follow each other"));
        assert_eq!(
            (loaded.hash(), loaded.entity_count()),
            (head.hash(), head.entity_count())
        );
        assert_eq!(
            (folded.hash(), folded.entity_count()),
            (head.hash(), head.entity_count())
        );
        Line::Figure(Figure {
            question: "recovery".into(),
            case: "1,000,000 entities".into(),
            unit: "ns".into(),
            better: Better::Lower,
            ours_name: "loading a checkpoint".into(),
            ours,
            rival: "folding records in memory".into(),
            rival_value: Some(rival),
            bound: Some(2.0),
        })
        .print();
    }
}

fn decoded(bytes: &[u8]) -> Record {
    Record::decode(bytes).expect("it was encoded")
}

/// The graph, and the records that made it, as the log keeps them.
fn built(size: usize) -> (Arc<Snapshot>, Vec<Vec<u8>>) {
    let log = MemoryLog::new();
    let history = History::new(Arc::new(Snapshot::new()), HistoryLimits::default());
    let graph = Graph::inline(history, &Options::default(), Box::new(log.clone()));
    let graph = Arc::new(graph);
    for (number, some) in (1..).zip(names::names(size).chunks(10_000)) {
        let put = some.iter().map(|key| names::update(key, number));
        graph
            .commit(Transaction::of(put.collect()))
            .expect("the names are new and valid");
    }
    let records = block_on(log.read(1, usize::MAX)).expect("a log in memory answers");
    (
        graph.snapshot().shared(),
        records.iter().map(Record::encode).collect(),
    )
}

/// What it took, in nanoseconds, and what it made.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let since = Instant::now();
    let made = work();
    (since.elapsed().as_nanos() as f64, made)
}
