//! The committer task: the only writer of the log and of the head.
//!
//! One loop: stage what waits, append it as one batch, settle. All decisions are `kg_core::commit::Committer`'s; this file
//! awaits, measures, and pauses between tries. It runs until the graph is closed and drained.
//!
//! Where other servers write to the same log it follows them as well: whenever nothing waits it looks for what they wrote,
//! after each hint and at least every [`POLL`]; while it writes, an append that was not the first finds it out. A log that
//! does not answer poisons nothing. Whoever has waited for [`NOTICE`] is told that the outcome is unknown, and the batch goes
//! on being appended until it is known.

use crate::hints::Hints;
use crate::metrics::Metrics;
use crate::standing::Standing;
use crate::storage::Backend;
use futures::FutureExt as _;
use kg_core::commit::{CommitError, Committer, Graph, Settled, Staged};
use kg_core::log::{AppendError, CommitLog, ReadError};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::RuntimeFlavor;

/// First pause before an unanswered append is repeated; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Records read at a time when another writer was first.
const CATCH_UP: usize = 1_000;

/// How long a server does not look for what others wrote, where no hint comes. With the look itself, and the reading, they
/// are shown within 100 ms.
pub const POLL: Duration = Duration::from_millis(80);

/// How long a log may be out of reach before those who wait for it are told.
const NOTICE: Duration = Duration::from_secs(5);

/// How long a server does not look after it has, also where a hint comes: what a busy writer commits meanwhile is read together.
const APART: Duration = Duration::from_millis(5);

/// How long a shared log that stands still is taken to be the one that it was.
const COMPARED: Duration = Duration::from_secs(5);

/// Bytes of waiting transactions whose planning takes a thread for milliseconds.
const LONG_BYTES: usize = 1024 * 1024;

/// The committer of one server.
pub struct CommitterTask {
    committer: Committer,
    log: Backend,
    metrics: Arc<Metrics>,
    hints: Hints,
    standing: Arc<Standing>,
    /// When the log was last asked for what others wrote.
    looked: Instant,
    /// Whether a hint has come since then.
    hinted: bool,
    /// When its last record was last compared with ours.
    compared: Instant,
    /// Whether the last append failed, though the log may be read.
    refused: bool,
    /// Since when the log has been out of reach.
    unreachable: Option<Instant>,
}

impl CommitterTask {
    /// Sets the task up. `seed` makes the batch ids of different processes differ.
    #[must_use]
    pub fn new(
        graph: Arc<Graph>,
        log: Backend,
        metrics: Arc<Metrics>,
        hints: Hints,
        standing: Arc<Standing>,
        seed: u64,
    ) -> Self {
        Self {
            committer: Committer::new(graph, seed),
            log,
            metrics,
            hints,
            standing,
            looked: Instant::now(),
            hinted: false,
            compared: Instant::now(),
            refused: false,
            unreachable: None,
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
            let follows = self.log.is_shared() && graph.poisoned().is_none();
            let pause = if self.hinted { APART } else { POLL };
            if follows && self.looked.elapsed() >= pause {
                self.follow().await;
            }
            let began = Instant::now();
            if let Some(staged) = self.stage() {
                self.metrics.commit_stage("plan", began.elapsed());
                self.commit(staged).await;
            } else if graph.is_drained() {
                return;
            } else if follows {
                let pause = if self.hinted { APART } else { POLL };
                let rest = pause.saturating_sub(self.looked.elapsed());
                tokio::select! {
                    () = graph.listen_for_work(epoch) => {}
                    () = self.hints.heard(), if !self.hinted => self.hinted = true,
                    () = tokio::time::sleep(rest) => {}
                }
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
                None => self.confirm().await,
            };
            self.metrics.commit_stage("append", began.elapsed());
            self.report(&staged, &appended);
            let failed = appended.as_ref().err().map(ToString::to_string);
            let settling = Instant::now();
            match self.committer.settle(staged, appended) {
                Settled::Done => {
                    self.metrics.commit_stage("publish", settling.elapsed());
                    self.hints.tell(self.committer.graph().revisions().0);
                    return;
                }
                Settled::Repeat(same) => {
                    staged = same;
                    let what = failed.as_deref().unwrap_or("the log does not answer");
                    if let Some(error) = self.overdue(what, began) {
                        staged.give_notice(&error);
                        self.committer.fail_waiting(&error);
                        if self.committer.graph().is_drained() {
                            tracing::error!(
                                "the last batch is left to the log: its outcome is not known"
                            );
                            return;
                        }
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Settled::CatchUp => return self.catch_up().await,
            }
        }
    }

    /// A refusal is an answer about the state as well. Where nothing is appended, a shared log still has to say that what it
    /// was judged by was its end; an append would have found out.
    async fn confirm(&self) -> Result<(), AppendError> {
        if !self.log.is_shared() {
            return Ok(());
        }
        let head = self.committer.graph().revisions().0;
        match self.log.last_revision().await {
            Ok(last) if last > head => Err(AppendError::MovedOn { last }),
            Ok(last) if last < head => Err(AppendError::Broken(lost_its_end(last, head))),
            Ok(_) => Ok(()),
            Err(error) => Err(AppendError::Unavailable(error.to_string())),
        }
    }

    fn report(&mut self, staged: &Staged, appended: &Result<(), AppendError>) {
        self.metrics.commit_batch(staged.transactions());
        self.refused = !matches!(appended, Ok(()) | Err(AppendError::MovedOn { .. }));
        match appended {
            // Also a look: nobody else was first.
            Ok(()) => self.answered(),
            Err(AppendError::MovedOn { last }) => {
                self.answered();
                tracing::debug!(last, "another writer was first");
            }
            Err(error) => {
                self.metrics.degraded("store", true);
                tracing::error!(%error, transactions = staged.transactions(), "append failed");
            }
        }
    }

    /// Looks for what other servers wrote, and shows it.
    async fn follow(&mut self) {
        if std::mem::take(&mut self.hinted) {
            // There is something: the question for it is the question whether there is.
            return self.catch_up().await;
        }
        let began = Instant::now();
        let head = self.committer.graph().revisions().0;
        let last = self.log.last_revision().await;
        self.looked = Instant::now();
        match last {
            Ok(last) => {
                self.answered();
                self.metrics.replica_lag(last.saturating_sub(head));
                if last > head {
                    self.catch_up().await;
                } else if last < head {
                    self.give_up(&lost_its_end(last, head));
                } else if self.compared.elapsed() >= COMPARED {
                    self.compare(head).await;
                }
            }
            Err(error) => self.not_read(head, &error, began).await,
        }
    }

    /// A log that was set back and written to since may end where ours does, with another record.
    async fn compare(&mut self, head: u64) {
        self.compared = Instant::now();
        let ours = self.committer.graph().published();
        let Some(ours) = ours.history.record(head) else {
            return;
        };
        // Whatever else is wrong is found when the log is followed.
        if let Ok(records) = self.log.read(head, 1).await
            && let [theirs] = &*records
            && theirs.encode() != ours.encode()
        {
            self.give_up(&format!(
                "the log holds another record of revision {head} than this server has shown: it is not the log that was written to"
            ));
        }
    }

    /// Reads what another writer committed and shows it; what could not be committed waits at the front of the queue.
    async fn catch_up(&mut self) {
        loop {
            let began = Instant::now();
            let head = self.committer.graph().revisions().0;
            let records = match self.log.read(head + 1, CATCH_UP).await {
                Ok(records) => records,
                Err(ReadError::Compacted { oldest }) if self.log.is_shared() => {
                    if self.jump(head, oldest).await {
                        continue;
                    }
                    return;
                }
                Err(error) => return self.not_read(head, &error, began).await,
            };
            self.answered();
            let count = records.len();
            self.metrics.replica_lag(count as u64);
            if let Err(error) = self.committer.catch_up(records) {
                return self.give_up(&format!("the log contradicts this server: {error}"));
            }
            // What is left, if anything is, is found by the next look.
            if count < CATCH_UP {
                return;
            }
        }
    }

    /// Goes on from a checkpoint, where the log was compacted past this server while it slept. Whether it could.
    async fn jump(&mut self, head: u64, oldest: u64) -> bool {
        let why = match self.log.newest_checkpoint().await {
            Ok(Some(later)) => {
                let to = later.revision();
                if self.committer.jump(later) {
                    tracing::warn!(
                        head,
                        to,
                        oldest,
                        "the log was compacted past this server: it goes on from a checkpoint, and watchers that were behind begin anew"
                    );
                    return true;
                }
                format!("the newest checkpoint is of revision {to}")
            }
            Ok(None) => "there is no checkpoint".to_owned(),
            Err(error) => error,
        };
        self.give_up(&format!(
            "the log keeps revisions from {oldest} on, this server has shown {head}, and {why}"
        ));
        false
    }

    /// What others wrote could not be read. A shared log that does not answer will answer again.
    async fn not_read(&mut self, head: u64, error: &ReadError, began: Instant) {
        let what =
            format!("what another writer committed after revision {head} cannot be read: {error}");
        if !matches!(error, ReadError::Io(_)) || !self.log.is_shared() {
            return self.give_up(&what);
        }
        if self.unreachable.is_none() {
            tracing::error!(%error, head, "the log cannot be read; it is tried again until it can");
        }
        self.metrics.degraded("store", true);
        if let Some(error) = self.overdue(&what, began) {
            self.committer.fail_waiting(&error);
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }

    fn answered(&mut self) {
        if self.committer.graph().poisoned().is_some() {
            return;
        }
        self.looked = Instant::now();
        self.metrics.degraded("store", self.refused);
        if self.unreachable.take().is_some() {
            tracing::info!("the log answers again");
            self.standing.note(None);
        }
    }

    /// What those who wait are told, once the log has been out of reach for so long; `began` is when the try that failed did.
    fn overdue(&mut self, what: &str, began: Instant) -> Option<CommitError> {
        let since = *self.unreachable.get_or_insert(began);
        self.standing.note(Some(what.to_owned()));
        (since.elapsed() >= NOTICE).then(|| {
            CommitError::Unavailable(format!(
                "{what}; whether this was written is not known: try again with the same request id"
            ))
        })
    }

    fn give_up(&mut self, why: &str) {
        tracing::error!(why, "writing stops");
        self.metrics.degraded("store", true);
        self.committer.graph().poison(why);
        self.committer
            .fail_waiting(&CommitError::Unavailable(why.to_owned()));
    }
}

fn lost_its_end(last: u64, head: u64) -> String {
    format!(
        "the log ends at revision {last}, and this server has shown revision {head}: it is not the log that was written to"
    )
}
