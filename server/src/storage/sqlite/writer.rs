//! The one connection that writes, and what each failure of it means.

use super::super::watermark::Watermark;
use super::ends;
use kg_core::faults::{Bug, Point, fallible, point, seeded};
use kg_core::log::{AppendError, Batch};
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// Parameters that SQLite takes in one statement, and ours per record.
const VARIABLES: usize = 32_766;
const PER_RECORD: usize = 3;

/// Bytes of records in one statement; a larger record has one to itself.
const STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// Records that one transaction of a compaction removes.
const COMPACTED_AT_ONCE: u64 = 256;

/// SQLite's primary result codes that mean something else than "broken".
const BUSY: i32 = 5;
const FULL: i32 = 13;
/// The file that SQLite shares between connections could not grow: there is no room for that either.
const IOERR_SHMSIZE: i32 = 4_874;

/// Work under way on a writer.
pub(super) type Working<'a, T> = Pin<Box<dyn Future<Output = Result<T, AppendError>> + Send + 'a>>;

pub(super) struct Writer {
    connection: SqliteConnection,
    watermark: Watermark,
    watermark_fault: WatermarkFault,
}

/// Why the last write of the watermark failed, if it did.
pub(super) type WatermarkFault = Arc<Mutex<Option<String>>>;

/// What the look at the log's end found.
enum Place {
    /// The batch follows.
    Next,
    /// It is there already.
    Done,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        watermark: Watermark,
        watermark_fault: WatermarkFault,
    ) -> Self {
        Self {
            connection,
            watermark,
            watermark_fault,
        }
    }

    /// Appends, and returns how many bytes that were.
    pub(super) async fn append(&mut self, batch: Batch) -> Result<u64, AppendError> {
        if let [alone] = &batch.records[..] {
            let body = alone.encode();
            let bytes = body.len();
            if self.insert_alone(&batch, alone.revision, body).await? {
                self.mark(batch.last());
                point(Point::LogMarked);
                return Ok(bytes as u64);
            }
        }
        let bodies: Vec<(u64, Vec<u8>)> = batch
            .records
            .iter()
            .map(|r| (r.revision, r.encode()))
            .collect();
        let bytes: usize = bodies.iter().map(|(_, body)| body.len()).sum();
        self.begin().await?;
        point(Point::LogBegun);
        match self.place(&batch).await {
            Ok(Place::Done) => self.roll_back().await?,
            Err(refused) => {
                self.roll_back().await?;
                return Err(refused);
            }
            Ok(Place::Next) => {
                if let Err(error) = insert(&mut self.connection, batch.id, bodies).await {
                    return Err(self.undo(&error, batch.after, true).await);
                }
                if let Err(error) = fallible(Point::LogInserted) {
                    return Err(self.undo(&error.into(), batch.after, true).await);
                }
                if let Err(error) = run(&mut self.connection, "COMMIT").await {
                    return Err(self.undo(&error, batch.after, false).await);
                }
            }
        }
        self.mark(batch.last());
        point(Point::LogMarked);
        Ok(bytes as u64)
    }

    /// Looks at the log's end, inserts and commits by one statement, for a batch of one record: each further statement is a
    /// way to SQLite's thread and back, for which a client alone would wait. False if the batch does not follow on the
    /// log's end; then nothing happened.
    async fn insert_alone(
        &mut self,
        batch: &Batch,
        revision: u64,
        body: Vec<u8>,
    ) -> Result<bool, AppendError> {
        let sql = "INSERT INTO records (revision, batch, body) SELECT ?1, ?2, ?3 WHERE ?4 = \
            (SELECT max(compacted, coalesce((SELECT max(revision) FROM records), 0)) FROM store)";
        let inserted = sqlx::query(sql)
            .bind(signed(revision)?)
            .bind(batch.id.to_le_bytes().to_vec())
            .bind(body)
            .bind(signed(batch.after)?)
            .execute(&mut self.connection)
            .await;
        match inserted {
            Ok(done) => Ok(done.rows_affected() == 1),
            // As in `begin`: nothing happened.
            Err(e) if is_busy(&e) => Err(AppendError::Unknown(e.to_string())),
            // It may have failed in the commit, so no more is known than after one.
            Err(e) => Err(self.undo(&e, batch.after, false).await),
        }
    }

    async fn place(&mut self, batch: &Batch) -> Result<Place, AppendError> {
        let (_, last) = ends(&mut self.connection).await.map_err(|e| broken(&e))?;
        if last == batch.after {
            return Ok(Place::Next);
        }
        if last == batch.last() && self.batch_at(last).await? == Some(batch.id) {
            return Ok(Place::Done);
        }
        Err(AppendError::MovedOn { last })
    }

    async fn batch_at(&mut self, revision: u64) -> Result<Option<u128>, AppendError> {
        let found: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT batch FROM records WHERE revision = ?")
                .bind(signed(revision)?)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(|e| broken(&e))?;
        Ok(found
            .and_then(|id| id.try_into().ok())
            .map(u128::from_le_bytes))
    }

    /// Removes some of the records up to `revision`; tells the oldest that is kept, and whether there are more to remove.
    pub(super) async fn compact(&mut self, revision: u64) -> Result<(u64, bool), AppendError> {
        self.begin().await?;
        let (compacted, last) = match ends(&mut self.connection).await {
            Ok(ends) => ends,
            Err(error) => return Err(broken(&error)),
        };
        // The last record stays: the log's end must be there to be seen, and so must the batch that it came with.
        let goal = revision.min(last.saturating_sub(1));
        let upto = goal.min(compacted + COMPACTED_AT_ONCE);
        if upto <= compacted {
            self.roll_back().await?;
            return Ok((compacted + 1, false));
        }
        let removed = async {
            let upto = i64::try_from(upto).map_err(|e| sqlx::Error::Encode(e.into()))?;
            let gone = sqlx::query("DELETE FROM records WHERE revision <= ?").bind(upto);
            gone.execute(&mut self.connection).await?;
            let noted = sqlx::query("UPDATE store SET compacted = ?").bind(upto);
            noted.execute(&mut self.connection).await
        };
        if let Err(error) = removed.await {
            return Err(self.undo(&error, last, true).await);
        }
        point(Point::CompactRemoved);
        if let Err(error) = run(&mut self.connection, "COMMIT").await {
            return Err(self.undo(&error, last, false).await);
        }
        point(Point::CompactCommitted);
        Ok((upto + 1, upto < goal))
    }

    pub(super) async fn close(self) -> Result<(), String> {
        self.connection.close().await.map_err(|e| e.to_string())?;
        self.watermark
            .sync()
            .map_err(|e| format!("the watermark: {e}"))
    }

    /// Moves the watermark. The batch is durable whatever becomes of this, so a failure is told and no more.
    fn mark(&mut self, revision: u64) {
        if seeded(Bug::LostWatermark) {
            return;
        }
        let written = fallible(Point::LogCommitted).and_then(|()| self.watermark.write(revision));
        let fault = written.err().map(|error| {
            tracing::error!(%error, revision, "the watermark could not be written; a log that loses its end would not be noticed");
            format!("it could not be written at revision {revision}, a log that loses its end would not be noticed: {error}")
        });
        *self
            .watermark_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    async fn begin(&mut self) -> Result<(), AppendError> {
        match run(&mut self.connection, "BEGIN IMMEDIATE").await {
            Ok(()) => Ok(()),
            Err(e) if is_full(&e) || code(&e) == Some(IOERR_SHMSIZE) => {
                Err(AppendError::Full(e.to_string()))
            }
            // Another program has the file open and writes to it: nothing happened, and it will end.
            Err(e) if is_busy(&e) => Err(AppendError::Unknown(e.to_string())),
            Err(e) => Err(broken(&e)),
        }
    }

    /// Rolls back what an abandoned write may have left open. SQLite calls it an error where nothing is.
    pub(super) async fn roll_back_if_open(&mut self) {
        let _ = run(&mut self.connection, "ROLLBACK").await;
    }

    async fn roll_back(&mut self) -> Result<(), AppendError> {
        run(&mut self.connection, "ROLLBACK")
            .await
            .map_err(|e| broken(&e))
    }

    /// Undoes a transaction that failed, and says what that means. After a full disk the log must end where it ended.
    async fn undo(&mut self, error: &sqlx::Error, end: u64, before_commit: bool) -> AppendError {
        // SQLite may have rolled back by itself; then there is nothing to roll back, which it calls an error.
        let _ = run(&mut self.connection, "ROLLBACK").await;
        let no_room = is_full(error) || before_commit && code(error) == Some(IOERR_SHMSIZE);
        if !no_room {
            return broken(error);
        }
        match ends(&mut self.connection).await {
            Ok((_, last)) if last == end => AppendError::Full(error.to_string()),
            Ok((_, last)) => AppendError::Broken(format!(
                "{error}; the log then ended at revision {last} instead of {end}"
            )),
            Err(again) => broken(&again),
        }
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    batch: u128,
    bodies: Vec<(u64, Vec<u8>)>,
) -> Result<(), sqlx::Error> {
    let mut bodies = bodies.into_iter().peekable();
    while bodies.peek().is_some() {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < VARIABLES / PER_RECORD
            && let Some(next) =
                bodies.next_if(|(_, body)| rows.is_empty() || bytes + body.len() <= STATEMENT_BYTES)
        {
            bytes += next.1.len();
            let revision = i64::try_from(next.0).map_err(|e| sqlx::Error::Encode(e.into()))?;
            rows.push((revision, next.1));
        }
        // Batches of one are many and alike; keeping the statement of every other length would only push that one out.
        let keep = rows.len() == 1;
        let mut statement =
            QueryBuilder::<Sqlite>::new("INSERT INTO records (revision, batch, body) ");
        statement.push_values(rows, |mut row, (revision, body)| {
            row.push_bind(revision)
                .push_bind(batch.to_le_bytes().to_vec())
                .push_bind(body);
        });
        statement
            .build()
            .persistent(keep)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}

fn signed(revision: u64) -> Result<i64, AppendError> {
    i64::try_from(revision).map_err(|e| AppendError::Broken(format!("revision {revision}: {e}")))
}

/// SQLite's extended result code.
fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn is_full(error: &sqlx::Error) -> bool {
    let storage_full = |e: &std::io::Error| e.kind() == std::io::ErrorKind::StorageFull;
    code(error).is_some_and(|code| code & 0xff == FULL)
        || matches!(error, sqlx::Error::Io(e) if storage_full(e))
}

fn is_busy(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code & 0xff == BUSY)
}

fn broken(error: &sqlx::Error) -> AppendError {
    AppendError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::super::{Backend, OpenOptions, open};
    use super::*;
    use kg_core::log::CommitLog;
    use kg_core::testing::conformance::records;

    #[tokio::test]
    async fn after_a_panic_within_a_transaction_nothing_is_acknowledged() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let opened = open(&url, &OpenOptions::default()).await;
        let Backend::Sqlite(mut log) = opened.expect("it opens").backend else {
            panic!("the store is in a file");
        };
        let records = records(2);
        let batch = |at: usize| Batch {
            id: at as u128,
            after: at as u64,
            records: vec![records[at].clone()],
        };
        log.append(&batch(0)).await.expect("there is room");
        let left_open = log.write::<()>(|writer| {
            Box::pin(async move {
                writer.begin().await?;
                panic!("a bug, within a transaction")
            })
        });
        left_open.await.expect_err("it panicked");
        // Without a look at what became of the writer this would be inserted into the transaction that was left open.
        let refused = log.append(&batch(1)).await;
        assert!(
            matches!(refused, Err(AppendError::Broken(_))),
            "{refused:?}"
        );
        assert_eq!(log.last_revision().await.expect("it is read"), 1);
    }

    #[tokio::test]
    async fn what_an_abandoned_write_left_open_is_rolled_back_by_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        let opened = open(&url, &OpenOptions::default()).await;
        let Backend::Sqlite(mut log) = opened.expect("it opens").backend else {
            panic!("the store is in a file");
        };
        let abandoned = log.write_here::<()>(|writer| {
            Box::pin(async move {
                writer.begin().await?;
                std::future::pending().await
            })
        });
        let waited = tokio::time::timeout(std::time::Duration::from_millis(200), abandoned).await;
        assert!(waited.is_err(), "it waits within its transaction");
        let batch = Batch {
            id: 1,
            after: 0,
            records: records(1),
        };
        log.append(&batch).await.expect("there is room");
        // By another connection, which sees only what was committed.
        assert_eq!(log.last_revision().await.expect("it is read"), 1);
    }
}
