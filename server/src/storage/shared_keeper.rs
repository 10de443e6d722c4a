//! The keeper of a shared log: writes checkpoints into the database and removes the records that they cover.
//!
//! Every server runs one. They take turns by themselves: whoever finds that a checkpoint is due, and that no other server is
//! at it, makes it.

use super::keeper::KeeperPolicy;
use super::postgres::{KeepError, PostgresLog};
use kg_core::commit::Graph;
use kg_core::log::AppendError;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks whether a checkpoint is due.
const LOOKS: Duration = Duration::from_secs(1);

/// Keeps the checkpoints of a shared log, as one of many.
pub struct SharedKeeper {
    log: PostgresLog,
    store_id: Arc<str>,
    policy: KeeperPolicy,
}

/// Why nothing was done; what was there is as good as before.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Keep(#[from] KeepError),
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
        }
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

    async fn look(&self, graph: &Graph) -> Result<Option<u64>, Failed> {
        let newest = self.log.checkpoints().await.map_err(KeepError::from)?;
        let newest = newest.first().copied().unwrap_or_default();
        let snapshot = graph.snapshot().shared();
        let revision = snapshot.revision();
        if revision.saturating_sub(newest) < self.policy.every_records {
            return Ok(None);
        }
        let covered = self.log.keep(snapshot, &self.store_id).await?;
        let upto =
            covered.map(|covered| covered.min(revision.saturating_sub(self.policy.keep_records)));
        if let Some(upto) = upto.filter(|upto| *upto > 0) {
            self.log.compact(upto).await?;
        }
        Ok(Some(revision))
    }
}
