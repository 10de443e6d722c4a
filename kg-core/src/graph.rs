//! The graph: a head that everybody reads, and a queue by which it changes.
//!
//! Reads are lock-free: a load of the head, and then an immutable snapshot. Writes are submitted to a bounded lock-free
//! queue and answered through tickets by the committer.

use crate::commit::head::Head;
use crate::commit::queue::{Queue, Refused};
use crate::commit::role::Role;
use crate::commit::ticket::{Completer, Ticket, ticket};
use crate::commit::{
    CommitError, Committer, Held, History, HistoryLimits, NotKept, Outcome, Reclaimer, Settled,
};
use crate::limits::{QUEUE, QUEUE_BYTES};
use crate::log::{Batch, InlineLog, MemoryLog, Record};
use crate::mutation::Transaction;
use crate::snapshot::Snapshot;
use crate::sync::control::{Control, is_on};
use crate::sync::{AtomicUsize, Epoch, Listen, Mutex, Ordering, SetOnce, Shared, lock};
use std::sync::Arc;

/// What is published: the newest snapshot, and the recent past that belongs to it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The newest state.
    pub snapshot: Arc<Snapshot>,
    /// The recent past, up to that state.
    pub history: History,
}

/// How a graph is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Identity of the store, in every reply and every page token.
    pub store_id: Arc<str>,
    /// Transactions that may wait.
    pub queue: usize,
    /// Bounds of the history ring.
    pub history: HistoryLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            store_id: Arc::from("memory"),
            queue: QUEUE,
            history: HistoryLimits::default(),
        }
    }
}

/// The live graph.
pub struct Graph {
    head: Head<Published>,
    queue: Queue<Submission>,
    waiting: Shared<AtomicUsize>,
    role: Role,
    inline: Option<Mutex<Inline>>,
    poison: SetOnce<Arc<str>>,
    reclaimer: Reclaimer,
    store_id: Arc<str>,
}

/// A transaction and where its answer goes.
pub struct Submission {
    /// What is asked for.
    pub transaction: Transaction,
    /// Where the answer goes.
    pub completer: Completer<Result<Outcome, CommitError>>,
    /// What it weighs, until it has its answer.
    pub charge: Charge,
}

/// Bytes that one submission counts for among all that wait; given back when it is dropped.
pub struct Charge {
    bytes: usize,
    total: Shared<AtomicUsize>,
}

impl Charge {
    /// Counts `bytes` more, unless that would be more than `most` together. What comes alone is always let in.
    fn take(total: &Shared<AtomicUsize>, bytes: usize, most: usize) -> Option<Self> {
        // Relaxed: the total only counts.
        let before = total.fetch_add(bytes, Ordering::Relaxed);
        let charge = Self {
            bytes,
            total: Shared::clone(total),
        };
        (before == 0 || before.saturating_add(bytes) <= most).then_some(charge)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Relaxed: the total only counts.
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The future of one submitted transaction's outcome.
pub type Pending = Ticket<Result<Outcome, CommitError>>;

struct Inline {
    log: Box<dyn InlineLog>,
}

impl Graph {
    /// A graph that a committer task drives; `history` ends with the recovered head.
    #[must_use]
    pub fn new(history: History, options: &Options) -> Self {
        Self::build(history, options, None)
    }

    /// A graph whose callers commit themselves, through [`Graph::commit`].
    #[must_use]
    pub fn inline(history: History, options: &Options, log: Box<dyn InlineLog>) -> Self {
        Self::build(history, options, Some(Mutex::new(Inline { log })))
    }

    /// An empty graph on a memory log, whose callers commit themselves.
    #[must_use]
    pub fn in_memory() -> Arc<Self> {
        let options = Options::default();
        let history = History::new(Arc::new(Snapshot::new()), options.history);
        Arc::new(Self::inline(history, &options, Box::new(MemoryLog::new())))
    }

    /// A graph of its own that begins with one state of this one, and the empty log behind it: it goes on at the revision after
    /// that state, and neither sees what the other commits. Somebody has to commit for it, as for [`Graph::new`]. Cost: an empty ring;
    /// the state is shared.
    #[must_use]
    pub fn fork(&self, at: &Held) -> (Arc<Self>, MemoryLog) {
        let options = Options {
            store_id: self.store_id.clone(),
            ..Options::default()
        };
        let log = MemoryLog::after(at.revision());
        let history = History::new(at.shared(), options.history);
        (Arc::new(Self::new(history, &options)), log)
    }

    fn build(history: History, options: &Options, inline: Option<Mutex<Inline>>) -> Self {
        // The newest revision of a ring is always kept, so `at` cannot fail for it.
        let snapshot = history.at(history.newest()).unwrap_or_default();
        Self {
            head: Head::new(Arc::new(Published { snapshot, history })),
            queue: Queue::new(options.queue),
            waiting: Shared::new(AtomicUsize::new(0)),
            role: Role::default(),
            inline,
            poison: SetOnce::default(),
            reclaimer: Reclaimer::start(),
            store_id: options.store_id.clone(),
        }
    }

    /// Identity of the store.
    #[must_use]
    pub fn store_id(&self) -> &Arc<str> {
        &self.store_id
    }

    // Reads

    /// Looks at the head, briefly: about 12 ns. `look` must not wait.
    pub fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.head.load().snapshot)
    }

    /// Holds the head, for anything that waits or streams: about 23 ns.
    #[must_use]
    pub fn snapshot(&self) -> Held {
        self.hold(self.head.load().snapshot.clone())
    }

    /// Holds the state at a revision.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn snapshot_at(&self, revision: u64) -> Result<Held, NotKept> {
        self.published()
            .history
            .at(revision)
            .map(|snapshot| self.hold(snapshot))
    }

    /// Holds a snapshot, whose last holder then does not pay for freeing it.
    #[must_use]
    pub fn hold(&self, snapshot: Arc<Snapshot>) -> Held {
        Held::new(snapshot, self.reclaimer.clone())
    }

    /// Head and history, as they were published together.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.head.load_full()
    }

    /// The newest revision and the oldest that can be read.
    #[must_use]
    pub fn revisions(&self) -> (u64, u64) {
        let head = self.head.load();
        let newest = head.snapshot.revision();
        if is_on(Control::TornLook) {
            return (newest, self.published().history.oldest());
        }
        (newest, head.history.oldest())
    }

    /// Waits until `revision` is visible. The caller sets the bound in time.
    pub async fn reached(&self, revision: u64) -> Held {
        let head = self
            .head
            .reached(|p| p.snapshot.revision() >= revision)
            .await;
        self.hold(head.snapshot.clone())
    }

    /// The moment to read before a look that decides whether to [`Graph::listen`].
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.head.epoch()
    }

    /// Ends when something has been published after `seen`.
    pub fn listen(&self, seen: Epoch) -> Listen<'_> {
        self.head.listen(seen)
    }

    // Writes

    /// Submits a transaction. The ticket tells what became of it; dropping the ticket loses only the answer.
    ///
    /// # Errors
    /// [`CommitError::QueueFull`], [`CommitError::QueueBytes`], and [`CommitError::Unavailable`] when the graph is closing or its store failed.
    pub fn submit(&self, transaction: Transaction) -> Result<Pending, CommitError> {
        if let Some(why) = self.poison.get() {
            return Err(CommitError::Unavailable(why.to_string()));
        }
        let charge = Charge::take(&self.waiting, transaction.weight(), QUEUE_BYTES)
            .ok_or(CommitError::QueueBytes(QUEUE_BYTES))?;
        let (completer, pending) = ticket();
        self.queue
            .push(Submission {
                transaction,
                completer,
                charge,
            })
            .map_err(|refused| match refused {
                Refused::Full(_) => CommitError::QueueFull(self.queue.capacity()),
                Refused::Closed(_) => {
                    CommitError::Unavailable("the server is shutting down".into())
                }
            })?;
        Ok(pending)
    }

    /// Commits on the caller's thread, together with whatever else waits, unless another thread is at it: then this waits
    /// for that one. Only for graphs made by [`Graph::inline`].
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn commit(self: &Arc<Self>, transaction: Transaction) -> Result<Outcome, CommitError> {
        let Some(inline) = &self.inline else {
            return Err(CommitError::Unavailable(
                "this graph is driven by a committer task: submit to it".into(),
            ));
        };
        let pending = self.submit(transaction)?;
        self.role.serve(&self.queue, |batch| {
            let mut inline = lock(inline);
            let mut committer = Committer::of_batch(self.clone(), batch);
            while let Some(staged) = committer.stage_taken() {
                let mut append = |batch: &Option<Batch>| {
                    batch
                        .as_ref()
                        .map_or(Ok(()), |batch| inline.log.append_now(batch))
                };
                if is_on(Control::VisibleFirst) {
                    let batch = staged.batch.clone();
                    let _ = committer.settle(staged, Ok(()));
                    let _ = append(&batch);
                    continue;
                }
                let appended = append(&staged.batch);
                match committer.settle(staged, appended) {
                    Settled::Done => {}
                    Settled::Repeat(_) | Settled::CatchUp => {
                        let why = "the log has another writer, which an inline graph cannot follow";
                        self.poison(why);
                        committer.fail_waiting(&CommitError::Unavailable(why.into()));
                    }
                }
            }
        });
        pending.wait().unwrap_or_else(|_| {
            Err(CommitError::Unavailable(
                "the commit was abandoned; its outcome is unknown".into(),
            ))
        })
    }

    /// Transactions that wait for the committer.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of the transactions that wait or are in the committer's hands, by estimate.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Refuses every further submission; what was accepted is still committed.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Whether it is closed and everything that was accepted has been taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.queue.is_spent()
    }

    /// Why writes are refused for good, if they are.
    #[must_use]
    pub fn poisoned(&self) -> Option<&Arc<str>> {
        self.poison.get()
    }

    // The committer's side

    /// The moment to read before a look at the queue that decides whether to wait for work.
    #[must_use]
    pub fn work_epoch(&self) -> Epoch {
        self.queue.epoch()
    }

    /// Ends when something has been submitted, or the graph closed, after `seen`.
    pub fn listen_for_work(&self, seen: Epoch) -> Listen<'_> {
        self.queue.listen(seen)
    }

    pub(crate) fn take_waiting(&self) -> Vec<Submission> {
        self.queue.take_all()
    }

    /// Refuses writes from now on.
    pub fn poison(&self, why: &str) {
        self.poison.set(Arc::from(why));
    }

    /// Shows a new head, then tells of it. Only the committer calls this.
    pub(crate) fn publish(
        &self,
        next: Snapshot,
        records: &[Arc<Record>],
        tell: impl FnOnce(&Arc<Snapshot>),
    ) {
        let before = self.published();
        let snapshot = Arc::new(next);
        if is_on(Control::BareHead) {
            let history = before.history.clone();
            let snapshot = snapshot.clone();
            let bare = Arc::new(Published { snapshot, history });
            drop(self.head.publish(bare, || ()));
        }
        let (published, gone) = before.after(snapshot.clone(), records);
        drop(before);
        self.show(published, || tell(&snapshot));
        gone.into_iter()
            .for_each(|snapshot| self.reclaimer.release(snapshot));
    }

    /// Shows a later state without what lies between. Only the committer calls this.
    pub(crate) fn jump(&self, later: Snapshot) {
        let snapshot = Arc::new(later);
        let history = self.published().history.begun_anew(snapshot.clone());
        self.show(Published { snapshot, history }, || ());
    }

    fn show(&self, published: Published, tell: impl FnOnce()) {
        let old = self.head.publish(Arc::new(published), tell);
        if let Some(old) = Arc::into_inner(old) {
            // The ring shares its nodes with the new one, so only the snapshot may be the last of its kind. After a jump the
            // ring goes as well, here: that happens to a server that slept, and not again.
            self.reclaimer.release(old.snapshot);
        }
    }
}
