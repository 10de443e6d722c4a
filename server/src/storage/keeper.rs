//! The keeper: writes checkpoints in the background and removes the records that they cover.
//!
//! Nothing waits for it: it works from an immutable snapshot, on a thread for blocking work, and removes records in small
//! transactions. Records go only when two whole checkpoints cover them, and the newest ones stay for watchers that are
//! behind.

use super::backend::Backend;
use super::checkpoints::Checkpoints;
use kg_core::commit::Graph;
use kg_core::faults::{Bug, Point, point, seeded};
use kg_core::log::AppendError;
use kg_core::snapshot::Snapshot;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// When a checkpoint is written, and what stays in the log.
#[derive(Clone, Copy, Debug)]
pub struct KeeperPolicy {
    /// Records after which a checkpoint is due.
    pub every_records: u64,
    /// Bytes of records after which one is due.
    pub every_bytes: u64,
    /// Records that stay in the log although checkpoints cover them.
    pub keep_records: u64,
}

impl Default for KeeperPolicy {
    fn default() -> Self {
        Self {
            every_records: 50_000,
            every_bytes: 32 * 1024 * 1024,
            keep_records: 100_000,
        }
    }
}

/// At shutdown a checkpoint is worth its time once a tenth of what makes one due has come in.
const AT_SHUTDOWN: u64 = 10;

/// How long the keeper looks away once something was written. Woken by every commit, it would take a thread from the
/// write's own way back to its client.
const LOOKS_AWAY: Duration = Duration::from_millis(50);

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// The oldest record that the log keeps, if records were removed.
    pub oldest: Option<u64>,
}

/// Why nothing could be done; the store is as good as before.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The checkpoint could not be written.
    #[error("a checkpoint could not be written to {folder}: {cause}")]
    Checkpoint {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Records could not be removed.
    #[error("the log could not be compacted: {0}")]
    Compact(#[from] AppendError),
}

/// Keeps the checkpoints of one store.
pub struct Keeper {
    log: Backend,
    checkpoints: Checkpoints,
    policy: KeeperPolicy,
    /// Where the last checkpoint was made. Relaxed: only the decision whether one is due reads them.
    revision: AtomicU64,
    bytes: AtomicU64,
    /// The newest checkpoint that is durable, which a failed try does not move. Relaxed, for it is only shown.
    durable: AtomicU64,
    /// One checkpoint at a time.
    working: Mutex<()>,
}

impl Keeper {
    /// A keeper; `revision` is that of the newest checkpoint.
    pub(super) fn new(
        log: Backend,
        checkpoints: Checkpoints,
        policy: KeeperPolicy,
        revision: u64,
    ) -> Self {
        Self {
            bytes: AtomicU64::new(log.appended_bytes()),
            log,
            checkpoints,
            policy,
            revision: AtomicU64::new(revision),
            durable: AtomicU64::new(revision),
            working: Mutex::new(()),
        }
    }

    /// The revision of the newest checkpoint.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.durable.load(Ordering::Relaxed)
    }

    /// Whether a checkpoint is due at `head`.
    #[must_use]
    pub fn is_due(&self, head: u64) -> bool {
        self.passed(head, 1)
    }

    /// Whether one is worth its time before the store is closed at `head`.
    #[must_use]
    pub fn is_due_at_shutdown(&self, head: u64) -> bool {
        self.passed(head, AT_SHUTDOWN)
    }

    fn passed(&self, head: u64, part: u64) -> bool {
        let records = head.saturating_sub(self.revision.load(Ordering::Relaxed));
        let bytes = self
            .log
            .appended_bytes()
            .saturating_sub(self.bytes.load(Ordering::Relaxed));
        records > 0
            && (records >= self.policy.every_records / part
                || bytes >= self.policy.every_bytes / part)
    }

    /// Writes a checkpoint of `snapshot`, removes those that are no longer needed, and compacts the log.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn keep(&self, snapshot: Arc<Snapshot>) -> Result<Kept, KeeperError> {
        let _working = self.working.lock().await;
        let (head, bytes) = (snapshot.revision(), self.log.appended_bytes());
        let checkpoints = self.checkpoints.clone();
        if seeded(Bug::UncoveredCompaction) {
            self.log.compact(head).await?;
        }
        let work = move || {
            let written = checkpoints.write(&snapshot)?;
            point(Point::CheckpointWritten);
            Ok((written, checkpoints.prune()?))
        };
        let written = tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)));
        // After a failure too: it is tried again when the next one is due, not with every batch.
        self.revision.fetch_max(head, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        let (checkpoint, covered) = written.map_err(|cause| KeeperError::Checkpoint {
            folder: self.checkpoints.folder().to_owned(),
            cause,
        })?;
        self.durable.fetch_max(head, Ordering::Relaxed);
        let covered = covered.map(|c| c.min(head.saturating_sub(self.policy.keep_records)));
        let oldest = match covered.filter(|revision| *revision > 0) {
            Some(revision) => Some(self.log.compact(revision).await?),
            None => None,
        };
        Ok(Kept { checkpoint, oldest })
    }

    /// Keeps checkpoints for as long as it is polled. Stop it by dropping it: a checkpoint under way is then left out.
    pub async fn run(&self, graph: &Graph) {
        loop {
            let epoch = graph.epoch();
            if self.is_due(graph.revisions().0) {
                let snapshot = graph.snapshot().shared();
                match self.keep(snapshot).await {
                    Ok(kept) => {
                        tracing::info!(checkpoint = %kept.checkpoint.display(), oldest = kept.oldest, "checkpoint written")
                    }
                    Err(error) => {
                        tracing::error!(%error, "no checkpoint; the log grows until there is one")
                    }
                }
            } else {
                graph.listen(epoch).await;
                tokio::time::sleep(LOOKS_AWAY).await;
            }
        }
    }
}
