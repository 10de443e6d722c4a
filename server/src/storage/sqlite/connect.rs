//! Connections to the database file, and how a new one comes to be.

use super::super::files;
use kg_core::faults::{Bug, Point, point, seeded};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// "AmaG": by it a database of ours is told from anybody else's.
const APPLICATION_ID: i64 = 0x416d_6147;

/// Every step of the schema, in order. The number of those carried out is the database's `user_version`.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_log.sql")];

/// Bytes that the WAL file keeps after a large transaction has been moved out of it.
const WAL_BYTES: &str = "67108864";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(16)
        // A statement of a batch has thousands of parameters and is nothing to read.
        .disable_statement_logging()
}

/// A connection that cannot change the file, nor move what is in the WAL into it.
pub(in super::super) async fn open_to_read(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path).read_only(true).connect().await
}

pub(super) async fn open_to_write(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let synchronous = if seeded(Bug::AcknowledgedBeforeSync) {
        SqliteSynchronous::Off
    } else {
        SqliteSynchronous::Full
    };
    options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        // On Apple's systems a sync reaches the disk only with these.
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("journal_size_limit", WAL_BYTES)
        .connect()
        .await
}

/// What a database must say of itself to be ours.
pub(in super::super) fn application_id() -> i64 {
    APPLICATION_ID
}

/// The newest schema that this program knows.
pub(in super::super) fn schema_version() -> i64 {
    MIGRATIONS.len() as i64
}

/// Makes a new database, whole or not at all: under another name first, so that a crash leaves no empty file that would
/// be refused afterwards.
pub(in super::super) async fn create(
    path: &Path,
    store_id: &str,
    compacted: u64,
) -> Result<(), sqlx::Error> {
    let making = files::beside(path, ".creating");
    remove(&making)?;
    remove(&files::beside(&making, "-journal"))?;
    let mut connection = options(&making)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await?;
    for sql in MIGRATIONS {
        sqlx::raw_sql(sql).execute(&mut connection).await?;
    }
    sqlx::query("INSERT INTO store (one, store_id, compacted) VALUES (1, ?, ?)")
        .bind(store_id)
        .bind(i64::try_from(compacted).map_err(|e| sqlx::Error::Encode(e.into()))?)
        .execute(&mut connection)
        .await?;
    // Pragmas take no parameters; these are constants of this file.
    let marks = format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
        MIGRATIONS.len()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks))
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    point(Point::StoreMade);
    fs::rename(&making, path)?;
    files::sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
