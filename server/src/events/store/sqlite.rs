//! Events in a SQLite file, or in memory: one connection writes, in chunks, synced at each commit; one reads.
//!
//! One process has the store, so what repetitions are found by is read once and kept in memory, by 17 to 34 bytes for each
//! event: an index in the file would be written anew, page by page, by every batch. A repetition costs a look at the marks of
//! its chunk.
//!
//! A full disk rolls back and is no more than that. After a failure of the file nobody can say what is on the disk, and nothing
//! more is written.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use futures::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::super::decide::{Decided, Known, decide};
use super::super::error::EventError;
use super::super::event::Prepared;
use super::super::groups::{Group, Letter, Unwritten};
use super::chunk::{self, Chunk};
use super::{Bounds, Read, Written, file};
use crate::storage::Fault;
use kg_core::limits::DEAD_LETTERS;

/// Chunks and bytes of one statement; SQLite takes 32,766 parameters, and each chunk has six.
const CHUNKS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Chunks that one trim removes.
const TRIMMED: i64 = 64;

/// Bytes after which a read ends.
const READ_BYTES: usize = 2 * 1024 * 1024;

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
            load(connection).await?
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
        let known = match contents(connection, hits).await {
            Ok(known) => known,
            Err(error) => return Err(failed(&mut line, &error)),
        };
        let mut bounds = self.bounds();
        let Decided { answers, fresh } = decide(batches, bounds.next, &known);
        let appended_ms = remembered.appended_ms.max(now_ms);
        if !fresh.is_empty() {
            let chunks = chunk::chunks(&fresh, bounds.next);
            if let Err(error) =
                write(connection, |c| Box::pin(insert(c, chunks, appended_ms))).await
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
        let trimmed = write(connection, |c| Box::pin(trim(c, below))).await;
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
            .reading(move |c| Box::pin(read(c, from, limit)))
            .await?;
        Ok(Read {
            events,
            bounds: self.bounds(),
        })
    }

    pub(super) async fn at_time(&self, ms: u64) -> Result<Option<u64>, EventError> {
        self.reading(move |connection| {
            Box::pin(async move {
                let sql = "SELECT first FROM chunks WHERE appended_ms >= ? ORDER BY appended_ms, first LIMIT 1";
                let found: Option<i64> = sqlx::query_scalar(sql)
                    .bind(signed(ms))
                    .fetch_optional(connection)
                    .await?;
                Ok(found.map(i64::cast_unsigned))
            })
        })
        .await
    }

    pub(super) async fn load_groups(&self) -> Result<Vec<Group>, EventError> {
        self.reading(|connection| {
            Box::pin(async move {
                let bodies: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM groups")
                    .fetch_all(connection)
                    .await?;
                let group = |body: Vec<u8>| prost::Message::decode(&*body);
                let groups = bodies.into_iter().map(group).collect::<Result<_, _>>();
                groups.map_err(|e: prost::DecodeError| wrong(format!("a group: {e}")))
            })
        })
        .await
    }

    pub(super) async fn write_groups(&self, changed: &Unwritten) -> Result<(), EventError> {
        let mut line = self.0.writer.lock().await;
        let connection = open(&mut line)?;
        let changed = changed.clone();
        let written = write(connection, |c| Box::pin(write_groups(c, changed))).await;
        written.map_err(|error| failed(&mut line, &error))
    }

    pub(super) async fn letters(
        &self,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Letter>, EventError> {
        let name = name.to_owned();
        self.reading(move |connection| {
            Box::pin(async move {
                let sql = "SELECT place, body FROM letters WHERE name = ? AND place > ? ORDER BY place LIMIT ?";
                let rows = sqlx::query(sql)
                    .bind(name)
                    .bind(signed(after))
                    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                    .fetch_all(connection)
                    .await?;
                let letter = |row: &SqliteRow| {
                    let place: i64 = row.try_get(0)?;
                    let body: &[u8] = row.try_get(1)?;
                    Letter::decode(place.cast_unsigned(), body).map_err(wrong)
                };
                rows.iter().map(letter).collect()
            })
        })
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

/// Reads what is remembered, and where the log ends.
async fn load(connection: &mut SqliteConnection) -> Result<(Remembered, Bounds), EventError> {
    let mut remembered = Remembered::default();
    let mut bounds = Bounds {
        oldest: 1,
        next: 1,
        bytes: 0,
    };
    let broken = |error: sqlx::Error| EventError::Broken(error.to_string());
    let sql = "SELECT first, count, appended_ms, marks, length(body) FROM chunks ORDER BY first";
    let mut rows = sqlx::query(sql).fetch(connection);
    let mut is_first = true;
    while let Some(row) = rows.try_next().await.map_err(broken)? {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let first = number(0).map_err(broken)?;
        let (count, appended_ms) = (number(1).map_err(broken)?, number(2).map_err(broken)?);
        if std::mem::take(&mut is_first) {
            (bounds.oldest, bounds.next) = (first, first);
        }
        if first != bounds.next {
            return Err(EventError::Broken(format!(
                "the events from {} to {first} are missing",
                bounds.next
            )));
        }
        let marks: &[u8] = row.try_get(3).map_err(broken)?;
        let marks = chunk::marks(first, marks).map_err(EventError::Broken)?;
        if marks.len() as u64 != count {
            return Err(EventError::Broken(format!(
                "the events from {first} on are {count}, and {} are remembered",
                marks.len()
            )));
        }
        let places = marks.into_iter().map(|(key, _)| key).zip(first..);
        remembered.places.extend(places);
        remembered.appended_ms = appended_ms;
        bounds.next = first + count;
        bounds.bytes += number(4).map_err(broken)?.saturating_sub(4 * count);
    }
    Ok((remembered, bounds))
}

/// What the events at these places say, by their keys.
async fn contents(
    connection: &mut SqliteConnection,
    mut places: Vec<u64>,
) -> Result<HashMap<u64, Known>, sqlx::Error> {
    places.sort_unstable();
    let mut known = HashMap::new();
    let mut behind = 0;
    for place in places {
        if place < behind {
            continue;
        }
        let sql = "SELECT first, marks FROM chunks WHERE first <= ? ORDER BY first DESC LIMIT 1";
        let row = sqlx::query(sql)
            .bind(signed(place))
            .fetch_one(&mut *connection)
            .await?;
        let first = row.try_get::<i64, _>(0)?.cast_unsigned();
        let marks = chunk::marks(first, row.try_get(1)?).map_err(wrong)?;
        behind = first + marks.len() as u64;
        known.extend(
            (first..)
                .zip(marks)
                .map(|(offset, (key, content))| (key, Known { offset, content })),
        );
    }
    Ok(known)
}

async fn insert(
    connection: &mut SqliteConnection,
    chunks: Vec<Chunk>,
    appended_ms: u64,
) -> Result<(), sqlx::Error> {
    let mut chunks = chunks.into_iter().peekable();
    while chunks.peek().is_some() {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < CHUNKS_AT_ONCE
            && let Some(next) =
                chunks.next_if(|c| rows.is_empty() || bytes + c.body.len() <= BYTES_AT_ONCE)
        {
            bytes += next.body.len();
            rows.push(next);
        }
        // Batches of one chunk are many and alike; keeping the statement of every other length would only push that one out.
        let keep = rows.len() == 1;
        let mut statement = QueryBuilder::<Sqlite>::new(
            "INSERT INTO chunks (first, count, appended_ms, sum, marks, body) ",
        );
        statement.push_values(rows, |mut row, chunk| {
            row.push_bind(signed(chunk.first))
                .push_bind(chunk.count as i64)
                .push_bind(signed(appended_ms))
                .push_bind(i64::from(chunk.sum))
                .push_bind(chunk.marks)
                .push_bind(chunk.body);
        });
        statement
            .build()
            .persistent(keep)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What a trim removed.
struct Gone {
    keys: Vec<(u64, u64)>,
    bytes: u64,
    oldest: u64,
}

/// Removes chunks that are wholly before a place, but the last of the log: by it its end is known.
async fn trim(connection: &mut SqliteConnection, below: u64) -> Result<Option<Gone>, sqlx::Error> {
    let sql = "SELECT first, count, marks, length(body) FROM chunks \
        WHERE first + count <= ?1 AND first < (SELECT max(first) FROM chunks) ORDER BY first LIMIT ?2";
    let rows = sqlx::query(sql)
        .bind(signed(below))
        .bind(TRIMMED)
        .fetch_all(&mut *connection)
        .await?;
    let mut gone = Gone {
        keys: Vec::new(),
        bytes: 0,
        oldest: 0,
    };
    for row in &rows {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let (first, count) = (number(0)?, number(1)?);
        let marks = chunk::marks(first, row.try_get(2)?).map_err(wrong)?;
        gone.keys
            .extend(marks.into_iter().map(|(key, _)| key).zip(first..));
        gone.bytes += number(3)?.saturating_sub(4 * count);
        gone.oldest = first + count;
    }
    if rows.is_empty() {
        return Ok(None);
    }
    sqlx::query("DELETE FROM chunks WHERE first < ?")
        .bind(signed(gone.oldest))
        .execute(connection)
        .await?;
    Ok(Some(gone))
}

async fn read(
    connection: &mut SqliteConnection,
    from: u64,
    limit: usize,
) -> Result<Vec<super::Weighed>, sqlx::Error> {
    let sql = "SELECT first, appended_ms, sum, body FROM chunks \
        WHERE first > ?1 AND first + count > ?2 ORDER BY first LIMIT ?3";
    let mut rows = sqlx::query(sql)
        .bind(signed(from) - chunk::EVENTS as i64)
        .bind(signed(from))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch(connection);
    let (mut found, mut bytes) = (Vec::new(), 0);
    while found.len() < limit
        && bytes < READ_BYTES
        && let Some(row) = rows.try_next().await?
    {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let sum: u32 = row.try_get(2)?;
        let body: &[u8] = row.try_get(3)?;
        let at = (number(0)?, number(1)?);
        let events = chunk::events(at, sum, body, from, limit - found.len()).map_err(wrong)?;
        bytes += body.len();
        found.extend(events);
    }
    Ok(found)
}

async fn write_groups(
    connection: &mut SqliteConnection,
    changed: Unwritten,
) -> Result<(), sqlx::Error> {
    for (name, group) in &changed.groups {
        let Some(group) = group else {
            for sql in [
                "DELETE FROM groups WHERE name = ?",
                "DELETE FROM letters WHERE name = ?",
            ] {
                sqlx::query(sql)
                    .bind(name)
                    .execute(&mut *connection)
                    .await?;
            }
            continue;
        };
        if group.letters == 0 {
            // Those of one that had this name before.
            let sql = "DELETE FROM letters WHERE name = ?";
            sqlx::query(sql)
                .bind(name)
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query("INSERT OR REPLACE INTO groups (name, body) VALUES (?, ?)")
            .bind(name)
            .bind(prost::Message::encode_to_vec(group))
            .execute(&mut *connection)
            .await?;
    }
    for (name, letter) in &changed.letters {
        sqlx::query("INSERT OR REPLACE INTO letters (name, place, body) VALUES (?, ?, ?)")
            .bind(name)
            .bind(signed(letter.event.offset))
            .bind(letter.encode())
            .execute(&mut *connection)
            .await?;
        let sql = "DELETE FROM letters WHERE name = ?1 AND place <= \
            (SELECT place FROM letters WHERE name = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)";
        sqlx::query(sql)
            .bind(name)
            .bind(DEAD_LETTERS as i64)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
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
