//! Where runs are kept: what each carries out, its journal line by line, and how patterns have run.
//!
//! A run is carried out by one server, its owner, and every change of that raises its epoch. A write of a run names the epoch
//! that its writer has and the line that it goes on from, and the statement itself compares them: an owner that was paused
//! while another took over writes nothing, and a write that is repeated because its answer was lost is made once.
//!
//! All writes of a server go through one task ([`commit`]), which puts whatever waits into one transaction. So a thousand runs
//! that each wait for a line to be durable share a sync.
//!
//! A store in memory or in a file has one process, whose lock says that whoever owned a run before is dead. In a database a
//! server says once a second that it lives, by the database's clock, and its runs are taken over when it has not for a while.

mod ask;
mod commit;
mod file;
mod postgres;
mod row;
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kg_core::nexus::RunState;
use tokio::sync::{mpsc, oneshot};

pub use commit::Fenced;
pub use row::{About, Cancel, OwnerId, RunRow};

use crate::storage::{Backend, Opened, ServerId};
use ask::{Base, Row, values};
use commit::{Job, Writer};

/// How long a server may be silent before its runs are taken over.
pub const LEASE: Duration = Duration::from_secs(5);

/// Runs that one call adopts, or trims, at most.
pub const AT_ONCE: usize = 1_000;

/// Names a run for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub Arc<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a run among all, in the order in which they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey(pub u64);

/// A run that is to begin.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Whose request it is and under which id; the same one finds the same run.
    pub request: Option<String>,
    /// A hash of what was asked for: a request id that comes with another one is refused.
    pub body: u64,
    /// What is known of it from the beginning.
    pub about: About,
    /// What it is given, encoded.
    pub inputs: Vec<u8>,
    /// What it carries out, encoded.
    pub definition: Vec<u8>,
}

/// What came of a beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is there, mine, with the epoch 1.
    New(RunKey),
    /// It was there.
    Known(RunKey, RunId),
    /// The request id stands for something else.
    Reused,
}

/// Lines of a run that are to be durable, and how it is doing after them.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run: RunKey,
    /// The epoch of whoever writes.
    pub epoch: u32,
    /// The number of the first line.
    pub seq: u32,
    /// The lines, encoded.
    pub lines: Vec<Vec<u8>>,
    /// How the run is doing after them.
    pub now: Progress,
}

/// How a run is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// In one word.
    pub state: RunState,
    /// How many of its steps have ended.
    pub steps_done: u32,
    /// The code of what failed; may be empty.
    pub code: Arc<str>,
    /// What is wrong; may be empty.
    pub message: Arc<str>,
    /// When it ended. Nothing is appended after that.
    pub ended_ms: Option<u64>,
}

/// A run with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its row.
    pub row: RunRow,
    /// What it was given, encoded.
    pub inputs: Vec<u8>,
    /// What it carries out, encoded.
    pub definition: Vec<u8>,
    /// Its journal, line by line, encoded.
    pub lines: Vec<Vec<u8>>,
}

/// Which runs are wanted.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this pattern; empty: of any.
    pub pattern: String,
    /// In one of these states; empty: in any.
    pub states: Vec<RunState>,
    /// Begun by; empty: by anybody.
    pub actor: String,
    /// Of this correlation; empty: of any.
    pub correlation: String,
    /// Steps of this run; empty: whatever.
    pub parent: String,
    /// Begun by this user; `None`: by anybody.
    pub begun_by: Option<String>,
    /// Before this one; `None`: from the newest on.
    pub before: Option<RunKey>,
}

/// How a pattern has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Runs that began.
    pub usage: u64,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
    /// Of those that ended, from beginning to end, in milliseconds: together.
    pub total_ms: u64,
    /// The shortest.
    pub min_ms: u64,
    /// The longest.
    pub max_ms: u64,
    /// When the last one began, in milliseconds since 1970.
    pub last_ms: u64,
}

/// What a server learns when it says that it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// My runs that somebody wants to end.
    pub cancels: Vec<(RunKey, Cancel)>,
}

/// Why runs could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunRowsError {
    /// They were not reached, or did not answer in time: what was asked for was done or not. Ask again.
    #[error("the runs cannot be reached: {0}")]
    Unavailable(String),
    /// There is no room.
    #[error("there is no room for runs: {0}")]
    Full(String),
    /// They are not what they should be, or closed; asking again does not help.
    #[error("the rows of runs are broken: {0}")]
    Broken(String),
}

/// The rows. Clones are further handles of the same ones. Needs a tokio runtime.
#[derive(Clone)]
pub struct RunRows {
    base: Base,
    jobs: mpsc::Sender<Job>,
}

impl RunRows {
    /// Opens those of a store, wherever that is. Of a store on disk they must be closed before it is: its lock guards them.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn open(opened: &Opened) -> Result<Self, RunRowsError> {
        let base = match &opened.backend {
            Backend::Memory(_) => Base::sqlite(file::in_memory().await?),
            Backend::Sqlite(log) => Base::sqlite(file::open(log.path(), &opened.store_id).await?),
            Backend::Postgres(log) => Base::Postgres(log.runs()),
        };
        let jobs = Writer::start(base.clone());
        Ok(Self { base, jobs })
    }

    /// Whether other servers have them too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.base, Base::Postgres(_))
    }

    /// Begins a run, durably, and counts it for its pattern.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn begin(&self, new: NewRun, me: ServerId) -> Result<Begun, RunRowsError> {
        let (answer, answered) = oneshot::channel();
        let new = Box::new(new);
        self.send(Job::Begin { new, me, answer }).await?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Hands lines over to be written. They become durable in the order in which they were handed over, which what is returned
    /// tells when it is awaited; nobody has to. While the rows cannot be reached that is put off.
    ///
    /// # Errors
    /// [`RunRowsError`]: nobody writes any more.
    pub async fn append(&self, append: Append) -> Result<Appending, RunRowsError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Append { append, answer }).await?;
        Ok(Appending(answered))
    }

    /// Notes that the end of a run was announced.
    pub async fn told(&self, run: RunKey) {
        // What is not noted is announced again, which its reader knows by its id.
        let _ = self.send(Job::Told(run)).await;
    }

    async fn send(&self, job: Job) -> Result<(), RunRowsError> {
        self.jobs.send(job).await.map_err(|_| closed())
    }

    /// A run, with its journal.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn get(&self, id: &str) -> Result<Option<Kept>, RunRowsError> {
        let sql = concat!(
            "SELECT ",
            row::columns!(),
            ", p.inputs, p.definition \
             FROM amadeus_runs r JOIN amadeus_run_plans p ON p.run = r.run WHERE r.id = $1"
        );
        let rows = self.base.all(sql, values![id]).await?;
        let Some(found) = rows.first() else {
            return Ok(None);
        };
        let row = row::run(found)?;
        let (inputs, definition) = (found.bytes(row::COLUMNS)?, found.bytes(row::COLUMNS + 1)?);
        let lines = self.lines(row.key, 1).await?;
        Ok(Some(Kept {
            row,
            inputs,
            definition,
            lines,
        }))
    }

    /// The run that a request began, and the hash of what it asked for.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn by_request(&self, request: &str) -> Result<Option<(RunId, u64)>, RunRowsError> {
        let sql = "SELECT id, body FROM amadeus_runs WHERE request = $1";
        let rows = self.base.all(sql, values![request]).await?;
        let found = |row: &Row| Ok((RunId(row.text(0)?.into()), row.signed(1)?.cast_unsigned()));
        rows.first().map(found).transpose()
    }

    /// The row of a run.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn row(&self, id: &str) -> Result<Option<RunRow>, RunRowsError> {
        let sql = concat!(
            "SELECT ",
            row::columns!(),
            " FROM amadeus_runs r WHERE r.id = $1"
        );
        let rows = self.base.all(sql, values![id]).await?;
        rows.first().map(row::run).transpose()
    }

    /// The lines of a run from a number on, and perhaps some before it that became durable together with it.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn lines(&self, run: RunKey, from: u32) -> Result<Vec<Vec<u8>>, RunRowsError> {
        let sql = "SELECT body FROM amadeus_run_lines WHERE run = $1 AND seq >= coalesce( \
            (SELECT max(seq) FROM amadeus_run_lines WHERE run = $1 AND seq <= $2), 0) ORDER BY seq";
        let rows = self.base.all(sql, values![run.0, u64::from(from)]).await?;
        let mut lines = Vec::new();
        for row in &rows {
            row::frames(&row.bytes(0)?, &mut lines)?;
        }
        Ok(lines)
    }

    /// Runs that match, newest first.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn list(
        &self,
        filter: &RunFilter,
        limit: usize,
    ) -> Result<Vec<RunRow>, RunRowsError> {
        let states: u64 = filter
            .states
            .iter()
            .map(|state| 1 << row::number(*state))
            .sum();
        let sql = concat!(
            "SELECT ",
            row::columns!(),
            " FROM amadeus_runs r \
             WHERE ($1 = '' OR r.pattern = $1) AND ($2 = 0 OR (($2 >> CAST(r.state AS integer)) & 1) = 1) \
             AND ($3 = '' OR r.actor = $3) AND ($4 = '' OR r.correlation = $4) \
             AND ($5 = '' OR r.parent = $5) AND ($6 = 0 OR r.begun_by = $7) AND r.run < $8 \
             ORDER BY r.run DESC LIMIT $9"
        );
        let values = values![
            &*filter.pattern,
            states,
            &*filter.actor,
            &*filter.correlation,
            &*filter.parent,
            u64::from(filter.begun_by.is_some()),
            filter.begun_by.as_deref().unwrap_or_default(),
            filter.before.map_or(u64::MAX, |key| key.0),
            limit as u64,
        ];
        self.base
            .all(sql, values)
            .await?
            .iter()
            .map(row::run)
            .collect()
    }

    /// Runs within a run that have not ended: at most [`AT_ONCE`].
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn children(&self, parent: &str) -> Result<Vec<RunId>, RunRowsError> {
        // Said twice, so that the index of those that have a parent is used.
        let sql = "SELECT id FROM amadeus_runs WHERE parent = $1 AND parent <> '' AND ended_ms IS NULL ORDER BY run LIMIT $2";
        let rows = self.base.all(sql, values![parent, AT_ONCE as u64]).await?;
        rows.iter()
            .map(|row| Ok(RunId(row.text(0)?.into())))
            .collect()
    }

    /// How a pattern has run.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn statistics(&self, pattern: &str) -> Result<Statistics, RunRowsError> {
        let sql = "SELECT usage, succeeded, failed, cancelled, total_ms, min_ms, max_ms, last_ms \
            FROM amadeus_run_statistics WHERE pattern = $1";
        let rows = self.base.all(sql, values![pattern]).await?;
        let read = |row: &Row| {
            let ended = row.number(1)? + row.number(2)? + row.number(3)?;
            Ok(Statistics {
                usage: row.number(0)?,
                succeeded: row.number(1)?,
                failed: row.number(2)?,
                cancelled: row.number(3)?,
                total_ms: row.number(4)?,
                min_ms: if ended == 0 { 0 } else { row.number(5)? },
                max_ms: row.number(6)?,
                last_ms: row.number(7)?,
            })
        };
        rows.first().map_or(Ok(Statistics::default()), read)
    }

    /// Notes that somebody wants a run to end. Whether it was still going on, and nobody had wanted that before.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn ask_cancel(&self, id: &str, cancel: &Cancel) -> Result<bool, RunRowsError> {
        let sql = "UPDATE amadeus_runs SET cancel_actor = $2, cancel_reason = $3 \
            WHERE id = $1 AND ended_ms IS NULL AND cancel_actor IS NULL RETURNING run";
        let values = values![id, &*cancel.actor, &*cancel.reason];
        Ok(!self.base.all(sql, values).await?.is_empty())
    }

    /// Says that I live, where others would take me for dead, and tells which of my runs somebody wants to end.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn beat(&self, me: ServerId) -> Result<Beat, RunRowsError> {
        if let Base::Postgres(_) = &self.base {
            let sql = "INSERT INTO amadeus_run_servers VALUES ($1, clock_timestamp()) \
                ON CONFLICT (server) DO UPDATE SET seen = clock_timestamp() RETURNING server";
            self.base.all(sql, values![me]).await?;
        }
        let sql = "SELECT run, cancel_actor, cancel_reason FROM amadeus_runs \
            WHERE told = 0 AND owner = $1 AND ended_ms IS NULL AND cancel_actor IS NOT NULL";
        let rows = self.base.all(sql, values![me]).await?;
        let cancel = |row: &Row| {
            Ok((
                RunKey(row.number(0)?),
                Cancel {
                    actor: row.text(1)?.into(),
                    reason: row.maybe_text(2)?.unwrap_or_default().into(),
                },
            ))
        };
        let cancels = rows
            .iter()
            .map(cancel)
            .collect::<Result<_, RunRowsError>>()?;
        Ok(Beat { cancels })
    }

    /// Makes runs mine whose owner is gone and that are not at their end, or whose end was not announced: at most [`AT_ONCE`],
    /// oldest first, each with its epoch raised. Of many servers that ask one gets each.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn adopt(&self, me: ServerId, silent: Duration) -> Result<Vec<RunId>, RunRowsError> {
        let rows = match &self.base {
            Base::Sqlite(_) => {
                let sql = "UPDATE amadeus_runs SET owner = $1, epoch = epoch + 1 WHERE run IN ( \
                        SELECT run FROM amadeus_runs WHERE told = 0 AND owner <> $1 ORDER BY run LIMIT $2 \
                    ) RETURNING id, run";
                self.base.all(sql, values![me, AT_ONCE as u64]).await?
            }
            Base::Postgres(_) => {
                // Whoever is adopting the same ones has locked them; they are passed over.
                let sql = "UPDATE amadeus_runs SET owner = $1, epoch = epoch + 1 WHERE run IN ( \
                        SELECT run FROM amadeus_runs WHERE told = 0 AND owner <> $1 AND owner NOT IN ( \
                            SELECT server FROM amadeus_run_servers \
                            WHERE seen > clock_timestamp() - make_interval(secs => $3 / 1000.0) \
                        ) ORDER BY run LIMIT $2 FOR UPDATE SKIP LOCKED \
                    ) RETURNING id, run";
                let silent_ms = silent.as_millis() as u64;
                self.base
                    .all(sql, values![me, AT_ONCE as u64, silent_ms])
                    .await?
            }
        };
        let mut adopted = Vec::with_capacity(rows.len());
        for row in &rows {
            adopted.push((row.number(1)?, RunId(row.text(0)?.into())));
        }
        adopted.sort_unstable();
        Ok(adopted.into_iter().map(|(_, id)| id).collect())
    }

    /// Makes a run of mine, which has this epoch and which nobody here carries out, mine anew: its epoch is raised. Whether it was so.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn retake(&self, id: &RunId, epoch: u32, me: ServerId) -> Result<bool, RunRowsError> {
        let sql = "UPDATE amadeus_runs SET epoch = epoch + 1 \
            WHERE id = $1 AND owner = $2 AND epoch = $3 AND ended_ms IS NULL RETURNING run";
        let values = values![&*id.0, me, u64::from(epoch)];
        Ok(!self.base.all(sql, values).await?.is_empty())
    }

    /// My runs that are not at their end, or whose end was not announced.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn mine(&self, me: ServerId) -> Result<Vec<RunId>, RunRowsError> {
        let sql = "SELECT id FROM amadeus_runs WHERE told = 0 AND owner = $1 ORDER BY run";
        let rows = self.base.all(sql, values![me]).await?;
        rows.iter()
            .map(|row| Ok(RunId(row.text(0)?.into())))
            .collect()
    }

    /// Lets go of all that is mine, so that others take it over at once.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn leave(&self, me: ServerId) -> Result<(), RunRowsError> {
        if let Base::Postgres(_) = &self.base {
            let sql = "DELETE FROM amadeus_run_servers WHERE server = $1 \
                OR seen < clock_timestamp() - make_interval(days => 1) RETURNING server";
            self.base.all(sql, values![me]).await?;
        }
        Ok(())
    }

    /// Removes runs that ended before a time, and the oldest of those that ended beyond so many; at most [`AT_ONCE`]. How many.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn trim(&self, before_ms: u64, keep: u64) -> Result<usize, RunRowsError> {
        let sql = "DELETE FROM amadeus_runs WHERE run IN ( \
                SELECT run FROM amadeus_runs WHERE told = 1 AND ended_ms IS NOT NULL AND (ended_ms < $1 OR run <= coalesce( \
                    (SELECT run FROM amadeus_runs WHERE ended_ms IS NOT NULL ORDER BY run DESC LIMIT 1 OFFSET $2), 0) \
                ) ORDER BY run LIMIT $3 \
            ) RETURNING run";
        let gone = self
            .base
            .all(sql, values![before_ms, keep, AT_ONCE as u64])
            .await?;
        let keys = gone
            .iter()
            .map(|row| row.number(0))
            .collect::<Result<Vec<_>, _>>()?;
        self.base.forget(&keys).await?;
        Ok(keys.len())
    }

    /// Writes what was handed over, then closes them.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(Job::Close(answer)).await.is_ok() {
            let _ = tokio::time::timeout(ask::PATIENCE, answered).await;
        }
        self.base.close().await;
    }
}

/// Lines that were handed over.
pub struct Appending(oneshot::Receiver<Result<(), Fenced>>);

impl Appending {
    /// Returns when they are durable.
    ///
    /// # Errors
    /// [`Fenced`].
    pub async fn durable(self) -> Result<(), Fenced> {
        self.0.await.unwrap_or(Err(Fenced::Closed))
    }
}

fn closed() -> RunRowsError {
    RunRowsError::Broken("they are closed".into())
}
