//! The committer: the one task that decides, appends and shows, in this order.
//!
//! ```text
//! take all that wait -> plan each against the state left by those before it -> append ONE batch
//!                    -> publish the new head -> complete the tickets -> ring for watchers
//! ```
//!
//! Everything here is decided without waiting for anything; the append is the driver's (a server's task, or the caller
//! itself for an inline log), which hands its result to [`Committer::settle`]. Every ticket of a batch, refused and
//! repeated ones too, completes only after the batch is durable and published, and fails with it: a refusal is also an
//! answer about the state.

use super::outcome::{CommitError, Outcome};
use crate::error::Refusal;
use crate::faults::{Bug, Point, point, seeded};
use crate::graph::{Graph, Published, Submission};
use crate::limits::{BATCH_BYTES, BATCH_TRANSACTIONS};
use crate::log::{AppendError, Batch, Record};
use crate::mutation::{Change, Transaction, plan};
use crate::snapshot::{FoldError, Snapshot};
use crate::sync::control::{Control, is_on};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The committer's side of a graph. There is one at a time; see [`crate::commit::role`].
pub struct Committer {
    graph: Arc<Graph>,
    waiting: VecDeque<Submission>,
    batches: u64,
    seed: u64,
}

/// A planned batch, waiting for its append.
pub struct Staged {
    /// What must be appended; `None` when nothing changes anything.
    pub batch: Option<Batch>,
    next: Snapshot,
    answers: Vec<(Submission, Answer)>,
}

impl Staged {
    /// How many transactions it answers.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.answers.len()
    }

    /// Tells all who wait for this batch that its outcome is not known. The batch itself has still to be settled.
    pub fn give_notice(&mut self, error: &CommitError) {
        for (submission, _) in std::mem::take(&mut self.answers) {
            submission.completer.complete(Err(error.clone()));
        }
    }
}

enum Answer {
    Committed {
        revision: u64,
        changes: Arc<[Change]>,
    },
    Repeated {
        revision: u64,
    },
    Unchanged {
        revision: u64,
    },
    Refused(Refusal),
}

/// What the driver must do after an append.
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "one stands at a time, on the committer's stack, and is moved once"
)]
pub enum Settled {
    /// Published, or failed for good: go on with the next batch.
    Done,
    /// The log did not answer: append the very same batch again, after a pause.
    Repeat(Staged),
    /// The log moved on: read it from the head on, [`Committer::catch_up`], and stage again.
    CatchUp,
}

impl Committer {
    /// The committer of a graph. `seed` makes batch ids of different processes differ.
    #[must_use]
    pub fn new(graph: Arc<Graph>, seed: u64) -> Self {
        Self {
            graph,
            waiting: VecDeque::new(),
            batches: 0,
            seed,
        }
    }

    /// The graph that it commits to.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Plans the next batch from what waits; `None` when nothing does.
    pub fn stage(&mut self) -> Option<Staged> {
        self.waiting.extend(self.graph.take_waiting());
        self.stage_taken()
    }

    /// A committer for what one holder of the role took off the queue.
    pub(crate) fn of_batch(graph: Arc<Graph>, batch: Vec<Submission>) -> Self {
        let seed = graph.published().snapshot.revision();
        Self {
            graph,
            waiting: batch.into(),
            batches: 0,
            seed,
        }
    }

    /// Plans the next batch from what was taken already.
    pub(crate) fn stage_taken(&mut self) -> Option<Staged> {
        if let Some(why) = self.graph.poisoned()
            && !is_on(Control::ForgottenPoison)
        {
            // A submission can pass its own look before the store fails and be pushed after what waited was failed.
            let error = CommitError::Unavailable(why.to_string());
            self.fail_waiting(&error);
            return None;
        }
        let first = self.waiting.pop_front()?;
        point(Point::CommitTaken);
        let head = self.graph.published();
        let mut working = (*head.snapshot).clone();
        let after = working.revision();
        let mut records: Vec<Arc<Record>> = Vec::new();
        let mut answers = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(submission) = next {
            bytes += submission.charge.bytes();
            let answer = decide(
                &head.snapshot,
                &mut working,
                &submission.transaction,
                &mut records,
            );
            answers.push((submission, answer));
            let room = answers.len() < BATCH_TRANSACTIONS
                && self
                    .waiting
                    .front()
                    .is_some_and(|s| bytes + s.charge.bytes() <= BATCH_BYTES);
            next = if room { self.waiting.pop_front() } else { None };
        }
        self.batches += 1;
        let id = (u128::from(self.seed) << 64) | u128::from(self.batches);
        let batch = (!records.is_empty()).then_some(Batch { id, after, records });
        let mut staged = Staged {
            batch,
            next: working,
            answers,
        };
        self.haste(&mut staged);
        point(Point::CommitPlanned);
        Some(staged)
    }

    /// Does before the append what must come after it, for the seeded bugs that do.
    fn haste(&self, staged: &mut Staged) {
        if seeded(Bug::PublishedBeforeLog)
            && let Some(batch) = &staged.batch
        {
            self.graph
                .publish(staged.next.clone(), &batch.records, |_| ());
        }
        if seeded(Bug::AcknowledgedBeforeAppend) {
            let answers = std::mem::take(&mut staged.answers);
            complete(answers, &Arc::new(staged.next.clone()));
        }
        if seeded(Bug::RefusedBeforeDurable) {
            let all = std::mem::take(&mut staged.answers).into_iter();
            let (refused, rest) = all.partition(|(_, answer)| matches!(answer, Answer::Refused(_)));
            staged.answers = rest;
            complete(refused, &self.graph.published().snapshot);
        }
    }

    /// Does what the result of the append calls for.
    pub fn settle(&mut self, staged: Staged, appended: Result<(), AppendError>) -> Settled {
        match appended {
            Ok(()) => self.publish(staged),
            Err(AppendError::Full(why)) => fail(staged, &CommitError::StoreFull(why)),
            Err(AppendError::Unavailable(why)) => fail(staged, &CommitError::Unavailable(why)),
            Err(AppendError::Broken(why)) => {
                let why = format!(
                    "the store failed and takes no more writes until the server is restarted: {why}"
                );
                self.graph.poison(&why);
                let error = CommitError::Unavailable(why);
                fail(staged, &error);
                self.fail_waiting(&error);
            }
            Err(AppendError::Unknown(_)) => {
                let mut staged = staged;
                if seeded(Bug::RepeatedAsNew)
                    && let Some(batch) = &mut staged.batch
                {
                    batch.id += 1 << 32;
                }
                return Settled::Repeat(staged);
            }
            Err(AppendError::MovedOn { .. }) => {
                // In the order in which they came, ahead of those that came since.
                for (submission, _) in staged.answers.into_iter().rev() {
                    self.waiting.push_front(submission);
                }
                return Settled::CatchUp;
            }
        }
        Settled::Done
    }

    /// Fails everything that waits, for good.
    pub fn fail_waiting(&mut self, error: &CommitError) {
        self.waiting.extend(self.graph.take_waiting());
        for submission in self.waiting.drain(..) {
            submission.completer.complete(Err(error.clone()));
        }
    }

    /// Whether transactions wait that were taken off the queue already.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Folds what another writer committed, and shows it.
    ///
    /// # Errors
    /// [`FoldError`], when the log contradicts what this process has; what fitted before it is published.
    pub fn catch_up(&mut self, mut records: Vec<Record>) -> Result<(), FoldError> {
        if records.is_empty() {
            return Ok(());
        }
        let head = self.graph.published().snapshot.clone();
        // All onto one draft: a path that one of them has copied is the draft's own for those that follow. A draft that was left
        // half-way is thrown away, and what came before is folded once more.
        let fold = |records: &mut [Record]| {
            let mut next = (*head).clone();
            let outcome = records.iter_mut().enumerate().find_map(|(at, record)| {
                let error = next.fold_and_share(record).err()?;
                Some((at, error))
            });
            outcome.map_or(Ok(next), Err)
        };
        let (next, folded, outcome) = match fold(&mut records) {
            Ok(next) => (next, records.len(), Ok(())),
            Err((at, error)) => match fold(&mut records[..at]) {
                Ok(next) => (next, at, Err(error)),
                // What could be folded before can be folded again.
                Err((_, error)) => return Err(error),
            },
        };
        let folded: Vec<Arc<Record>> = records.into_iter().take(folded).map(Arc::new).collect();
        self.graph.publish(next, &folded, |_| ());
        outcome
    }

    /// Shows a later state whose way from here is no longer known: what the log kept of it was compacted while this process
    /// slept. The recent past begins anew, so that watchers are told to begin anew as well. False, and nothing is done,
    /// unless it is later.
    pub fn jump(&mut self, later: Snapshot) -> bool {
        let is_later = later.revision() > self.graph.published().snapshot.revision();
        if is_later {
            self.graph.jump(later);
        }
        is_later
    }

    fn publish(&self, staged: Staged) {
        let Staged {
            batch,
            next,
            answers,
        } = staged;
        match batch {
            Some(batch) if !seeded(Bug::PublishedBeforeLog) => {
                point(Point::CommitAppended);
                self.graph.publish(next, &batch.records, |snapshot| {
                    point(Point::CommitPublished);
                    complete(answers, snapshot);
                    point(Point::CommitAnswered);
                });
                point(Point::CommitAnnounced);
            }
            _ => complete(answers, &self.graph.published().snapshot),
        }
    }
}

/// Decides one transaction against the state left by those before it in the batch.
fn decide(
    head: &Snapshot,
    working: &mut Snapshot,
    transaction: &Transaction,
    records: &mut Vec<Arc<Record>>,
) -> Answer {
    let remembering = if seeded(Bug::LookThenSet) {
        head
    } else {
        &*working
    };
    if let Some(request) = transaction.request
        && let Some(known) = remembering.requests().get(request.key)
    {
        if known.body == request.body {
            return Answer::Repeated {
                revision: known.revision,
            };
        }
        let reason = format!(
            "was used by another request, which made revision {}: a request id belongs to one request",
            known.revision
        );
        return Answer::Refused(Refusal::invalid("request_id", reason));
    }
    // A panic while planning is a bug of ours; it must not take the committer, and with it every writer, along.
    let planned = catch_unwind(AssertUnwindSafe(|| {
        point(Point::CommitPlanning);
        if seeded(Bug::GuardedByHead) {
            plan(head, transaction)?;
            let unguarded = Transaction {
                preconditions: Vec::new(),
                ..transaction.clone()
            };
            return plan(working, &unguarded);
        }
        plan(working, transaction)
    }));
    let planned = planned.unwrap_or_else(|panic| Err(Refusal::Internal(panic_text(&*panic))));
    match planned {
        Err(refusal) => Answer::Refused(refusal),
        Ok(plan) if plan.changes.is_empty() => Answer::Unchanged {
            revision: working.revision(),
        },
        Ok(plan) => {
            let record = Record {
                revision: working.revision() + 1,
                time_ms: transaction.time_ms.max(working.time_ms()),
                actor: transaction.actor.clone(),
                source: transaction.source.clone(),
                reason: transaction.reason.clone(),
                request_id: transaction.request_id.clone(),
                request: transaction.request,
                changes: plan.changes.into(),
                hash: plan.next.hash(),
            };
            *working = plan.next;
            working.seal(&record);
            let answer = Answer::Committed {
                revision: record.revision,
                changes: record.changes.clone(),
            };
            records.push(Arc::new(record));
            answer
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "planning panicked: {}",
        text.unwrap_or_else(|| "without a message".into())
    )
}

fn complete(answers: Vec<(Submission, Answer)>, snapshot: &Arc<Snapshot>) {
    for (submission, answer) in answers {
        let outcome = |revision, changed, repeated, changes| {
            Ok(Outcome {
                revision,
                changed,
                repeated,
                changes,
                snapshot: snapshot.clone(),
            })
        };
        submission.completer.complete(match answer {
            Answer::Committed { revision, changes } => outcome(revision, true, false, changes),
            Answer::Repeated { revision } => outcome(revision, true, true, Arc::from([])),
            Answer::Unchanged { revision } => outcome(revision, false, false, Arc::from([])),
            Answer::Refused(refusal) => Err(CommitError::Refused(refusal)),
        });
        point(Point::CommitAnswering);
    }
}

fn fail(mut staged: Staged, error: &CommitError) {
    staged.give_notice(error);
}

impl Published {
    /// The head after a batch, with the ring moved on; and what the ring let go.
    pub(crate) fn after(
        &self,
        snapshot: Arc<Snapshot>,
        records: &[Arc<Record>],
    ) -> (Self, Vec<Arc<Snapshot>>) {
        let mut history = self.history.clone();
        let gone = history.push(records, snapshot.clone());
        (Self { snapshot, history }, gone)
    }
}
