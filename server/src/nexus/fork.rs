//! A copy of the graph on which something is tried: it begins with one revision, changes in memory, and is gone afterwards.
//!
//! What reads and writes it is what reads and writes the real one, over a [`Context`] of its own. Nothing leads back: its log is in
//! memory, its store refuses everything, and it has no leases.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kg_core::commit::{Committer, Graph, Held, Settled};
use kg_core::log::{CommitLog, InlineLog, MemoryLog, ReadError, Record};
use tokio::task::JoinHandle;

use crate::rpc::Context;
use crate::rpc::context::{
    BackupEntry, Compacted, Component, LogTail, RestoreOrder, Restored, Store, StoreError,
};

/// A copy of the graph. Dropped, it is closed.
pub struct Fork {
    /// The copy, as services see it.
    pub context: Arc<Context>,
    committing: JoinHandle<()>,
}

impl Fork {
    /// A copy that begins with one state of this graph. Needs a tokio runtime.
    #[must_use]
    pub fn of(real: &Context, at: &Held) -> Self {
        let (graph, log) = real.graph.fork(at);
        let committing = tokio::spawn(commit(graph.clone(), log.clone()));
        let behind = Arc::new(Memory(log));
        let stopping = real.stopping.clone();
        Self {
            context: Context::new(graph, behind.clone(), behind, real.clock, stopping),
            committing,
        }
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        self.context.graph.close();
        self.committing.abort();
    }
}

/// Commits what is submitted until the graph is closed.
async fn commit(graph: Arc<Graph>, mut log: MemoryLog) {
    let mut committer = Committer::new(graph.clone(), 0);
    loop {
        let seen = graph.work_epoch();
        while let Some(staged) = committer.stage() {
            let batch = staged.batch.as_ref();
            let appended = batch.map_or(Ok(()), |batch| log.append_now(batch));
            match committer.settle(staged, appended) {
                Settled::Done => {}
                Settled::Repeat(_) | Settled::CatchUp => {
                    graph.poison("the log of a copy has one writer, and another was there");
                }
            }
            tokio::task::yield_now().await;
        }
        if graph.is_drained() {
            return;
        }
        graph.listen_for_work(seen).await;
    }
}

/// What is behind a graph of a test that nothing is behind.
#[cfg(test)]
pub fn nothing_behind() -> Arc<impl LogTail + Store> {
    Arc::new(Memory(MemoryLog::new()))
}

/// What is behind a copy.
struct Memory(MemoryLog);

impl LogTail for Memory {
    fn read(&self, from: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        CommitLog::read(&self.0, from, limit).boxed()
    }

    fn last_revision(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        CommitLog::last_revision(&self.0).boxed()
    }
}

fn none<T: Send + 'static>() -> BoxFuture<'static, Result<T, StoreError>> {
    let why = "a copy of the graph has no store";
    ready(Err(StoreError::NotSupported(why.into()))).boxed()
}

impl Store for Memory {
    fn url(&self) -> String {
        "memory:".into()
    }

    fn checkpoint_revision(&self) -> u64 {
        0
    }

    fn components(&self) -> Vec<Component> {
        Vec::new()
    }

    fn backup(&self, _: String) -> BoxFuture<'_, Result<BackupEntry, StoreError>> {
        none()
    }

    fn backups(&self) -> BoxFuture<'_, Result<Vec<BackupEntry>, StoreError>> {
        none()
    }

    fn restore(&self, _: RestoreOrder) -> BoxFuture<'_, Result<Restored, StoreError>> {
        none()
    }

    fn compact(&self, _: u64) -> BoxFuture<'_, Result<Compacted, StoreError>> {
        none()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kg_core::model::{Path, Value};
    use kg_core::mutation::{Mutation, Transaction};
    use tokio::sync::watch;

    fn says(text: &str) -> Transaction {
        Transaction::of(vec![Mutation::UpdateNode {
            path: Path::parse("notes.text").expect("a path"),
            value: Value::string(text),
        }])
    }

    fn said(context: &Context) -> Value {
        let path = Path::parse("notes.text").expect("a path");
        context.graph.read(|s| s.node(&path).expect("it is there"))
    }

    #[tokio::test]
    async fn a_copy_and_the_graph_that_it_is_of_do_not_see_each_other() {
        let graph = Graph::in_memory();
        graph.commit(says("first")).expect("committed");
        let at = graph.snapshot();
        graph.commit(says("real")).expect("committed");
        let behind = Arc::new(Memory(MemoryLog::new()));
        let (_stop, stopping) = watch::channel(false);
        let real = Context::new(graph.clone(), behind.clone(), behind, || 1, stopping);

        let fork = Fork::of(&real, &at);
        assert_eq!(said(&fork.context), Value::string("first"));
        let outcome = fork
            .context
            .commit(says("copied"))
            .await
            .expect("committed");
        assert_eq!(outcome.revision, at.revision() + 1);
        graph.commit(says("real again")).expect("committed");
        assert_eq!(said(&fork.context), Value::string("copied"));
        assert_eq!(said(&real), Value::string("real again"));
        let last = fork.context.log.last_revision().await;
        assert_eq!(last.expect("the log answers"), outcome.revision);
    }
}
