//! The log in SQLite: WAL mode, every commit synced, one multi-row statement per batch.
//!
//! One connection writes and one reads, each behind its lock. A compaction runs in a task of its own, so that it ends also
//! when its caller does not wait; what is left of an append that is dropped half-way is rolled back by the next one. A batch
//! is one transaction: the look at the log's end, the insert, the commit. Only then the watermark is moved, and only then
//! the append returns.
//!
//! A full disk rolls the transaction back and is no more than that. Any other failure of the file breaks the log for good:
//! after a failed sync nobody can say what is on the disk.

mod connect;
mod writer;

pub(super) use connect::{application_id, create, open_to_read, schema_version};

use super::lock::Lock;
use super::watermark::Watermark;
use kg_core::log::{AppendError, Batch, CommitLog, ReadError, Record};
use sqlx::{Connection, Row, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;
use writer::{WatermarkFault, Writer};

/// Records that one read returns at most; and bytes, though one record is always returned.
const READ_RECORDS: usize = 10_000;
const READ_BYTES: usize = 8 * 1024 * 1024;

/// A log in a SQLite file. Clones are further handles of the same one. Needs a tokio runtime.
#[derive(Clone)]
pub struct SqliteLog(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// `None` once the log is closed.
    writer: Mutex<Option<Writer>>,
    reader: Mutex<Option<SqliteConnection>>,
    broken: OnceLock<String>,
    /// Whether a write was dropped half-way. Relaxed: it is written and read under the lock of `writer`.
    abandoned: AtomicBool,
    watermark_fault: WatermarkFault,
    /// Relaxed throughout: a count that orders nothing.
    appended_bytes: AtomicU64,
    /// The last field, so that the connections are dropped before the lock is.
    lock: std::sync::Mutex<Option<Lock>>,
}

impl SqliteLog {
    /// Opens a log that has been verified.
    pub(super) async fn open(
        path: &Path,
        watermark: Watermark,
        lock: Lock,
    ) -> Result<Self, sqlx::Error> {
        let watermark_fault = WatermarkFault::default();
        let connection = connect::open_to_write(path).await?;
        let writer = Writer::new(connection, watermark, watermark_fault.clone());
        let reader = open_to_read(path).await?;
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            writer: Mutex::new(Some(writer)),
            reader: Mutex::new(Some(reader)),
            broken: OnceLock::new(),
            abandoned: AtomicBool::new(false),
            watermark_fault,
            appended_bytes: AtomicU64::new(0),
            lock: std::sync::Mutex::new(Some(lock)),
        })))
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Bytes of records appended since it was opened.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.0.appended_bytes.load(Ordering::Relaxed)
    }

    /// As [`super::Backend::watermark_fault`].
    #[must_use]
    pub fn watermark_fault(&self) -> Option<String> {
        let fault = self.0.watermark_fault.lock();
        fault
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// As [`super::Backend::compact`]. In small transactions, so that appends find room between them.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn compact(&self, revision: u64) -> Result<u64, AppendError> {
        loop {
            let (oldest, more) = self
                .write(move |writer| Box::pin(writer.compact(revision)))
                .await?;
            if !more {
                return Ok(oldest);
            }
            tokio::task::yield_now().await;
        }
    }

    /// As [`super::Backend::close`].
    ///
    /// # Errors
    /// What SQLite said.
    pub async fn close(&self) -> Result<(), String> {
        let reader = self.0.reader.lock().await.take();
        if let Some(reader) = reader {
            reader.close().await.map_err(|e| e.to_string())?;
        }
        // Waits for the append that may be under way.
        let writer = self.0.writer.lock().await.take();
        let closed = match writer {
            Some(writer) => writer.close().await,
            None => Ok(()),
        };
        let mut lock = self
            .0
            .lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        lock.take();
        closed
    }

    /// Runs `work` on the writer in a task of its own; dropping this future does not stop it.
    async fn write<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Writer) -> writer::Working<'a, T> + Send + 'static,
    ) -> Result<T, AppendError> {
        let log = self.clone();
        let task = tokio::spawn(async move { log.write_here(work).await });
        // Cancelled when the runtime ends: then nobody is left to be told.
        task.await
            .unwrap_or_else(|e| Err(AppendError::Broken(format!("the writing task ended: {e}"))))
    }

    /// Runs `work` on the writer. What is left of it when this future is dropped half-way is rolled back by the next one.
    async fn write_here<T>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Writer) -> writer::Working<'a, T>,
    ) -> Result<T, AppendError> {
        let shared = &*self.0;
        let mut writer = shared.writer.lock().await;
        if let Some(why) = shared.broken.get() {
            return Err(AppendError::Broken(why.clone()));
        }
        let Some(writer) = writer.as_mut() else {
            return Err(AppendError::Broken("the store is closed".into()));
        };
        let left_open = shared.abandoned.swap(false, Ordering::Relaxed);
        let half_way = HalfWay(shared);
        if left_open {
            writer.roll_back_if_open().await;
        }
        let done = work(writer).await;
        std::mem::forget(half_way);
        if let Err(AppendError::Broken(why)) = &done {
            let _ = shared.broken.set(why.clone());
        }
        done
    }
}

/// Notes, when it is dropped, that a write was left half-way: a transaction may be open then, within which a record that is
/// inserted alone would look committed. If nobody waits any more, the next write rolls it back first; a panic breaks the
/// log.
struct HalfWay<'a>(&'a Shared);

impl Drop for HalfWay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.broken.set("a bug ended a write half-way".into());
        } else {
            self.0.abandoned.store(true, Ordering::Relaxed);
        }
    }
}

impl CommitLog for SqliteLog {
    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let batch = batch.clone();
        // The committer's task waits for this whatever happens, so it needs no task of its own.
        let bytes = self
            .write_here(move |writer| Box::pin(writer.append(batch)))
            .await?;
        self.0.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        let rows = {
            let mut reader = self.0.reader.lock().await;
            let reader = reader.as_mut().ok_or_else(closed)?;
            let rows = bodies(reader, from, limit).await.map_err(read_failed)?;
            // What the log keeps is asked for only where the answer is not what was hoped for.
            if rows.first().is_none_or(|(first, _)| *first != from) {
                let (compacted, last) = ends(reader).await.map_err(read_failed)?;
                if from <= compacted {
                    return Err(ReadError::Compacted {
                        oldest: compacted + 1,
                    });
                }
                if from <= last {
                    return Err(ReadError::Io(format!("revision {from} is missing")));
                }
                return Ok(Vec::new());
            }
            rows
        };
        without_a_gap(from, &rows)
    }

    async fn last_revision(&self) -> Result<u64, ReadError> {
        let mut reader = self.0.reader.lock().await;
        let reader = reader.as_mut().ok_or_else(closed)?;
        ends(reader)
            .await
            .map(|(_, last)| last)
            .map_err(read_failed)
    }
}

impl std::fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqliteLog({})", self.0.path.display())
    }
}

/// Reads records whose revisions follow each other from `from` on.
pub(super) fn without_a_gap(from: u64, rows: &[(u64, Vec<u8>)]) -> Result<Vec<Record>, ReadError> {
    let record = |(expected, (revision, body)): (u64, &(u64, Vec<u8>))| {
        if *revision != expected {
            return Err(ReadError::Io(format!("revision {expected} is missing")));
        }
        decode(*revision, body)
    };
    (from..).zip(rows).map(record).collect()
}

/// Reads a record and proves that it is the one of its row.
pub(super) fn decode(revision: u64, body: &[u8]) -> Result<Record, ReadError> {
    let record = Record::decode(body).map_err(|cause| ReadError::Record { revision, cause })?;
    if record.revision != revision {
        let what = format!(
            "its row says {revision}, the record itself {}",
            record.revision
        );
        let cause = kg_core::log::DecodeError::Corrupt(what);
        return Err(ReadError::Record { revision, cause });
    }
    Ok(record)
}

/// Encoded records from a revision on, bounded in number and in bytes.
pub(super) async fn bodies(
    connection: &mut SqliteConnection,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>, sqlx::Error> {
    use futures::TryStreamExt;
    let limit = limit.min(READ_RECORDS);
    let mut rows = sqlx::query(
        "SELECT revision, body FROM records WHERE revision >= ? ORDER BY revision LIMIT ?",
    )
    .bind(i64::try_from(from).unwrap_or(i64::MAX))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch(connection);
    let mut found = Vec::new();
    let mut bytes = 0;
    while bytes < READ_BYTES
        && let Some(row) = rows.try_next().await?
    {
        let body: Vec<u8> = row.try_get(1)?;
        bytes += body.len();
        found.push((revision_of(&row, 0)?, body));
    }
    Ok(found)
}

/// Up to where the log was compacted, and the revision that it ends at.
pub(super) async fn ends(connection: &mut SqliteConnection) -> Result<(u64, u64), sqlx::Error> {
    let sql = "SELECT compacted, max(compacted, coalesce((SELECT max(revision) FROM records), 0)) FROM store";
    let row = sqlx::query(sql).fetch_one(connection).await?;
    Ok((revision_of(&row, 0)?, revision_of(&row, 1)?))
}

/// A revision from a column; a negative one is damage.
pub(super) fn revision_of(
    row: &sqlx::sqlite::SqliteRow,
    column: usize,
) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|e| sqlx::Error::Decode(format!("revision {value}: {e}").into()))
}

fn closed() -> ReadError {
    ReadError::Io("the store is closed".into())
}

fn read_failed(error: sqlx::Error) -> ReadError {
    ReadError::Io(error.to_string())
}
