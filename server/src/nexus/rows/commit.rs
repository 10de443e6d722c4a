//! The one task that writes: whatever waits when the last transaction has ended shares the next.
//!
//! What comes of a group is known when its commit is. While the rows cannot be reached the same group is tried again, so that
//! lines never overtake each other; whoever begins a run is told at once and may ask again. A group whose commit had no answer
//! may have been carried out: a line that stands there already, written under the same epoch, counts as written, because
//! nobody else has that epoch.

use std::collections::HashMap;
use std::time::Duration;

use kg_core::nexus::RunState;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::ask::Base;
use super::statistics::Ended;
use super::{Append, Begun, NewRun, Progress, RunId, RunKey, RunRowsError, postgres, row, sqlite};
use crate::storage::ServerId;

/// Writes that may wait; whoever comes with one more waits outside.
const WAITING: usize = 8_192;

/// Writes, and bytes of lines, that share a transaction. A statement of SQLite takes 32,766 values, and a new run has 22.
const TOGETHER: usize = 1_024;
const BYTES_TOGETHER: usize = 8 * 1024 * 1024;

/// How long the task waits before it tries a group again.
const AGAIN: Duration = Duration::from_millis(200);

/// Why lines were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// Somebody else carries the run out now, or it is gone.
    #[error("another server carries this run out now")]
    MovedOn,
    /// Nobody writes any more.
    #[error("the rows of runs are closed")]
    Closed,
    /// The rows are broken, or what was to be written does not follow what is there.
    #[error("the rows of runs are broken")]
    Broken,
}

/// Something that is to be written.
pub(super) enum Job {
    Begin {
        new: Box<NewRun>,
        me: ServerId,
        answer: oneshot::Sender<Result<Begun, RunRowsError>>,
    },
    Append {
        append: Append,
        answer: oneshot::Sender<Result<(), Fenced>>,
    },
    Told(RunKey),
    Close(oneshot::Sender<()>),
}

/// What shares a transaction.
#[derive(Default)]
pub(super) struct Group {
    pub(super) new: Vec<(NewRun, ServerId)>,
    /// At most one of a run.
    pub(super) lines: Vec<Lines>,
    pub(super) told: Vec<RunKey>,
}

/// Lines of one run that follow each other.
pub(super) struct Lines {
    pub(super) run: RunKey,
    pub(super) epoch: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    /// The lines, framed.
    pub(super) body: Vec<u8>,
    pub(super) now: Progress,
}

/// What came of a group.
#[derive(Default)]
pub(super) struct Done {
    /// Of each new run, in their order.
    pub(super) begun: Vec<Begun>,
    /// Runs whose lines were written, or stood there.
    pub(super) written: HashMap<RunKey, Written>,
}

/// What came of the lines of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Now,
    /// By a try whose answer was lost.
    Before,
    /// The line before is not there.
    Gap,
}

/// The task.
pub(super) struct Writer {
    base: Base,
    jobs: mpsc::Receiver<Job>,
    /// What did not fit into the group before.
    left: Option<Job>,
    closing: Option<oneshot::Sender<()>>,
}

type Begins = Vec<oneshot::Sender<Result<Begun, RunRowsError>>>;
type Answers = HashMap<RunKey, Vec<oneshot::Sender<Result<(), Fenced>>>>;

impl Writer {
    pub(super) fn start(base: Base) -> mpsc::Sender<Job> {
        let (sender, jobs) = mpsc::channel(WAITING);
        let writer = Self {
            base,
            jobs,
            left: None,
            closing: None,
        };
        tokio::spawn(writer.run());
        sender
    }

    async fn run(mut self) {
        loop {
            let first = match self.left.take() {
                Some(job) => job,
                None => match self.jobs.recv().await {
                    Some(job) => job,
                    None => return,
                },
            };
            let (mut group, begins, answers) = self.gather(first);
            let begins = &mut Some(begins);
            if !(group.new.is_empty() && group.lines.is_empty() && group.told.is_empty()) {
                let done = self.write(&mut group, begins).await;
                answer(done, begins.take(), answers);
            }
            if let Some(closed) = self.closing.take() {
                self.jobs.close();
                let _ = closed.send(());
                return;
            }
        }
    }

    /// Takes what waits, as far as it may share a transaction.
    fn gather(&mut self, first: Job) -> (Group, Begins, Answers) {
        let (mut group, mut begins, mut answers) =
            (Group::default(), Begins::new(), Answers::new());
        let mut places = HashMap::<RunKey, usize>::new();
        let (mut jobs, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Begin { new, me, answer } => {
                    bytes += new.definition.len() + new.inputs.len();
                    group.new.push((*new, me));
                    begins.push(answer);
                }
                Job::Append { append, answer } => {
                    bytes += append.lines.iter().map(Vec::len).sum::<usize>();
                    let place = places.get(&append.run).copied();
                    match place.and_then(|at| group.lines.get_mut(at)) {
                        Some(before)
                            if before.epoch != append.epoch || before.last + 1 != append.seq =>
                        {
                            self.left = Some(Job::Append { append, answer });
                            break;
                        }
                        Some(before) => {
                            row::framed(&append.lines, &mut before.body);
                            before.last += append.lines.len() as u32;
                            before.now = append.now;
                            answers.entry(append.run).or_default().push(answer);
                        }
                        None => {
                            let mut body = Vec::new();
                            row::framed(&append.lines, &mut body);
                            places.insert(append.run, group.lines.len());
                            answers.entry(append.run).or_default().push(answer);
                            group.lines.push(Lines {
                                run: append.run,
                                epoch: append.epoch,
                                first: append.seq,
                                last: append.seq + (append.lines.len() as u32).saturating_sub(1),
                                body,
                                now: append.now,
                            });
                        }
                    }
                }
                Job::Told(run) => group.told.push(run),
                Job::Close(closed) => {
                    self.closing = Some(closed);
                    break;
                }
            }
            jobs += 1;
            if jobs == TOGETHER || bytes >= BYTES_TOGETHER {
                break;
            }
            next = self.jobs.try_recv().ok();
        }
        (group, begins, answers)
    }

    /// Writes a group, however often that has to be tried.
    async fn write(
        &self,
        group: &mut Group,
        begins: &mut Option<Begins>,
    ) -> Result<Done, RunRowsError> {
        loop {
            let written = match &self.base {
                // Waited for however long the disk takes: a transaction that nobody goes on with would stay open.
                Base::Sqlite(connection) => sqlite::commit(connection, group).await,
                Base::Postgres(pool) => postgres::commit(pool, group).await,
            };
            match written {
                Err(error @ (RunRowsError::Unavailable(_) | RunRowsError::Full(_))) => {
                    tracing::warn!(%error, "runs wait for their rows");
                    // Those may ask again, and nothing follows on them.
                    group.new.clear();
                    for begin in begins.take().into_iter().flatten() {
                        let _ = begin.send(Err(error.clone()));
                    }
                    if group.lines.is_empty() {
                        return Err(error);
                    }
                    if self.closing.is_some() || self.jobs.is_closed() {
                        return Err(RunRowsError::Broken("they were closed before".into()));
                    }
                    sleep(AGAIN).await;
                }
                written => return written,
            }
        }
    }
}

fn answer(done: Result<Done, RunRowsError>, begins: Option<Begins>, answers: Answers) {
    match done {
        Ok(done) => {
            for (begin, begun) in begins.into_iter().flatten().zip(done.begun) {
                let _ = begin.send(Ok(begun));
            }
            for (run, waiting) in answers {
                let came = match done.written.get(&run) {
                    Some(Written::Now | Written::Before) => Ok(()),
                    Some(Written::Gap) => Err(Fenced::Broken),
                    None => Err(Fenced::MovedOn),
                };
                for one in waiting {
                    let _ = one.send(came);
                }
            }
        }
        Err(error) => {
            tracing::error!(%error, "lines of runs were not written");
            for begin in begins.into_iter().flatten() {
                let _ = begin.send(Err(error.clone()));
            }
            for one in answers.into_values().flatten() {
                let _ = one.send(Err(Fenced::Broken));
            }
        }
    }
}

/// What to make of lines that did not follow on what a run's row says: `found` is its epoch and its last line.
pub(super) fn judged(lines: &Lines, found: Option<(i64, i64)>) -> Option<Written> {
    let (epoch, last) = found?;
    if epoch != i64::from(lines.epoch) {
        return None;
    }
    Some(if last >= i64::from(lines.last) {
        Written::Before
    } else {
        Written::Gap
    })
}

/// What a new run means that was there, by its id or its request: `row` is its key, its id and what was asked for.
pub(super) fn found(new: &NewRun, row: (i64, String, i64)) -> Begun {
    let (key, id, body) = row;
    if body == new.body.cast_signed() {
        Begun::Known(RunKey(key.cast_unsigned()), RunId(id.into()))
    } else {
        Begun::Reused
    }
}

/// What came of the lines of runs whose rows were moved on, and which of these have ended. Each row is a run's key and
/// pattern, when it was begun, and when it ended.
pub(super) fn moved(
    group: &Group,
    rows: Vec<(i64, String, i64, Option<i64>)>,
) -> (HashMap<RunKey, Written>, Vec<Ended>) {
    let states = group.lines.iter().map(|lines| (lines.run, lines.now.state));
    let states: HashMap<RunKey, RunState> = states.collect();
    let (mut written, mut ended) = (HashMap::new(), Vec::new());
    for (run, pattern, created_ms, ended_ms) in rows {
        let run = RunKey(run.cast_unsigned());
        written.insert(run, Written::Now);
        if let (Some(end), Some(state)) = (ended_ms, states.get(&run)) {
            ended.push(Ended {
                pattern,
                state: *state,
                took_ms: end.saturating_sub(created_ms).max(0).cast_unsigned(),
            });
        }
    }
    (written, ended)
}
