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
mod error;
mod file;
mod find;
mod ownership;
mod postgres;
mod row;
mod run;
mod sqlite;
mod statistics;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use commit::Fenced;
pub use error::RunRowsError;
pub use find::RunFilter;
pub use ownership::Beat;
pub use row::{About, Cancel, OwnerId, RunRow};
pub use run::{Append, Begun, Kept, NewRun, Progress, RunId, RunKey};
pub use statistics::Statistics;

use crate::storage::{Backend, Opened, ServerId, values};
use ask::{Base, PATIENCE};
use commit::{Job, Writer};
use error::{closed, no_answer};

/// How long a server may be silent before its runs are taken over.
pub const LEASE: Duration = Duration::from_secs(5);

/// Runs that one call adopts, or trims, at most.
pub const AT_ONCE: usize = 1_000;

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

    /// Begins a run, durably, and counts it for its pattern. Behind lines that cannot be written now it is not waited for: it may
    /// begin when they are, and then goes on by itself.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn begin(&self, new: NewRun, me: ServerId) -> Result<Begun, RunRowsError> {
        self.begin_within(PATIENCE, new, me).await
    }

    async fn begin_within(
        &self,
        patience: Duration,
        new: NewRun,
        me: ServerId,
    ) -> Result<Begun, RunRowsError> {
        let (answer, answered) = oneshot::channel();
        let new = Box::new(new);
        let beginning = async {
            self.send(Job::Begin { new, me, answer }).await?;
            answered.await.unwrap_or_else(|_| Err(closed()))
        };
        let begun = timeout(patience, beginning).await;
        begun.unwrap_or_else(|_| Err(no_answer()))
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
        let keys = gone.iter().map(|row| row.number(0));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        self.base.forget(&keys).await?;
        Ok(keys.len())
    }

    /// Writes what was handed over, then closes them.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(Job::Close(answer)).await.is_ok() {
            let _ = timeout(PATIENCE, answered).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_waits_behind_lines_that_cannot_be_written_is_not_waited_for_without_an_end()
    {
        let base = Base::sqlite(file::in_memory().await.expect("it opens"));
        // Nobody takes what is handed over, as while a group is tried again and again.
        let (jobs, _waiting) = mpsc::channel(1);
        let rows = RunRows { base, jobs };
        let new = |id: &str| NewRun {
            id: RunId(id.into()),
            request: None,
            body: 0,
            about: About::default(),
            inputs: Vec::new(),
            definition: Vec::new(),
        };
        let patience = Duration::from_millis(5);
        // The first waits for its answer, the second for its place.
        for id in ["a", "b"] {
            let begun = rows.begin_within(patience, new(id), ServerId(1)).await;
            assert_eq!(begun, Err(no_answer()));
        }
    }
}
