//! The store as the services see it: backups, restores, the log's past, and how it is all doing.
//!
//! It joins what `storage` can do with the graph, and moves what blocks off the runtime's threads.

use crate::hints::Hints;
use crate::layer::in_call;
use crate::rpc::context::{
    BackupEntry, Compacted, Component, LogTail, RestoreOrder, Restored, Store, StoreError,
};
use crate::standing::Standing;
use crate::storage::{self, Backend, BackupError, SharedKeeper, StoreFiles};
use amadeus_proto::v1;
use futures::FutureExt;
use futures::future::BoxFuture;
use kg_core::commit::{CommitError, Graph, Held};
use kg_core::faults::{Point, point};
use kg_core::log::{CommitLog, ReadError, Record};
use kg_core::mutation::Mutation;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Backups that one list holds.
const LISTED: usize = storage::BACKUPS;

/// Records read at a time when the log is verified.
const VERIFIED: usize = 1_000;

/// The store of one server.
pub struct ServerStore {
    url: String,
    log: Backend,
    files: Option<StoreFiles>,
    /// Where the log is shared, and its checkpoints with it.
    shared_keeper: Option<Arc<SharedKeeper>>,
    graph: Arc<Graph>,
    standing: Arc<Standing>,
    hints: Hints,
    /// One restore at a time: each has to know what it replaces.
    restoring: Mutex<()>,
}

impl ServerStore {
    /// Joins a store with the graph that it keeps.
    #[must_use]
    pub fn new(
        url: String,
        log: Backend,
        files: Option<StoreFiles>,
        shared_keeper: Option<Arc<SharedKeeper>>,
        graph: Arc<Graph>,
        standing: Arc<Standing>,
        hints: Hints,
    ) -> Self {
        Self {
            url,
            log,
            files,
            shared_keeper,
            graph,
            standing,
            hints,
            restoring: Mutex::default(),
        }
    }

    fn files(&self) -> Result<&StoreFiles, StoreError> {
        let nowhere = || {
            StoreError::NotSupported(
                if self.log.is_shared() {
                    "a shared store has its backups where its database has them"
                } else {
                    "a store in memory has no place for backups: serve from sqlite://PATH"
                }
                .into(),
            )
        };
        self.files.as_ref().ok_or_else(nowhere)
    }

    async fn take_backup(
        &self,
        held: Held,
        description: String,
    ) -> Result<BackupEntry, StoreError> {
        let backups = self.files()?.backups.clone();
        blocking(move || backups.create(&held, &description))
            .await?
            .map_err(failed)
            .and_then(entry)
    }

    async fn list_backups(&self) -> Result<Vec<BackupEntry>, StoreError> {
        let Some(files) = &self.files else {
            return Ok(Vec::new());
        };
        let backups = files.backups.clone();
        let all = blocking(move || backups.list("", LISTED))
            .await?
            .map_err(failed)?;
        Ok(all
            .into_iter()
            .rev()
            .filter_map(|one| {
                // A damaged one restores nothing; whoever keeps the server hears of it, and its file stays.
                let told = entry(one).inspect_err(|error| {
                    in_call(|| tracing::warn!(%error, "left out of the list of backups"))
                });
                told.ok()
            })
            .collect())
    }

    async fn go_back(&self, mut order: RestoreOrder) -> Result<Restored, StoreError> {
        let files = self.files()?.clone();
        let _alone = self.restoring.lock().await;
        // Asked again, a restore that is done replaces nothing more, and needs no other backup of what it brought.
        let done = order
            .transaction
            .request
            .is_some_and(|request| self.graph.read(|s| s.requests().get(request.key).is_some()));
        let (id, lain) = (order.id.clone(), files.clone());
        let prepared = blocking(move || lain.backups.prepare_restore(&id, &lain.checkpoints))
            .await?
            .map_err(failed)?;
        point(Point::RestorePrepared);
        let (ahead, head) = (prepared.content.revision(), self.graph.revisions().0);
        if ahead > head {
            // Its entities were changed at revisions that this graph has not reached, and revisions never go back.
            let what = format!(
                "the backup {} is of revision {ahead}, this graph is at {head}",
                order.id
            );
            return Err(StoreError::NotSupported(format!(
                "{what}: make a new store of it with `amadeus serve --from-backup FILE`"
            )));
        }
        let description = format!("before the restore of {}", order.id);
        let before = self.graph.snapshot();
        let mut safety = None;
        if before.revision() > 0 && !done {
            safety = Some(self.take_backup(before, description.clone()).await?);
        }
        order.transaction.mutations = vec![Mutation::Restore {
            checkpoint: prepared.checkpoint,
            content: prepared.content,
        }];
        let pending = self
            .graph
            .submit(order.transaction)
            .map_err(StoreError::Commit)?;
        let abandoned = |_| {
            StoreError::Commit(CommitError::Unavailable(
                "the server is shutting down".into(),
            ))
        };
        let outcome = pending
            .await
            .map_err(abandoned)?
            .map_err(StoreError::Commit)?;
        point(Point::RestoreCommitted);
        // What was written while the backup was made is replaced too, and must not be missing from it.
        let replaced = outcome.revision.saturating_sub(1);
        if !outcome.repeated
            && safety.as_ref().map_or(0, |safety| safety.revision) != replaced
            && let Ok(before) = self.graph.snapshot_at(replaced)
        {
            match self.take_backup(before, description).await {
                Ok(whole) => safety = Some(whole),
                Err(error) => {
                    in_call(
                        || tracing::warn!(%error, replaced, "restored, but the last revisions before are in the log only"),
                    );
                }
            }
        }
        // With a checkpoint behind the restore no later start needs the restored file; without one it still finds it.
        if let Err(error) = files.keeper.keep(outcome.snapshot.clone()).await {
            in_call(|| tracing::warn!(%error, "restored, but no checkpoint behind it"));
        }
        Ok(Restored { outcome, safety })
    }

    /// The oldest revision whose record the log holds.
    async fn oldest(&self) -> Result<u64, StoreError> {
        match self.log.read(1, 1).await {
            Ok(_) => Ok(1),
            Err(ReadError::Compacted { oldest }) => Ok(oldest),
            Err(ReadError::Record { .. }) => Ok(1),
            Err(ReadError::Io(error)) => Err(StoreError::Io(error)),
        }
    }

    /// Writes a checkpoint and removes what it covers and the policy does not keep. Returns up to where two checkpoints cover
    /// the log, once there are two.
    async fn checkpoint(&self) -> Result<Option<u64>, StoreError> {
        let io = |error: &dyn std::fmt::Display| StoreError::Io(error.to_string());
        let snapshot = self.graph.snapshot().shared();
        if let Some(keeper) = &self.shared_keeper {
            let covered = keeper.keep(snapshot).await.map_err(|e| io(&e))?;
            if covered.is_some() {
                return Ok(covered);
            }
            // There is only one yet. Whoever asks for room gets it, once that one was read back and proved.
            let only = self.log.newest_checkpoint().await;
            return Ok(only
                .map_err(StoreError::Corrupt)?
                .map(|only| only.revision()));
        }
        let files = self.files()?;
        files.keeper.keep(snapshot).await.map_err(|e| io(&e))?;
        let checkpoints = files.checkpoints.clone();
        let covered = blocking(move || checkpoints.prune()).await?;
        covered.map_err(|e| io(&e))
    }

    async fn make_room(&self, keep_from: u64) -> Result<Compacted, StoreError> {
        let before = self.oldest().await?;
        let covered = self.checkpoint().await?;
        if let Some(wanted) = keep_from.checked_sub(1)
            && let Some(revision) = covered.map(|covered| covered.min(wanted))
            && revision >= before
        {
            let compacted = self.log.compact(revision).await;
            compacted.map_err(|e| StoreError::Io(e.to_string()))?;
        }
        let oldest = self.oldest().await?;
        Ok(Compacted {
            first_kept_revision: oldest,
            records_removed: oldest.saturating_sub(before),
        })
    }

    async fn prove(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        if let Some(files) = &self.files {
            let checkpoints = files.checkpoints.clone();
            let listed = blocking(move || checkpoints.list())
                .await?
                .map_err(|e| StoreError::Io(e.to_string()))?;
            found.extend(listed.into_iter().filter_map(|file| {
                file.header
                    .err()
                    .map(|error| format!("the checkpoint {} {error}", file.path.display()))
            }));
        }
        let oldest = self.oldest().await?;
        let head = self.graph.revisions().0;
        let mut next = oldest;
        while next <= head {
            match self.log.read(next, VERIFIED).await {
                Ok(records) if records.is_empty() => {
                    found.push(format!(
                        "the log ends before revision {next}, the graph is at {head}"
                    ));
                    break;
                }
                Ok(records) => next += records.len() as u64,
                Err(error @ (ReadError::Record { .. } | ReadError::Compacted { .. })) => {
                    found.push(error.to_string());
                    break;
                }
                Err(ReadError::Io(error)) => return Err(StoreError::Io(error)),
            }
        }
        Ok(found)
    }
}

impl LogTail for ServerStore {
    fn read(&self, from: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        self.log.read(from, limit).boxed()
    }

    fn last_revision(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        if self.log.is_shared() {
            return self.log.last_revision().boxed();
        }
        // An embedded store has one writer, this process: whatever its log holds and was acknowledged is published.
        let head = self.graph.revisions().0;
        async move { Ok(head) }.boxed()
    }
}

impl Store for ServerStore {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn checkpoint_revision(&self) -> u64 {
        let shared = self.shared_keeper.as_ref().map(|keeper| keeper.revision());
        let own = self.files.as_ref().map(|files| files.keeper.revision());
        shared.or(own).unwrap_or_default()
    }

    fn components(&self) -> Vec<Component> {
        let component = |name, fault: Option<String>, at_worst| Component {
            name,
            health: fault.as_ref().map_or(v1::Health::Up, |_| at_worst),
            message: fault.unwrap_or_default(),
        };
        let (down, degraded) = (v1::Health::Down, v1::Health::Degraded);
        let poison = self.graph.poisoned().map(ToString::to_string);
        let watermark = || component("watermark", self.log.watermark_fault(), degraded);
        let log = || component("log", self.standing.fault(), down);
        let redis = || component("redis", self.hints.fault(), degraded);
        std::iter::once(component("store", poison, down))
            .chain(self.files.is_some().then(watermark))
            .chain(self.log.is_shared().then(log))
            .chain(self.hints.are_wanted().then(redis))
            .collect()
    }

    fn backup(&self, description: String) -> BoxFuture<'_, Result<BackupEntry, StoreError>> {
        self.take_backup(self.graph.snapshot(), description).boxed()
    }

    fn backups(&self) -> BoxFuture<'_, Result<Vec<BackupEntry>, StoreError>> {
        self.list_backups().boxed()
    }

    fn restore(&self, order: RestoreOrder) -> BoxFuture<'_, Result<Restored, StoreError>> {
        self.go_back(order).boxed()
    }

    fn compact(&self, keep_from: u64) -> BoxFuture<'_, Result<Compacted, StoreError>> {
        self.make_room(keep_from).boxed()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        self.prove().boxed()
    }
}

/// What blocks, on a thread for that. A panic there is a bug, told as one.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Io(format!("work on the store ended badly: {error}")))
}

fn entry(found: storage::BackupEntry) -> Result<BackupEntry, StoreError> {
    let content = found
        .content
        .map_err(|what| StoreError::Corrupt(format!("the backup {} {what}", found.id)))?;
    Ok(BackupEntry {
        id: found.id,
        description: content.description,
        revision: content.revision,
        hash: content.hash,
        size_bytes: found.size,
        created_ms: content.created_ms,
        entities: content.entities,
        relations: content.relations,
    })
}

fn failed(error: BackupError) -> StoreError {
    use kg_core::error::Fault;
    match &error {
        BackupError::NotFound(id) => StoreError::NotFound(format!("backup {id:?}")),
        BackupError::Unreadable { .. } | BackupError::NotProved { .. } => {
            StoreError::Corrupt(error.to_string())
        }
        BackupError::TooMany(_) => StoreError::Full(error.to_string()),
        BackupError::DescriptionTooLong(_) => {
            StoreError::Invalid(Fault::new("description", error.to_string()))
        }
        BackupError::Io { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull => {
            StoreError::Full(error.to_string())
        }
        BackupError::Io { .. } => StoreError::Io(error.to_string()),
    }
}
