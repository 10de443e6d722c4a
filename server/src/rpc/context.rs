//! What every service works with: the graph, the log behind it, the store, and the registries of pages and watchers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use amadeus_proto::v1;
use futures::future::BoxFuture;
use kg_core::commit::{CommitError, Graph, Outcome};
use kg_core::error::Fault;
use kg_core::limits::{IMPORTS_BYTES, WATCHERS};
use kg_core::log::{ReadError, Record};
use tokio::sync::{Semaphore, watch};
use tonic::Status;

use super::freshness::LastRevision;
use super::pages::Pages;
use super::status;
use super::views::Views;
use crate::liveness::Leases;

/// The durable log, as readers need it.
pub trait LogTail: Send + Sync {
    /// At most `limit` records from revision `from` on; fewer only at the end of the log, or to bound memory.
    fn read(&self, from: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>>;

    /// The revision that the log ends at, asked now.
    fn last_revision(&self) -> BoxFuture<'_, Result<u64, ReadError>>;
}

/// What is known of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupEntry {
    /// Its name, which restores it.
    pub id: String,
    /// What whoever asked for it said about it.
    pub description: String,
    /// The revision that it holds.
    pub revision: u64,
    /// The hash of what it holds.
    pub hash: u128,
    /// Bytes of its file.
    pub size_bytes: u64,
    /// When it was taken, in milliseconds since 1970.
    pub created_ms: u64,
    /// Entities in it, without placeholders.
    pub entities: u64,
    /// Relations in it.
    pub relations: u64,
}

/// What came of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What became of the transaction.
    pub outcome: Outcome,
    /// A backup of what it replaced; none if the graph was empty or nothing changed.
    pub safety: Option<BackupEntry>,
}

/// Who asks for a restore, and why.
#[derive(Clone, Debug, Default)]
pub struct RestoreOrder {
    /// The backup.
    pub id: String,
    /// What to keep in the record.
    pub transaction: kg_core::mutation::Transaction,
}

/// What came of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The oldest revision whose record the log still holds.
    pub first_kept_revision: u64,
    /// How many records went.
    pub records_removed: u64,
}

/// How one thing that the server needs is doing.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name, such as `store`.
    pub name: &'static str,
    /// How it is.
    pub health: v1::Health,
    /// Why, for people; may be empty.
    pub message: String,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing in it.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The request is wrong.
    #[error("{0}")]
    Invalid(Fault),
    /// What it holds is damaged.
    #[error("{0}")]
    Corrupt(String),
    /// There is no room.
    #[error("the store is full: {0}")]
    Full(String),
    /// This kind of store cannot do it.
    #[error("{0}")]
    NotSupported(String),
    /// It cannot be reached.
    #[error("{0}")]
    Io(String),
    /// The transaction that it led to was not carried out.
    #[error(transparent)]
    Commit(CommitError),
}

/// The store, as `AdminService` needs it.
pub trait Store: Send + Sync {
    /// Where the graph is kept, as a URL without passwords.
    fn url(&self) -> String;

    /// The last revision that a checkpoint covers; 0 for none.
    fn checkpoint_revision(&self) -> u64;

    /// How the store and what it consists of are doing.
    fn components(&self) -> Vec<Component>;

    /// Writes the head into a file of its own and verifies it.
    fn backup(&self, description: String) -> BoxFuture<'_, Result<BackupEntry, StoreError>>;

    /// All backups, newest first.
    fn backups(&self) -> BoxFuture<'_, Result<Vec<BackupEntry>, StoreError>>;

    /// Keeps a backup of the head, then commits a return to another backup. The order's transaction has no mutation yet.
    fn restore(&self, order: RestoreOrder) -> BoxFuture<'_, Result<Restored, StoreError>>;

    /// Removes records that a checkpoint covers; 0 keeps what the configuration says.
    fn compact(&self, keep_from: u64) -> BoxFuture<'_, Result<Compacted, StoreError>>;

    /// Reads everything that is stored back; what is wrong with it, for people.
    fn verify(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;
}

/// What every service works with.
pub struct Context {
    /// The graph.
    pub graph: Arc<Graph>,
    /// The log behind it.
    pub log: Arc<dyn LogTail>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
    /// Turns true when the server stops; streams end then.
    pub stopping: watch::Receiver<bool>,
    /// What those see who do not see everything.
    pub views: Views,
    /// Snapshots that page tokens keep.
    pub pages: Pages,
    /// Bytes that imports may still hold together.
    pub imports: Arc<Semaphore>,
    /// Open watches.
    pub watchers: Watchers,
    /// The log's last revision, asked once for all who wait.
    pub last_revision: LastRevision,
    /// The leases. Somebody has to keep them: see [`crate::liveness::LeaseKeeper`].
    pub leases: Arc<Leases>,
    /// When the process started.
    pub started: Instant,
    /// The same, in milliseconds since 1970.
    pub started_ms: u64,
}

impl Context {
    /// A context with empty registries.
    #[must_use]
    pub fn new(
        graph: Arc<Graph>,
        log: Arc<dyn LogTail>,
        store: Arc<dyn Store>,
        clock: fn() -> u64,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            graph,
            log,
            store,
            clock,
            stopping,
            views: Views::default(),
            pages: Pages::default(),
            imports: Arc::new(Semaphore::new(IMPORTS_BYTES)),
            watchers: Watchers::default(),
            last_revision: LastRevision::default(),
            leases: Arc::default(),
            started: Instant::now(),
            started_ms: clock(),
        })
    }

    /// The header of a reply that was read at `revision`.
    #[must_use]
    pub fn header(&self, revision: u64) -> Option<v1::ResponseHeader> {
        Some(v1::ResponseHeader {
            revision,
            oldest_revision: self.graph.revisions().1,
            store_id: self.graph.store_id().to_string(),
        })
    }

    /// Ends when the server stops.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that nobody is left who could stop it; then it never does.
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Counts open watches, and bounds them.
#[derive(Clone, Debug, Default)]
pub struct Watchers(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    resyncs: AtomicU64,
}

/// One open watch.
#[derive(Debug)]
pub struct Watching(Arc<Counts>);

impl Watchers {
    /// Counts one more.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when there are as many as there may be.
    pub fn open(&self) -> Result<Watching, Status> {
        // Relaxed: a count that orders nothing.
        let before = self.0.open.fetch_add(1, Ordering::Relaxed);
        let watching = Watching(self.0.clone());
        if before >= WATCHERS {
            return Err(status::exhausted(format!(
                "{WATCHERS} watches are open, which is the most there may be"
            )));
        }
        Ok(watching)
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// How many were told to read the state again, since the start.
    #[must_use]
    pub fn resyncs(&self) -> u64 {
        self.0.resyncs.load(Ordering::Relaxed)
    }
}

impl Watching {
    /// Counts a resync.
    pub fn resync(&self) {
        self.0.resyncs.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
