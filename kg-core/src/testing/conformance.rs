//! The suite that holds every [`CommitLog`] to its obligations.
//!
//! An implementation says how a fresh log is made, how one comes back after its process died, and how one is compacted;
//! [`conformance`] does the rest, and panics with the number of the obligation that does not hold. It needs no runtime:
//! whoever calls it brings the executor.

use crate::commit::{Graph, History, HistoryLimits, Options};
use crate::log::{AppendError, Batch, CommitLog, MemoryLog, ReadError, Record};
use crate::model::{EntityRef, Object, Path, Value};
use crate::mutation::{Mutation, Request, Transaction};
use crate::snapshot::{RequestKey, Snapshot};
use crate::sync::block_on;
use std::future::Future;
use std::sync::Arc;

/// An implementation under test.
pub trait Subject {
    /// The log.
    type Log: CommitLog;

    /// A log in which nothing was ever written, apart from all others.
    fn fresh(&mut self) -> impl Future<Output = Self::Log>;

    /// The same log after a crash: nothing is closed in order, and it is opened anew.
    fn reopened(&mut self, log: Self::Log) -> impl Future<Output = Self::Log>;

    /// Drops the records up to and including `revision`.
    fn compact(&mut self, log: &mut Self::Log, revision: u64) -> impl Future<Output = ()>;
}

/// Runs every check on fresh logs of `subject`.
///
/// # Panics
/// When an obligation does not hold.
pub async fn conformance(subject: &mut impl Subject) {
    an_empty_log_is_empty(subject).await;
    what_was_acknowledged_survives_a_crash(subject).await;
    a_batch_that_does_not_follow_leaves_no_trace(subject).await;
    a_repeated_batch_changes_nothing(subject).await;
    compaction_moves_the_beginning_only(subject).await;
    reads_may_begin_anywhere(subject).await;
    a_large_batch_and_a_large_record_fit(subject).await;
}

/// Records of revisions 1 to `count`, as a graph made them: entities, replaced ones, documents, and request ids.
///
/// # Panics
/// When the graph refuses what it must accept.
#[must_use]
pub fn records(count: u64) -> Vec<Arc<Record>> {
    committed((1..=count).map(transaction))
}

/// The records of these transactions, each committed on its own.
fn committed(transactions: impl IntoIterator<Item = Transaction>) -> Vec<Arc<Record>> {
    let log = MemoryLog::new();
    let history = History::new(Arc::new(Snapshot::new()), HistoryLimits::default());
    let options = Options::default();
    let graph = Arc::new(Graph::inline(history, &options, Box::new(log.clone())));
    for transaction in transactions {
        let outcome = graph.commit(transaction).expect("it is valid");
        assert!(outcome.changed, "each makes a revision");
    }
    let all = block_on(log.read(1, usize::MAX)).expect("a memory log answers at once");
    all.into_iter().map(Arc::new).collect()
}

/// The transaction that makes a revision of [`records`].
fn transaction(revision: u64) -> Transaction {
    let name = format!("team/n-{}", revision % 97);
    let key = EntityRef::parse("key", &name).expect("a valid name");
    let mut properties = Object::new();
    properties.insert(
        "revision".into(),
        Value::from_json(revision.to_string().as_bytes()).expect("a number"),
    );
    let put = Mutation::PutEntity { key, properties };
    let node = Mutation::UpdateNode {
        path: Path::parse(&format!("notes.r{revision}")).expect("a valid path"),
        value: Value::from_json(b"[1, {\"two\": \"\\u00fc\"}, null]").expect("valid JSON"),
    };
    Transaction {
        actor: "suite".into(),
        reason: format!("revision {revision}").into(),
        request_id: format!("request-{revision}").into(),
        request: Some(Request {
            key: RequestKey::new("suite", &format!("request-{revision}")),
            body: revision,
        }),
        time_ms: 1_700_000_000_000 + revision,
        ..Transaction::of(vec![put, node])
    }
}

/// A batch of `records[after..last]`.
fn batch(id: u128, records: &[Arc<Record>], after: u64, last: u64) -> Batch {
    Batch {
        id,
        after,
        records: records[after as usize..last as usize].to_vec(),
    }
}

async fn assert_holds(log: &impl CommitLog, expected: &[Arc<Record>], obligation: &str) {
    let last = log.last_revision().await.expect("the log answers");
    let expected_last = expected.last().map_or(0, |r| r.revision);
    assert_eq!(last, expected_last, "{obligation}: the log's end");
    let Some(first) = expected.first() else {
        return;
    };
    let found = read_all(log, first.revision).await;
    assert_eq!(
        found.len(),
        expected.len(),
        "{obligation}: how many records"
    );
    for (found, expected) in found.iter().zip(expected) {
        let same = found.encode() == expected.encode();
        assert!(
            same,
            "{obligation}: revision {} came back changed",
            expected.revision
        );
    }
}

/// Reads to the end by the contract: a read may stop early to bound memory, and only an empty one is the end.
async fn read_all(log: &impl CommitLog, from: u64) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let next = from + all.len() as u64;
        let some = log.read(next, 1_000).await.expect("the log answers");
        if some.is_empty() {
            return all;
        }
        for (i, record) in some.iter().enumerate() {
            assert_eq!(
                record.revision,
                next + i as u64,
                "obligation 6: order, without a gap"
            );
        }
        all.extend(some);
    }
}

async fn an_empty_log_is_empty(subject: &mut impl Subject) {
    let log = subject.fresh().await;
    assert_eq!(log.last_revision().await.expect("the log answers"), 0);
    assert!(log.read(1, 10).await.expect("the log answers").is_empty());
}

async fn what_was_acknowledged_survives_a_crash(subject: &mut impl Subject) {
    let records = records(40);
    let mut log = subject.fresh().await;
    for (id, (after, last)) in [(0, 1), (1, 8), (8, 9), (9, 40)].into_iter().enumerate() {
        let batch = batch(id as u128, &records, after, last);
        log.append(&batch).await.expect("it follows");
        assert_holds(&log, &records[..last as usize], "obligations 1, 2 and 6").await;
        log = subject.reopened(log).await;
        assert_holds(
            &log,
            &records[..last as usize],
            "obligation 1, after a crash",
        )
        .await;
    }
}

async fn a_batch_that_does_not_follow_leaves_no_trace(subject: &mut impl Subject) {
    let records = records(20);
    let mut log = subject.fresh().await;
    log.append(&batch(1, &records, 0, 10))
        .await
        .expect("it follows");
    for (after, last) in [(11, 20), (9, 10), (9, 11), (5, 15), (0, 10), (0, 1)] {
        let refused = log.append(&batch(2, &records, after, last)).await;
        let moved_on = matches!(refused, Err(AppendError::MovedOn { last: 10 }));
        assert!(moved_on, "obligation 3: after {after} gave {refused:?}");
        assert_holds(&log, &records[..10], "obligation 3").await;
    }
    log.append(&batch(3, &records, 10, 20))
        .await
        .expect("it follows");
    assert_holds(
        &log,
        &records,
        "obligation 5: after a refusal the next batch works",
    )
    .await;
}

async fn a_repeated_batch_changes_nothing(subject: &mut impl Subject) {
    let records = records(20);
    let mut log = subject.fresh().await;
    let (first, second) = (batch(7, &records, 0, 8), batch(8, &records, 8, 20));
    log.append(&first).await.expect("it follows");
    log.append(&first)
        .await
        .expect("obligation 4: it is there already");
    log = subject.reopened(log).await;
    log.append(&first)
        .await
        .expect("obligation 4, after a crash");
    assert_holds(&log, &records[..8], "obligation 4").await;
    log.append(&second).await.expect("it follows");
    let refused = log.append(&first).await;
    assert!(
        matches!(refused, Err(AppendError::MovedOn { last: 20 })),
        "obligation 4 is about the last batch only: {refused:?}"
    );
    assert_holds(&log, &records, "obligation 4").await;
}

async fn compaction_moves_the_beginning_only(subject: &mut impl Subject) {
    let records = records(30);
    let mut log = subject.fresh().await;
    log.append(&batch(1, &records, 0, 20))
        .await
        .expect("it follows");
    subject.compact(&mut log, 15).await;
    for from in [1, 15] {
        let gone = log.read(from, 10).await;
        let compacted = matches!(gone, Err(ReadError::Compacted { oldest: 16 }));
        assert!(
            compacted,
            "obligation 6: a read from {from} gave {:?}",
            gone.map(|r| r.len())
        );
    }
    assert_holds(&log, &records[15..20], "obligation 6, after compaction").await;
    for after in [4, 14] {
        let refused = log.append(&batch(2, &records, after, after + 1)).await;
        let moved_on = matches!(refused, Err(AppendError::MovedOn { last: 20 }));
        assert!(
            moved_on,
            "obligation 3: revision {} came back: {refused:?}",
            after + 1
        );
    }
    log = subject.reopened(log).await;
    assert_holds(
        &log,
        &records[15..20],
        "obligation 1, compacted, after a crash",
    )
    .await;
    log.append(&batch(3, &records, 20, 30))
        .await
        .expect("it follows");
    assert_holds(&log, &records[15..], "obligation 3, after compaction").await;
}

async fn reads_may_begin_anywhere(subject: &mut impl Subject) {
    let records = records(12);
    let mut log = subject.fresh().await;
    log.append(&batch(1, &records, 0, 12))
        .await
        .expect("it follows");
    for from in 1..=14 {
        for limit in [1, 3, 100] {
            let found = log.read(from, limit).await.expect("the log answers");
            assert!(found.len() <= limit, "obligation 6: more than asked for");
            assert_eq!(found.is_empty(), from > 12, "obligation 6: from {from}");
            assert!(
                found.first().is_none_or(|r| r.revision == from),
                "obligation 6: from {from}"
            );
        }
    }
}

async fn a_large_batch_and_a_large_record_fit(subject: &mut impl Subject) {
    let mutations = (0..100_000_u32).map(|n| Mutation::PutEntity {
        key: EntityRef::parse("key", &format!("bulk/{n:0100}")).expect("a valid name"),
        properties: Object::new(),
    });
    let import = Transaction {
        mutation_limit: 100_000,
        ..Transaction::of(mutations.collect())
    };
    let large = committed([import]).remove(0);
    let mut log = subject.fresh().await;
    let lone = Batch {
        id: 1,
        after: 0,
        records: vec![large.clone()],
    };
    log.append(&lone).await.expect("a record of an import fits");
    assert_holds(&log, &[large], "obligation 6, of a large record").await;

    let many = records(4_096);
    let mut log = subject.fresh().await;
    log.append(&batch(1, &many, 0, 4_096))
        .await
        .expect("a full batch fits");
    assert_holds(&log, &many, "obligation 2, of a full batch").await;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Memory;

    impl Subject for Memory {
        type Log = MemoryLog;

        async fn fresh(&mut self) -> MemoryLog {
            MemoryLog::new()
        }

        async fn reopened(&mut self, log: MemoryLog) -> MemoryLog {
            log.clone()
        }

        async fn compact(&mut self, log: &mut MemoryLog, revision: u64) {
            log.compact(revision);
        }
    }

    #[test]
    fn the_memory_log_conforms() {
        block_on(conformance(&mut Memory));
    }
}
