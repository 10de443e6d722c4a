//! The file beside a store on disk, and what stands for it in memory.
//!
//! Unlike leases, runs that cannot be read are not put aside: what they have done is nowhere else, so somebody has to look.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::RunRowsError;
use super::ask::failed;
use crate::storage::{beside, sync_folder};

/// "AmaR": by it a file of ours is told from anybody else's.
const APPLICATION_ID: i64 = 0x416d_6152;

/// Every step of the schema, in order. The number of those carried out is the file's `user_version`.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/runs/0001_runs.sql")];

/// How long the connection waits for another program that has the file.
const BUSY: Duration = Duration::from_secs(5);

/// Runs that end with the process.
pub(super) async fn in_memory() -> Result<SqliteConnection, RunRowsError> {
    let making = async {
        let mut connection = SqliteConnectOptions::new()
            .in_memory(true)
            .disable_statement_logging()
            .connect()
            .await?;
        migrate(&mut connection, 0, "").await?;
        Ok(connection)
    };
    making.await.map_err(|e: sqlx::Error| failed(&e))
}

/// Opens the file beside a store, or begins one.
pub(super) async fn open(db: &Path, store_id: &str) -> Result<SqliteConnection, RunRowsError> {
    let path = beside(db, ".runs");
    let named = |error: RunRowsError| match error {
        RunRowsError::Unavailable(what) => {
            RunRowsError::Unavailable(format!("{}: {what}", path.display()))
        }
        RunRowsError::Full(what) => RunRowsError::Full(format!("{}: {what}", path.display())),
        RunRowsError::Broken(what) => RunRowsError::Broken(format!("{}: {what}", path.display())),
    };
    if path.symlink_metadata().is_err() {
        create(&path, store_id)
            .await
            .map_err(|e| named(failed(&e)))?;
    }
    let connecting = options(&path)
        // Nobody else has to do with it. SQLite then needs no index that it shares, and holds its lock until the end.
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await;
    let mut connection = connecting.map_err(|e| named(failed(&e)))?;
    match check(&mut connection, store_id).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            // Closed in order, or the thread behind it would still have the file open.
            let _ = connection.close().await;
            Err(named(error))
        }
    }
}

async fn check(connection: &mut SqliteConnection, store_id: &str) -> Result<(), RunRowsError> {
    let ask = async |connection: &mut SqliteConnection, pragma: &'static str| {
        let asked = sqlx::query_scalar::<_, i64>(pragma)
            .fetch_one(connection)
            .await;
        asked.map_err(|e| failed(&e))
    };
    if ask(&mut *connection, "PRAGMA application_id").await? != APPLICATION_ID {
        return Err(RunRowsError::Broken(
            "it is a database of something else".into(),
        ));
    }
    let version = ask(&mut *connection, "PRAGMA user_version").await?;
    if version > MIGRATIONS.len() as i64 {
        return Err(RunRowsError::Broken(format!(
            "it is of a newer program: its version is {version}"
        )));
    }
    let checked: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| failed(&e))?;
    if checked != "ok" {
        return Err(RunRowsError::Broken(checked.replace('\n', " ")));
    }
    migrate(connection, version, store_id)
        .await
        .map_err(|e| failed(&e))?;
    let before: String = sqlx::query_scalar("SELECT store_id FROM about")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| failed(&e))?;
    if before != store_id {
        return Err(RunRowsError::Broken(format!(
            "these are the runs of the store {before}, and this one is {store_id}: move the file away"
        )));
    }
    Ok(())
}

/// Carries out the steps of the schema that are missing, each whole or not at all.
async fn migrate(
    connection: &mut SqliteConnection,
    version: i64,
    store_id: &str,
) -> Result<(), sqlx::Error> {
    let done = usize::try_from(version).unwrap_or_default();
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        // Pragmas take no parameters; these are constants of this file.
        let marks = format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
            step + 1
        );
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        if step == 0 {
            sqlx::query("INSERT INTO about VALUES (1, $1)")
                .bind(store_id)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Makes a new file, whole or not at all: under another name first, so that an empty file is always damage.
async fn create(path: &Path, store_id: &str) -> Result<(), sqlx::Error> {
    let making = beside(path, ".creating");
    for suffix in ["-journal", "-wal", "-shm", ""] {
        match fs::remove_file(beside(&making, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    let mut connection = options(&making).create_if_missing(true).connect().await?;
    migrate(&mut connection, 0, store_id).await?;
    connection.close().await?;
    fs::rename(&making, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(())
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        // On Apple's systems a sync reaches the disk only with these.
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        // A statement of many rows has thousands of parameters and is nothing to read.
        .disable_statement_logging()
}
