//! A folder with a store in it, for one test.

use amadeus::storage::{Backend, KeeperPolicy, OpenError, OpenOptions, Opened, open};
use kg_core::commit::{CommitError, Committer, Graph, Options, Outcome, Settled};
use kg_core::log::CommitLog;
use kg_core::model::{EntityRef, Object, Path as DotPath, Value};
use kg_core::mutation::{Mutation, Transaction};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The folder; gone when dropped.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub fn db(&self) -> PathBuf {
        self.folder.path().join("graph.db")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("sqlite://{}", self.db().display())
    }

    pub fn file(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("graph.db{suffix}"))
    }

    pub async fn open(&self) -> Result<Opened, OpenError> {
        open(&self.url(), &options()).await
    }

    pub async fn server(&self) -> Server {
        Server::of(self.open().await.expect("it opens"))
    }

    /// What is on the disk at this moment, as a process that is killed now would leave it.
    pub fn crashed(&self) -> Self {
        let copy = Self::new();
        copy_all(self.folder.path(), copy.folder.path());
        copy
    }

    /// Every file with its bytes; without SQLite's index, which it may rebuild, and without the lock.
    pub fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        gather(self.folder.path(), &mut all);
        all.retain(|path, _| {
            let name = path.to_string_lossy();
            !name.ends_with("-shm") && !name.ends_with(".lock")
        });
        all
    }
}

/// Checkpoints when a test asks for them, and compaction behind the last ten records.
pub fn options() -> OpenOptions {
    OpenOptions {
        keeper: KeeperPolicy {
            keep_records: 10,
            ..KeeperPolicy::default()
        },
        ..OpenOptions::default()
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("there is room");
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("there is room");
        }
    }
}

fn gather(folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            gather(&path, all);
        } else {
            let bytes = fs::read(&path).expect("it can be read");
            all.insert(path, bytes);
        }
    }
}

/// A graph on an open store, and the loop that a committer task runs, without the pauses.
pub struct Server {
    pub opened: Opened,
    pub graph: Arc<Graph>,
    committer: Committer,
    log: Backend,
}

impl Server {
    pub fn of(opened: Opened) -> Self {
        let options = Options {
            store_id: opened.store_id.clone(),
            ..Options::default()
        };
        let graph = Arc::new(Graph::new(opened.history.clone(), &options));
        Self {
            committer: Committer::new(graph.clone(), 1),
            log: opened.backend.clone(),
            graph,
            opened,
        }
    }

    pub async fn commit(&mut self, transaction: Transaction) -> Result<Outcome, CommitError> {
        let pending = self.graph.submit(transaction).expect("there is room");
        while let Some(staged) = self.committer.stage() {
            let appended = match &staged.batch {
                Some(batch) => self.log.append(batch).await,
                None => Ok(()),
            };
            assert!(
                matches!(self.committer.settle(staged, appended), Settled::Done),
                "nobody else writes"
            );
        }
        pending.await.expect("it was answered")
    }

    /// Commits `count` more transactions.
    pub async fn grow(&mut self, count: u64) {
        for _ in 0..count {
            let next = self.graph.revisions().0 + 1;
            let outcome = self.commit(step(next)).await.expect("it commits");
            assert_eq!(outcome.revision, next);
        }
    }

    pub async fn checkpoint(&self) {
        let files = self.opened.files.as_ref().expect("it is on disk");
        files
            .keeper
            .keep(self.graph.snapshot().shared())
            .await
            .expect("there is room");
    }

    /// Revision and hash.
    pub fn head(&self) -> (u64, u128) {
        self.graph.read(|s| (s.revision(), s.hash()))
    }

    pub async fn close(self) {
        self.opened.backend.close().await.expect("it closes");
    }
}

/// The transaction that makes revision `n`: a few entities, one of them anew each time, and a document.
pub fn step(n: u64) -> Transaction {
    let properties = |text: String| {
        let mut object = Object::new();
        object.insert(
            "note".into(),
            Value::from_json(text.as_bytes()).expect("valid JSON"),
        );
        object
    };
    let entity = |name: String, text: String| Mutation::PutEntity {
        key: EntityRef::parse("key", &name).expect("a valid name"),
        properties: properties(text),
    };
    Transaction {
        actor: "test".into(),
        time_ms: 1_700_000_000_000 + n * 100,
        ..Transaction::of(vec![
            entity(format!("team/t-{n}"), format!("\"{}\"", "x".repeat(200))),
            entity("team/all".into(), n.to_string()),
            Mutation::UpdateNode {
                path: DotPath::parse(&format!("notes.n{}", n % 7)).expect("a valid path"),
                value: Value::from_json(format!("[{n}]").as_bytes()).expect("valid JSON"),
            },
        ])
    }
}
