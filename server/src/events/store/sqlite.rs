//! Events in a SQLite file, or in memory: one connection writes, in chunks, synced at each commit; one reads.
//!
//! One process has the store, so what repetitions are found by is read once and kept in memory, by 17 to 34 bytes for each
//! event: an index in the file would be written anew, page by page, by every batch. A repetition costs a look at the marks of
//! its chunk.
//!
//! A full disk rolls back and is no more than that. After a failure of the file nobody can say what is on the disk, and nothing
//! more is written.

mod groups;
mod log;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::super::decide::{Decided, decide};
use super::super::error::EventError;
use super::super::event::Prepared;
use super::super::groups::{Group, Letter, Unwritten};
use super::{Bounds, Read, Written, chunk, file};
use crate::storage::Fault;

/// Events in a file. Clones are further handles of the same ones.
#[derive(Clone)]
pub(in super::super) struct SqliteStore(Arc<Shared>);

struct Shared {
    /// What the writer knows of what is kept: where each key stands, and when the last event was appended.
    known: Mutex<Remembered>,
    bounds: StdMutex<Bounds>,
    writer: Arc<Mutex<Line>>,
    /// The same one, in memory.
    reader: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Remembered {
    places: HashMap<u64, u64, foldhash::fast::RandomState>,
    appended_ms: u64,
}

/// A connection, or why there is none any more.
type Line = Result<SqliteConnection, String>;

impl SqliteStore {
    /// Events that end with the process.
    pub(in super::super) async fn in_memory() -> Result<Self, EventError> {
        let line = Arc::new(Mutex::new(Ok(file::in_memory().await?)));
        Self::over(line.clone(), line).await
    }

    /// Opens the file beside a store, or begins one.
    pub(in super::super) async fn open(
        db: &Path,
        store_id: &str,
    ) -> Result<(Self, Option<String>), EventError> {
        let lines = file::open(db, store_id).await?;
        let line = |connection| Arc::new(Mutex::new(Ok(connection)));
        let store = Self::over(line(lines.writer), line(lines.reader)).await?;
        Ok((store, lines.notice))
    }

    async fn over(writer: Arc<Mutex<Line>>, reader: Arc<Mutex<Line>>) -> Result<Self, EventError> {
        let (known, bounds) = {
            let mut line = writer.lock().await;
            let connection = open(&mut line)?;
            log::load(connection).await?
        };
        Ok(Self(Arc::new(Shared {
            known: Mutex::new(known),
            bounds: StdMutex::new(bounds),
            writer,
            reader,
        })))
    }

    /// Its ends.
    pub(super) fn bounds(&self) -> Bounds {
        *self.0.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_bounds(&self, bounds: Bounds) {
        *self.0.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    pub(super) async fn append(
        &self,
        batches: Vec<Vec<Prepared>>,
        now_ms: u64,
    ) -> Result<Written, EventError> {
        let mut remembered = self.0.known.lock().await;
        let mut line = self.0.writer.lock().await;
        let connection = open(&mut line)?;
        let hits: Vec<u64> = batches
            .iter()
            .flatten()
            .filter_map(|event| remembered.places.get(&event.key).copied())
            .collect();
        let known = match log::contents(connection, hits).await {
            Ok(known) => known,
            Err(error) => return Err(failed(&mut line, &error)),
        };
        let mut bounds = self.bounds();
        let Decided { answers, fresh } = decide(batches, bounds.next, &known);
        let appended_ms = remembered.appended_ms.max(now_ms);
        if !fresh.is_empty() {
            let chunks = chunk::chunks(&fresh, bounds.next);
            if let Err(error) = write(connection, |c| {
                Box::pin(log::insert(c, chunks, appended_ms))
            })
            .await
            {
                return Err(failed(&mut line, &error));
            }
        }
        drop(line);
        remembered.appended_ms = appended_ms;
        let mut events = Vec::with_capacity(fresh.len());
        for event in fresh {
            remembered.places.insert(event.key, bounds.next);
            let bytes = event.body.len();
            events.push((event.at(bounds.next, appended_ms), bytes));
            bounds.next += 1;
            bounds.bytes += bytes as u64;
        }
        self.set_bounds(bounds);
        Ok(Written { answers, events })
    }

    pub(super) async fn trim(&self, below: u64) -> Result<bool, EventError> {
        let mut remembered = self.0.known.lock().await;
        let mut line = self.0.writer.lock().await;
        let connection = open(&mut line)?;
        let trimmed = write(connection, |c| Box::pin(log::trim(c, below))).await;
        let gone = match trimmed {
            Ok(gone) => gone,
            Err(error) => return Err(failed(&mut line, &error)),
        };
        drop(line);
        let Some(gone) = gone else { return Ok(false) };
        for (key, place) in gone.keys {
            if remembered.places.get(&key) == Some(&place) {
                remembered.places.remove(&key);
            }
        }
        let mut bounds = self.bounds();
        bounds.oldest = gone.oldest;
        bounds.bytes = bounds.bytes.saturating_sub(gone.bytes);
        self.set_bounds(bounds);
        Ok(gone.oldest < below)
    }

    pub(super) async fn read(&self, from: u64, limit: usize) -> Result<Read, EventError> {
        let bounds = self.bounds();
        if from < bounds.oldest || from >= bounds.next {
            return Ok(Read {
                events: Vec::new(),
                bounds,
            });
        }
        let events = self
            .reading(move |c| Box::pin(log::read(c, from, limit)))
            .await?;
        Ok(Read {
            events,
            bounds: self.bounds(),
        })
    }

    pub(super) async fn at_time(&self, ms: u64) -> Result<Option<u64>, EventError> {
        self.reading(move |c| Box::pin(log::at_time(c, ms))).await
    }

    pub(super) async fn load_groups(&self) -> Result<Vec<Group>, EventError> {
        self.reading(|c| Box::pin(groups::load(c))).await
    }

    pub(super) async fn write_groups(&self, changed: &Unwritten) -> Result<(), EventError> {
        let mut line = self.0.writer.lock().await;
        let connection = open(&mut line)?;
        let changed = changed.clone();
        let written = write(connection, |c| Box::pin(groups::write(c, changed))).await;
        written.map_err(|error| failed(&mut line, &error))
    }

    pub(super) async fn letters(
        &self,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Letter>, EventError> {
        let name = name.to_owned();
        self.reading(move |c| Box::pin(groups::letters(c, name, after, limit)))
            .await
    }

    pub(super) async fn close(&self) {
        for line in [&self.0.reader, &self.0.writer] {
            let closed = Err("they are closed".to_owned());
            let before = std::mem::replace(&mut *line.lock().await, closed);
            if let Ok(connection) = before {
                // What is not moved out of the WAL now is moved when the file is opened again.
                let _ = connection.close().await;
            }
        }
    }

    /// Reads in a task of its own: whoever asked may go away in the middle of it.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Working<'_, T> + Send + 'static,
    ) -> Result<T, EventError> {
        let reader = self.0.reader.clone();
        let read = tokio::spawn(async move {
            let mut line: OwnedMutexGuard<Line> = reader.lock_owned().await;
            let connection = open(&mut line)?;
            work(connection).await.map_err(|error| match error {
                sqlx::Error::Decode(what) => EventError::Broken(what.to_string()),
                error => EventError::Unavailable(error.to_string()),
            })
        });
        let ended = |error| EventError::Unavailable(format!("a read ended half-way: {error}"));
        read.await.unwrap_or_else(|error| Err(ended(error)))
    }
}

/// Work under way on a connection.
type Working<'a, T> = futures::future::BoxFuture<'a, Result<T, sqlx::Error>>;

fn open(line: &mut Line) -> Result<&mut SqliteConnection, EventError> {
    line.as_mut()
        .map_err(|why| EventError::Unavailable(why.clone()))
}

/// Carries out work as a transaction: all of it or nothing.
async fn write<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Working<'_, T>,
) -> Result<T, sqlx::Error> {
    run(connection, "BEGIN IMMEDIATE").await?;
    let doing = async {
        let done = work(&mut *connection).await?;
        run(connection, "COMMIT").await?;
        Ok(done)
    };
    let done = doing.await;
    if done.is_err() {
        // SQLite may have rolled back by itself; then there is nothing to roll back, which it calls an error.
        let _ = run(connection, "ROLLBACK").await;
    }
    done
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}
/// A place beyond what SQLite can hold is as good as the greatest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn wrong(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

/// What a failed write means. After some nobody can say what is on the disk, and nothing more is written.
fn failed(line: &mut Line, error: &sqlx::Error) -> EventError {
    let fault = Fault::of(error);
    let is_content = matches!(error, sqlx::Error::Decode(_));
    if let (Fault::Disk(said) | Fault::Damaged(said) | Fault::Wrong(said), false) =
        (&fault, is_content)
    {
        *line = Err(said.clone());
    }
    fault.into()
}
