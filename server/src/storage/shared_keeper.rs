//! The keeper of a shared log: writes checkpoints into the database and removes the records that they cover.
//!
//! Every server runs one. They take turns by themselves: whoever finds that a checkpoint is due, and that no other server is
//! at it, makes it.

use super::keeper::KeeperPolicy;
use super::postgres::{KeepError, PostgresLog};
use kg_core::commit::Graph;
use kg_core::log::AppendError;
use kg_core::snapshot::Snapshot;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often it looks whether a checkpoint is due.
const LOOKS: Duration = Duration::from_secs(1);

/// Keeps the checkpoints of a shared log, as one of many.
pub struct SharedKeeper {
    log: PostgresLog,
    store_id: Arc<str>,
    policy: KeeperPolicy,
    /// The newest checkpoint that was seen. Relaxed, for it is only shown.
    newest: AtomicU64,
}

/// Why nothing was done; what was there is as good as before.
#[derive(Debug, thiserror::Error)]
pub enum SharedKeeperError {
    /// The checkpoint could not be written.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Records could not be removed.
    #[error("the log could not be compacted: {0}")]
    Compact(#[from] AppendError),
}

impl SharedKeeper {
    /// A keeper of this log.
    #[must_use]
    pub fn new(log: PostgresLog, store_id: Arc<str>, policy: KeeperPolicy) -> Self {
        Self {
            log,
            store_id,
            policy,
            newest: AtomicU64::new(0),
        }
    }

    /// The revision of the newest checkpoint, as it was last looked; 0 for none.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Keeps checkpoints for as long as it is polled.
    pub async fn run(&self, graph: &Graph) {
        loop {
            tokio::time::sleep(LOOKS).await;
            match self.look(graph).await {
                Ok(None) => {}
                Ok(Some(revision)) => tracing::info!(revision, "checkpoint written"),
                Err(error) => {
                    tracing::warn!(%error, "no checkpoint; the log grows until there is one");
                }
            }
        }
    }

    async fn look(&self, graph: &Graph) -> Result<Option<u64>, SharedKeeperError> {
        let newest = self.log.checkpoints().await.map_err(KeepError::from)?;
        let newest = newest.first().copied().unwrap_or_default();
        self.newest.fetch_max(newest, Ordering::Relaxed);
        let snapshot = graph.snapshot().shared();
        let revision = snapshot.revision();
        if revision.saturating_sub(newest) < self.policy.every_records {
            return Ok(None);
        }
        self.keep(snapshot).await?;
        Ok(Some(revision))
    }

    /// Writes a checkpoint of `snapshot`, unless another server is at it, and removes the records that are covered and that
    /// the policy does not keep. Returns the revision up to which two checkpoints cover the log, once there are two.
    ///
    /// # Errors
    /// [`SharedKeeperError`].
    pub async fn keep(&self, snapshot: Arc<Snapshot>) -> Result<Option<u64>, SharedKeeperError> {
        let revision = snapshot.revision();
        let covered = self.log.keep(snapshot, &self.store_id).await?;
        self.newest.fetch_max(revision, Ordering::Relaxed);
        let upto =
            covered.map(|covered| covered.min(revision.saturating_sub(self.policy.keep_records)));
        if let Some(upto) = upto.filter(|upto| *upto > 0) {
            self.log.compact(upto).await?;
        }
        Ok(covered)
    }
}
