//! The log in PostgreSQL, which many servers share.
//!
//! An append is one statement: it moves the store's row from the revision that the batch follows on to the batch's last,
//! and inserts the records joined to that row. If the row stood elsewhere, nothing moves and nothing is inserted: another
//! server was first. The primary key of the records alone would not do: after a compaction a server that slept could insert
//! a revision whose record was removed.
//!
//! One connection writes. What is under way on it when its time is up may still be carried out, so its outcome is unknown:
//! the connection is given up, and the very same batch is appended again through another one. Whichever of the two is
//! carried out second finds the row moved.

mod checkpoints;
mod connect;
mod open;

pub use checkpoints::KeepError;
pub(super) use open::open;

use super::leases::PostgresLeases;
use super::sqlite::without_a_gap;
use connect::Address;
use futures::TryStreamExt;
use kg_core::log::{AppendError, Batch, CommitLog, ReadError, Record};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Connection, Row};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Records that one read returns at most; and bytes, though one record is always returned.
const READ_RECORDS: usize = 10_000;
const READ_BYTES: usize = 8 * 1024 * 1024;

/// How long one try of an append, or a read, waits for the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Records that one statement of a compaction removes.
const COMPACTED_AT_ONCE: i64 = 1_000;

/// A log in a PostgreSQL database. Clones are further handles of the same one. Needs a tokio runtime.
#[derive(Clone)]
pub struct PostgresLog(Arc<Shared>);

struct Shared {
    address: Address,
    pool: PgPool,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Writer {
    connection: Option<PgConnection>,
    /// The batch whose last try had no answer.
    unknown: Option<u128>,
    closed: bool,
}

/// Why one try of an append did not succeed.
enum Failed {
    /// Nothing of the batch was carried out.
    Before(String),
    /// There is no room; nothing was carried out.
    Full(String),
    /// The log ends elsewhere.
    MovedOn(u64),
    /// Nobody can say.
    Unanswered(String),
    /// What the log says cannot be.
    Broken(String),
}

impl PostgresLog {
    fn new(address: Address) -> Self {
        Self(Arc::new(Shared {
            pool: address.pool(),
            address,
            writer: Mutex::default(),
        }))
    }

    /// The database, without a password.
    #[must_use]
    pub fn place(&self) -> String {
        self.0.address.place()
    }

    /// The rows of leases in the same database, with connections of their own.
    #[must_use]
    pub(super) fn lease_rows(&self) -> PostgresLeases {
        PostgresLeases::new(self.0.address.pool_for_leases())
    }

    /// Connections of their own for the users in the same database.
    pub(crate) fn users(&self) -> PgPool {
        self.0.address.pool_for_users()
    }

    /// Connections of their own for the events in the same database.
    pub(crate) fn events(&self) -> PgPool {
        self.0.address.pool_for_events()
    }

    /// Connections of their own for the runs in the same database.
    pub(crate) fn runs(&self) -> PgPool {
        self.0.address.pool_for_runs()
    }

    /// As [`super::Backend::compact`]. In small statements, so that appends find room between them.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn compact(&self, revision: u64) -> Result<u64, AppendError> {
        let failed = |e: sqlx::Error| AppendError::Unknown(e.to_string());
        let goal = signed(revision)?;
        loop {
            // The last record always stays.
            let sql = "WITH goal AS ( \
                    SELECT least($1, revision - 1, compacted + $2) AS upto FROM amadeus_store \
                ), gone AS ( \
                    DELETE FROM amadeus_records WHERE revision <= (SELECT upto FROM goal) \
                ) \
                UPDATE amadeus_store SET compacted = greatest(compacted, upto) FROM goal \
                RETURNING compacted, least($1, revision - 1) <= compacted";
            let query = sqlx::query(sql).bind(goal).bind(COMPACTED_AT_ONCE);
            let row = answered(query.fetch_one(&self.0.pool))
                .await
                .map_err(failed)?;
            let oldest = revision_of(&row, 0).map_err(failed)? + 1;
            if row.try_get(1).map_err(failed)? {
                return Ok(oldest);
            }
        }
    }

    /// As [`super::Backend::close`].
    ///
    /// # Errors
    /// What the database said.
    pub async fn close(&self) -> Result<(), String> {
        let mut writer = self.0.writer.lock().await;
        writer.closed = true;
        let closing = async {
            if let Some(connection) = writer.connection.take() {
                connection.close().await?;
            }
            self.0.pool.close().await;
            Ok::<_, sqlx::Error>(())
        };
        answered(closing).await.map_err(|e| e.to_string())
    }

    /// What stands behind an error: a pool that found no connection does not say why it could make none.
    async fn cause(&self, error: sqlx::Error) -> sqlx::Error {
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return error;
        }
        match self.0.address.connect().await {
            Ok(connection) => {
                drop(connection);
                error
            }
            Err(cause) => cause,
        }
    }

    /// The end of the log, and up to where it was compacted.
    async fn ends(&self) -> Result<(u64, u64), sqlx::Error> {
        let query = sqlx::query("SELECT revision, compacted FROM amadeus_store");
        let row = answered(query.fetch_one(&self.0.pool)).await?;
        Ok((revision_of(&row, 0)?, revision_of(&row, 1)?))
    }
}

impl Writer {
    async fn append(
        &mut self,
        address: &Address,
        batch: &Batch,
        repeated: bool,
    ) -> Result<(), Failed> {
        let before = |e: sqlx::Error| Failed::Before(e.to_string());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => address.connect().await.map_err(before)?,
        };
        // Given back only when the answer was read: whatever else is under way on it would answer the next question.
        let tried = match timeout(PATIENCE, insert(&mut connection, batch, repeated)).await {
            Ok(tried) => tried,
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(Failed::Unanswered(format!("no answer in {seconds} s")))
            }
        };
        if matches!(tried, Ok(()) | Err(Failed::MovedOn(_) | Failed::Full(_))) {
            self.connection = Some(connection);
        }
        tried
    }
}

async fn insert(
    connection: &mut PgConnection,
    batch: &Batch,
    repeated: bool,
) -> Result<(), Failed> {
    let number = |revision| signed(revision).map_err(|e| Failed::Broken(e.to_string()));
    let id = batch.id.to_le_bytes();
    let revisions = batch
        .records
        .iter()
        .map(|record| number(record.revision))
        .collect::<Result<Vec<i64>, _>>()?;
    let bodies: Vec<Vec<u8>> = batch.records.iter().map(|record| record.encode()).collect();
    let sql = "WITH moved AS ( \
            UPDATE amadeus_store SET revision = $2, batch = $3 WHERE revision = $1 RETURNING batch \
        ) \
        INSERT INTO amadeus_records (revision, batch, body) \
        SELECT record.revision, moved.batch, record.body \
        FROM moved, unnest($4::bigint[], $5::bytea[]) AS record (revision, body)";
    let inserted = sqlx::query(sql)
        .bind(number(batch.after)?)
        .bind(number(batch.last())?)
        .bind(&id[..])
        .bind(revisions)
        .bind(bodies)
        .execute(&mut *connection)
        .await
        .map_err(|e| failed(&e))?;
    if inserted.rows_affected() > 0 {
        return Ok(());
    }
    place(connection, batch, repeated).await
}

/// Where a batch stands that did not follow on the log's end: it may be there already.
async fn place(connection: &mut PgConnection, batch: &Batch, repeated: bool) -> Result<(), Failed> {
    let unanswered = |e: sqlx::Error| Failed::Unanswered(e.to_string());
    let sql = "SELECT revision, batch, compacted, \
            (SELECT r.batch FROM amadeus_records r WHERE r.revision = $1) FROM amadeus_store";
    let row = sqlx::query(sql)
        .bind(signed(batch.last()).map_err(|e| Failed::Broken(e.to_string()))?)
        .fetch_one(connection)
        .await
        .map_err(unanswered)?;
    let last = revision_of(&row, 0).map_err(unanswered)?;
    let newest: Vec<u8> = row.try_get(1).map_err(unanswered)?;
    let id = batch.id.to_le_bytes();
    if last == batch.last() && newest == id {
        return Ok(());
    }
    // A try without an answer may have succeeded before others went on.
    if repeated {
        let there: Option<Vec<u8>> = row.try_get(3).map_err(unanswered)?;
        if there.is_some_and(|there| there == id) {
            return Ok(());
        }
        let compacted = revision_of(&row, 2).map_err(unanswered)?;
        if compacted > batch.after {
            return Err(Failed::Broken(format!(
                "whether revision {} is of this server cannot be told any more: the log was compacted up to {compacted}",
                batch.last()
            )));
        }
    }
    Err(Failed::MovedOn(last))
}

impl CommitLog for PostgresLog {
    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let mut writer = self.0.writer.lock().await;
        if writer.closed {
            return Err(AppendError::Broken("the store is closed".into()));
        }
        let repeated = writer.unknown == Some(batch.id);
        // Dropped half-way it is unknown as well.
        writer.unknown = Some(batch.id);
        let failed = match writer.append(&self.0.address, batch, repeated).await {
            Ok(()) => {
                writer.unknown = None;
                return Ok(());
            }
            Err(failed) => failed,
        };
        let told = match failed {
            Failed::MovedOn(last) => AppendError::MovedOn { last },
            Failed::Broken(why) => AppendError::Broken(why),
            // What an earlier try did is not known from the failure of this one.
            Failed::Before(why) | Failed::Full(why) if repeated => AppendError::Unknown(why),
            Failed::Before(why) => AppendError::Unavailable(why),
            Failed::Full(why) => AppendError::Full(why),
            Failed::Unanswered(why) => AppendError::Unknown(why),
        };
        if !matches!(told, AppendError::Unknown(_)) {
            writer.unknown = None;
        }
        Err(told)
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        let rows = answered(bodies(&self.0.pool, from, limit));
        let rows = match rows.await {
            Ok(rows) => rows,
            Err(error) => return Err(read_failed(&self.cause(error).await)),
        };
        // What the log keeps is asked for only where the answer is not what was hoped for.
        if rows.first().is_none_or(|(first, _)| *first != from) {
            let (last, compacted) = self.ends().await.map_err(|e| read_failed(&e))?;
            if from <= compacted {
                return Err(ReadError::Compacted {
                    oldest: compacted + 1,
                });
            }
            // Between the two questions others may have written: only a row behind `from` proves a gap.
            if !rows.is_empty() && from <= last {
                return Err(ReadError::Io(format!("revision {from} is missing")));
            }
            return Ok(Vec::new());
        }
        without_a_gap(from, &rows)
    }

    async fn last_revision(&self) -> Result<u64, ReadError> {
        match self.ends().await {
            Ok((last, _)) => Ok(last),
            Err(error) => Err(read_failed(&self.cause(error).await)),
        }
    }
}

impl std::fmt::Debug for PostgresLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresLog({})", self.place())
    }
}

/// Encoded records from a revision on, bounded in number and in bytes.
async fn bodies(
    pool: &PgPool,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Vec<u8>)>, sqlx::Error> {
    let sql = "SELECT revision, body FROM amadeus_records WHERE revision >= $1 ORDER BY revision LIMIT $2";
    let mut rows = sqlx::query(sql)
        .bind(i64::try_from(from).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit.min(READ_RECORDS)).unwrap_or(i64::MAX))
        .fetch(pool);
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

/// What the database answers within the time that a question has.
async fn answered<T>(
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match timeout(PATIENCE, question).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// What a failed statement means for the batch that it was to insert.
fn failed(error: &sqlx::Error) -> Failed {
    let said = error.to_string();
    let Some(code) = error.as_database_error().and_then(|e| e.code()) else {
        return Failed::Unanswered(said);
    };
    match &*code {
        // Disk full.
        "53100" => Failed::Full(said),
        // A statement that the database refused is undone: read-only, out of memory or connections, a conflict, a timeout.
        // Classes 08 and 57P are about the connection, and say nothing of what was carried out; nor does 40003.
        "40003" => Failed::Unanswered(said),
        code if code.starts_with("08") || code.starts_with("57P") => Failed::Unanswered(said),
        // What else is not there, or is of another kind than it should be, was changed under us.
        code if code.starts_with("42") => Failed::Broken(said),
        _ => Failed::Before(said),
    }
}

fn signed(revision: u64) -> Result<i64, AppendError> {
    i64::try_from(revision).map_err(|e| AppendError::Broken(format!("revision {revision}: {e}")))
}

/// A revision from a column; a negative one is damage.
fn revision_of(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|e| sqlx::Error::Decode(format!("revision {value}: {e}").into()))
}

fn read_failed(error: &sqlx::Error) -> ReadError {
    ReadError::Io(error.to_string())
}
