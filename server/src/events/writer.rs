//! The one task that writes events: batches that wait share a write, and what is written is shown in its order.
//!
//! A batch is prepared by whoever brings it, waits in a queue that is bounded in number and in bytes, and is answered when it is
//! durable. A batch whose caller has gone away is written all the same. After each write the task shows what is new to those
//! who follow; on a shared store it also reads what others have written, when it is told of it or a quarter of a second later.

use std::sync::Arc;
use std::time::Duration;

use kg_core::limits::EVENT_QUEUE_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::error::EventError;
use super::event::{Appended, Prepared};
use super::figures::Figures;
use super::front::Front;
use super::groups::Local;
use super::store::Keep;
use crate::app::now_ms;
use crate::hints::Hints;

/// Jobs that may wait.
const QUEUE: usize = 8_192;

/// Events and bytes that share a write; a larger batch has one to itself.
const EVENTS_AT_ONCE: usize = 20_000;
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// How often groups are written, the log is trimmed, and other servers' events are looked for without a hint.
const TICK: Duration = Duration::from_millis(250);

enum Job {
    Append(Waiting),
    Flush(oneshot::Sender<Result<(), EventError>>),
    CatchUp(oneshot::Sender<Result<(), EventError>>),
    Close(oneshot::Sender<()>),
}

struct Waiting {
    batch: Vec<Prepared>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<Appended>, EventError>>,
    /// Given back when the batch is written.
    _room: OwnedSemaphorePermit,
}

/// The way to the task. Clones are further ways to the same one.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

/// A batch that was taken.
pub struct Ticket(oneshot::Receiver<Result<Vec<Appended>, EventError>>);

impl Ticket {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn written(self) -> Result<Vec<Appended>, EventError> {
        self.0.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Writer {
    /// A way, and what waits at its other end.
    pub(super) fn new() -> (Self, Jobs) {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let room = Arc::new(Semaphore::new(EVENT_QUEUE_BYTES));
        (Self { jobs, room }, Jobs(waiting))
    }

    /// Takes a batch, behind those that it was called with before.
    pub(super) fn submit(&self, batch: Vec<Prepared>) -> Result<Ticket, EventError> {
        let bytes: usize = batch.iter().map(|event| event.body.len()).sum();
        let (answer, ticket) = oneshot::channel();
        // The largest batch there may be goes alone.
        let permits = u32::try_from(bytes.min(EVENT_QUEUE_BYTES)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(permits);
        let full = || {
            EventError::Exhausted(
                "too many events wait to be written: emit them again later, and fewer at a time"
                    .into(),
            )
        };
        let job = Job::Append(Waiting {
            batch,
            bytes,
            answer,
            _room: room.map_err(|_| full())?,
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        Ok(Ticket(ticket))
    }

    /// Waits until everything that was changed of groups before is durable.
    pub(super) async fn flush(&self) -> Result<(), EventError> {
        self.ask(Job::Flush).await.unwrap_or_else(|| Err(closed()))
    }

    /// Waits until what the store holds now is shown here.
    pub(super) async fn catch_up(&self) -> Result<(), EventError> {
        self.ask(Job::CatchUp)
            .await
            .unwrap_or_else(|| Err(closed()))
    }

    /// Writes what waits, and closes the store.
    pub(super) async fn close(&self) {
        self.ask(Job::Close).await;
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.jobs.send(job(tell)).await.ok()?;
        told.await.ok()
    }
}

fn closed() -> EventError {
    EventError::Unavailable("they are closed".into())
}

/// What waits for the task.
pub(super) struct Jobs(mpsc::Receiver<Job>);

/// The task.
pub(super) struct WriterTask {
    pub(super) jobs: Jobs,
    pub(super) front: Arc<Front>,
    pub(super) local: Local,
    pub(super) keep: Keep,
    pub(super) hints: Hints,
    pub(super) figures: Arc<Figures>,
}

impl WriterTask {
    /// Writes until it is closed, or nobody is left who could bring anything.
    pub(super) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left_over = None;
        loop {
            let job = match left_over.take() {
                Some(job) => Some(job),
                None => tokio::select! {
                    job = self.jobs.0.recv() => job,
                    _ = tick.tick() => {
                        self.keep_house().await;
                        continue;
                    }
                    () = self.hints.heard_of_events() => {
                        self.catch_up().await.ok();
                        continue;
                    }
                },
            };
            match job {
                Some(Job::Append(first)) => left_over = self.append(first).await,
                Some(Job::Flush(answer)) => {
                    let _ = answer.send(self.flush().await);
                }
                Some(Job::CatchUp(answer)) => {
                    let _ = answer.send(self.catch_up().await);
                }
                Some(Job::Close(answer)) => {
                    self.end().await;
                    let _ = answer.send(());
                    return;
                }
                None => return self.end().await,
            }
        }
    }

    async fn end(&mut self) {
        if let Err(error) = self.flush().await {
            tracing::warn!(%error, "the places of the groups could not be written at the end");
        }
        self.front.store.close().await;
        self.front.end();
    }

    /// Writes a batch and those that wait behind it, as far as they go together. The job that was taken up and is something else.
    async fn append(&mut self, first: Waiting) -> Option<Job> {
        let (mut events, mut bytes) = (first.batch.len(), first.bytes);
        let (mut batches, mut answers, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = Some(Job::Append(first));
        while let Some(Job::Append(waiting)) = next {
            batches.push(waiting.batch);
            answers.push(waiting.answer);
            rooms.push(waiting._room);
            next = self.jobs.0.try_recv().ok();
            if let Some(Job::Append(waiting)) = &next {
                events += waiting.batch.len();
                bytes += waiting.bytes;
                if events > EVENTS_AT_ONCE || bytes > BYTES_AT_ONCE {
                    break;
                }
            }
        }
        match self.front.store.append(batches, now_ms()).await {
            Ok(written) => {
                self.figures.appended(written.events.len() as u64);
                self.show(written.events).await;
                for (answer, to) in written.answers.into_iter().zip(answers) {
                    let duplicates = answer.iter().flatten().filter(|at| at.duplicate);
                    self.figures.duplicates(duplicates.count() as u64);
                    let _ = to.send(answer);
                }
                if !self.front.store.is_shared() {
                    self.trim().await;
                }
            }
            Err(error) => {
                self.figures.failed(&error);
                for to in answers {
                    let _ = to.send(Err(error.clone()));
                }
            }
        }
        next
    }

    /// Shows what was written: as it is where it follows on what is shown, and otherwise with what others wrote before it.
    async fn show(&self, events: Vec<super::store::Weighed>) {
        let Some((last, _)) = events.last() else {
            return;
        };
        let next = last.offset + 1;
        if !self.front.push(events) {
            // It is durable; what cannot be read now is read at the next tick.
            self.catch_up().await.ok();
        }
        if self.front.store.is_shared() {
            self.hints.tell_of_events(next);
        }
    }

    async fn catch_up(&self) -> Result<(), EventError> {
        if !self.front.store.is_shared() {
            return Ok(());
        }
        self.front.catch_up().await
    }

    async fn flush(&self) -> Result<(), EventError> {
        let unwritten = self.local.take();
        if unwritten.is_empty() {
            return Ok(());
        }
        let written = self.front.store.write_groups(&unwritten).await;
        if let Err(error) = &written {
            self.figures.failed(error);
            self.local.give_back(unwritten);
        }
        written
    }

    async fn keep_house(&mut self) {
        let done = async {
            self.flush().await?;
            self.catch_up().await
        };
        match done.await {
            Ok(()) => self.figures.works(),
            Err(error) => self.figures.failed(&error),
        }
        self.trim().await;
    }

    async fn trim(&self) {
        let trimming = async {
            let bounds = self.front.bounds().await?;
            if let Some(below) = self.keep.trim_below(bounds) {
                self.front.store.trim(below).await?;
            }
            Ok::<_, EventError>(())
        };
        if let Err(error) = trimming.await {
            self.figures.failed(&error);
        }
    }
}
