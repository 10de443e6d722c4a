//! Replay: a checkpoint and the records after it give the head, and the recent past behind it.
//!
//! Every record that the log keeps is read and proved, also those that a checkpoint covers. Reading and decoding run in
//! one task, folding in another; a fold checks the hash of every record, and where the replay passes another checkpoint,
//! that one's too.

use super::checkpoints::{self, CheckpointFile, Checkpoints};
use super::open::OpenError;
use super::sqlite::{bodies, decode};
use super::survey::Survey;
use kg_core::commit::{History, HistoryLimits};
use kg_core::log::{DecodeError, ReadError, Record};
use kg_core::mutation::Change;
use kg_core::snapshot::Snapshot;
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Records between two snapshots of the recent past, where it does not keep every one.
const SPARSE: usize = 64;

/// Records read and decoded ahead of the fold, in pages.
const PAGE: usize = 1_000;
const PAGES_AHEAD: usize = 2;

/// What a replay is made from.
pub(super) struct Replay<'a> {
    pub(super) db: &'a Path,
    pub(super) survey: &'a Survey,
    pub(super) checkpoints: &'a Checkpoints,
    /// All checkpoints that are whole and not ahead of the log, oldest first.
    pub(super) whole: &'a [CheckpointFile],
    pub(super) limits: HistoryLimits,
}

/// What a replay gives.
pub(super) struct Replayed {
    pub(super) history: History,
    /// Names of the contents that records of the log return to.
    pub(super) restored: BTreeSet<String>,
    /// The revision that it began at.
    pub(super) base: u64,
}

/// Why a replay from one base failed.
pub(super) enum Failed {
    /// Another base may do.
    Base(String),
    /// The log itself is at fault.
    Log(OpenError),
}

impl Replay<'_> {
    /// The bases to try, best first: the newest one that leaves room for some past, then newer ones, then older ones.
    /// `None` is the empty graph.
    pub(super) fn bases(&self, wanted: u64) -> Vec<Option<&CheckpointFile>> {
        let nothing = (self.survey.compacted == 0).then_some(None);
        let covering = self
            .whole
            .iter()
            .filter(|c| c.revision >= self.survey.compacted);
        let all: Vec<_> = nothing.into_iter().chain(covering.map(Some)).collect();
        let revision = |base: &Option<&CheckpointFile>| base.map_or(0, |c| c.revision);
        let best = all
            .iter()
            .rposition(|base| revision(base) <= wanted)
            .unwrap_or(0);
        let (older, newer) = all.split_at(best.min(all.len()));
        newer.iter().chain(older.iter().rev()).copied().collect()
    }

    /// Replays from `base`. The connection comes back also after a failure.
    pub(super) async fn run(
        &self,
        base: Option<&CheckpointFile>,
        connection: SqliteConnection,
    ) -> (SqliteConnection, Result<Replayed, Failed>) {
        let snapshot = match base.map(|c| checkpoints::read(&c.path)) {
            None => Snapshot::new(),
            Some(Ok((_, snapshot))) => snapshot,
            Some(Err(error)) => {
                let path = base.map_or(self.db, |c| &c.path).display();
                return (
                    connection,
                    Err(Failed::Base(format!("the checkpoint {path} {error}"))),
                );
            }
        };
        let (pages, feed) = mpsc::channel(PAGES_AHEAD);
        let reading = tokio::spawn(read_pages(connection, self.survey.compacted + 1, pages));
        let folded = self.fold(snapshot, feed).await;
        match reading.await {
            Ok(connection) => (connection, folded),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn fold(
        &self,
        base: Snapshot,
        mut feed: mpsc::Receiver<Result<Vec<Record>, ReadError>>,
    ) -> Result<Replayed, Failed> {
        let mut past = Past::new(base, self.survey.last, self.limits);
        let base = past.head.revision();
        let witnesses: BTreeMap<u64, u128> = self
            .whole
            .iter()
            .filter_map(|c| Some((c.revision, c.header.as_ref().ok()?.hash_value())))
            .collect();
        let mut restored = BTreeSet::new();
        let mut expected = self.survey.compacted + 1;
        while let Some(page) = feed.recv().await {
            for mut record in page.map_err(|e| Failed::Log(self.unreadable(e)))? {
                if record.revision != expected {
                    return Err(self.damaged(format!("revision {expected} is missing")));
                }
                expected += 1;
                let names = record
                    .changes
                    .iter()
                    .filter_map(restored_name)
                    .map(str::to_owned);
                let returns = restored.len();
                restored.extend(names);
                if record.revision <= base {
                    continue;
                }
                if restored.len() > returns
                    || record.changes.iter().any(|c| restored_name(c).is_some())
                {
                    self.resolve(&mut record)?;
                }
                past.fold(record).map_err(|e| self.damaged(e))?;
                let (revision, hash) = (past.head.revision(), past.head.hash());
                if let Some(witness) = witnesses.get(&revision).filter(|w| **w != hash) {
                    return Err(self.damaged(format!(
                        "at revision {revision} it leads to the hash {hash:032x}, the checkpoint of that revision has {witness:032x}"
                    )));
                }
            }
        }
        if past.head.revision() != self.survey.last {
            return Err(self.damaged(format!(
                "it ended at revision {} while it was read",
                past.head.revision()
            )));
        }
        Ok(Replayed {
            history: past.finish(),
            restored,
            base,
        })
    }

    /// Loads what the restores of a record return to.
    fn resolve(&self, record: &mut Record) -> Result<(), Failed> {
        let mut changes = record.changes.to_vec();
        for change in &mut changes {
            if let Change::Restore {
                checkpoint,
                hash,
                content,
            } = change
            {
                let loaded = self.checkpoints.restored(checkpoint, *hash).map_err(|e| {
                    let path = self.checkpoints.folder().join(&**checkpoint);
                    let revision = record.revision;
                    Failed::Base(format!(
                        "revision {revision} restores {}, which {e}",
                        path.display()
                    ))
                })?;
                *content = Some(Arc::new(loaded));
            }
        }
        record.changes = changes.into();
        Ok(())
    }

    fn damaged(&self, what: String) -> Failed {
        Failed::Log(OpenError::Damaged {
            path: self.db.to_owned(),
            what,
        })
    }

    fn unreadable(&self, error: ReadError) -> OpenError {
        let path = self.db.to_owned();
        match error {
            ReadError::Record {
                revision,
                cause: DecodeError::UnknownVersion { found },
            } => OpenError::RecordVersion {
                path,
                revision,
                found,
            },
            other => OpenError::Damaged {
                path,
                what: other.to_string(),
            },
        }
    }
}

fn restored_name(change: &Change) -> Option<&str> {
    match change {
        Change::Restore { checkpoint, .. } => Some(checkpoint),
        _ => None,
    }
}

/// Reads and decodes the whole log, a page at a time, until it ends, fails, or nobody listens.
async fn read_pages(
    mut connection: SqliteConnection,
    mut from: u64,
    pages: mpsc::Sender<Result<Vec<Record>, ReadError>>,
) -> SqliteConnection {
    loop {
        let page: Result<Vec<Record>, ReadError> = match bodies(&mut connection, from, PAGE).await {
            Ok(rows) => rows
                .iter()
                .map(|(revision, body)| decode(*revision, body))
                .collect(),
            Err(error) => Err(ReadError::Io(error.to_string())),
        };
        let last = match &page {
            Ok(records) => records.last().map(|r| r.revision),
            Err(_) => None,
        };
        let ended = page.as_ref().is_ok_and(Vec::is_empty);
        if ended || pages.send(page).await.is_err() {
            return connection;
        }
        match last {
            Some(last) => from = last + 1,
            None => return connection,
        }
    }
}

/// The head as it grows, and the ring behind it: the newest snapshots one by one, older ones now and then.
pub(super) struct Past {
    head: Snapshot,
    last: u64,
    /// Before this revision nothing is kept: the ring would let it go again.
    from: u64,
    limits: HistoryLimits,
    history: Option<History>,
    pending: Vec<Arc<Record>>,
}

impl Past {
    pub(super) fn new(base: Snapshot, last: u64, limits: HistoryLimits) -> Self {
        let mut past = Self {
            from: last.saturating_sub(limits.revisions as u64),
            head: base,
            last,
            limits,
            history: None,
            pending: Vec::new(),
        };
        past.begin();
        past
    }

    fn begin(&mut self) {
        if self.history.is_none() && self.head.revision() >= self.from {
            self.history = Some(History::new(Arc::new(self.head.clone()), self.limits));
        }
    }

    pub(super) fn head(&self) -> &Snapshot {
        &self.head
    }

    pub(super) fn fold(&mut self, mut record: Record) -> Result<(), String> {
        self.head
            .fold_and_share(&mut record)
            .map_err(|e| e.to_string())?;
        if self.history.is_some() {
            self.pending.push(Arc::new(record));
            let recent = self.head.revision() + self.limits.dense as u64 >= self.last;
            if recent || self.pending.len() >= SPARSE {
                self.push();
            }
        } else {
            self.begin();
        }
        Ok(())
    }

    fn push(&mut self) {
        if let Some(history) = self.history.as_mut().filter(|_| !self.pending.is_empty()) {
            // What the ring lets go of here nobody else holds: dropping it is part of starting.
            drop(history.push(&self.pending, Arc::new(self.head.clone())));
            self.pending.clear();
        }
    }

    pub(super) fn finish(mut self) -> History {
        self.push();
        self.history
            .unwrap_or_else(|| History::new(Arc::new(self.head), self.limits))
    }
}
