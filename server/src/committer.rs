//! The committer task: the only writer of the log and of the head.
//!
//! One loop: stage what waits, append it as one batch, settle. All decisions are `kg_core::commit::Committer`'s; this file
//! awaits, measures, and pauses between tries. It runs until the graph is closed and drained.

use crate::metrics::Metrics;
use crate::storage::Backend;
use futures::FutureExt as _;
use kg_core::commit::{CommitError, Committer, Graph, Settled, Staged};
use kg_core::log::{AppendError, CommitLog};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::RuntimeFlavor;

/// First pause before an unanswered append is repeated; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Records read at a time when another writer was first.
const CATCH_UP: usize = 1_000;

/// Bytes of waiting transactions whose planning takes a thread for milliseconds.
const LONG_BYTES: usize = 1024 * 1024;

/// The committer of one server.
pub struct CommitterTask {
    committer: Committer,
    log: Backend,
    metrics: Arc<Metrics>,
}

impl CommitterTask {
    /// Sets the task up. `seed` makes the batch ids of different processes differ.
    #[must_use]
    pub fn new(graph: Arc<Graph>, log: Backend, metrics: Arc<Metrics>, seed: u64) -> Self {
        Self {
            committer: Committer::new(graph, seed),
            log,
            metrics,
        }
    }

    /// Commits until the graph is closed and everything that was accepted has its answer; returns the log to be closed.
    ///
    /// A panic is a bug, and leaves nobody waiting: whoever was in that batch hears that its outcome is unknown, writes are
    /// refused from then on, readiness drops, and reads go on.
    pub async fn run(mut self) -> Backend {
        while AssertUnwindSafe(self.serve()).catch_unwind().await.is_err() {
            self.give_up(
                "the committer failed, and the server takes no more writes until it is restarted; its log tells why",
            );
        }
        self.log
    }

    async fn serve(&mut self) {
        let graph = self.committer.graph().clone();
        loop {
            let epoch = graph.work_epoch();
            let began = Instant::now();
            if let Some(staged) = self.stage() {
                self.metrics.commit_stage("plan", began.elapsed());
                self.commit(staged).await;
            } else if graph.is_drained() {
                return;
            } else {
                graph.listen_for_work(epoch).await;
            }
        }
    }

    /// Plans a batch; a large one without keeping a thread from the calls that wait behind it.
    fn stage(&mut self) -> Option<Staged> {
        let threads = tokio::runtime::Handle::current().runtime_flavor();
        if self.committer.graph().queue_bytes() < LONG_BYTES
            || threads != RuntimeFlavor::MultiThread
        {
            return self.committer.stage();
        }
        tokio::task::block_in_place(|| self.committer.stage())
    }

    async fn commit(&mut self, mut staged: Staged) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let appended = match &staged.batch {
                Some(batch) => self.log.append(batch).await,
                None => Ok(()),
            };
            self.metrics.commit_stage("append", began.elapsed());
            self.report(&staged, &appended);
            let began = Instant::now();
            match self.committer.settle(staged, appended) {
                Settled::Done => {
                    self.metrics.commit_stage("publish", began.elapsed());
                    return;
                }
                Settled::Repeat(same) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    staged = same;
                }
                Settled::CatchUp => return self.catch_up().await,
            }
        }
    }

    fn report(&self, staged: &Staged, appended: &Result<(), AppendError>) {
        self.metrics.commit_batch(staged.transactions());
        match appended {
            Ok(()) => self.metrics.degraded("store", false),
            Err(AppendError::MovedOn { last }) => tracing::debug!(last, "another writer was first"),
            Err(error) => {
                self.metrics.degraded("store", true);
                tracing::error!(%error, transactions = staged.transactions(), "append failed");
            }
        }
    }

    /// Reads what another writer committed and shows it; what could not be committed waits at the front of the queue.
    async fn catch_up(&mut self) {
        loop {
            let head = self.committer.graph().revisions().0;
            let records = match self.log.read(head + 1, CATCH_UP).await {
                Ok(records) if records.is_empty() => return,
                Ok(records) => records,
                Err(error) => return self.give_up(&format!(
                    "what another writer committed after revision {head} cannot be read: {error}"
                )),
            };
            if let Err(error) = self.committer.catch_up(records) {
                return self.give_up(&format!("the log contradicts this server: {error}"));
            }
        }
    }

    fn give_up(&mut self, why: &str) {
        tracing::error!(why, "writing stops");
        self.metrics.degraded("store", true);
        self.committer.graph().poison(why);
        self.committer
            .fail_waiting(&CommitError::Unavailable(why.to_owned()));
    }
}
