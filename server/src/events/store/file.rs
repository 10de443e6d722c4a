//! The file beside a store on disk, and what stands for it in memory. Nobody but the owner may read it.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::super::error::EventError;
use crate::storage::{beside, sync_folder};

/// "AmaE": by it a file of ours is told from anybody else's.
const APPLICATION_ID: u32 = 0x416d_6145;

/// Every step of the schema, in order. The number of those carried out is the file's `user_version`.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/events/0001_events.sql")];

/// How long a connection waits for another program that has the file.
const BUSY: Duration = Duration::from_secs(5);

/// Pages of the WAL that are moved into the file at once, and the bytes that it keeps after that. Batches come by the
/// megabyte: with SQLite's own 4 MiB each would be moved by itself.
const WAL_PAGES: &str = "4096";
const WAL_BYTES: &str = "67108864";

/// What SQLite makes of a file, and last the file itself.
const SUFFIXES: [&str; 4] = ["-journal", "-shm", "-wal", ""];

/// Events that end with the process.
pub(super) async fn in_memory() -> Result<SqliteConnection, EventError> {
    let making = async {
        let mut connection = SqliteConnectOptions::new()
            .in_memory(true)
            .disable_statement_logging()
            .connect()
            .await?;
        migrate(&mut connection, 0, "").await?;
        Ok(connection)
    };
    making
        .await
        .map_err(|error: sqlx::Error| EventError::Unavailable(error.to_string()))
}

/// What was opened: one connection that writes, one that reads, and what the operator should know.
pub(super) struct Lines {
    pub(super) writer: SqliteConnection,
    pub(super) reader: SqliteConnection,
    pub(super) notice: Option<String>,
}

/// Opens the file beside a store, or begins one. One of another store gives way, for its places and revisions mean nothing
/// here: it is put aside, where the last such one gives way to it.
pub(super) async fn open(db: &Path, store_id: &str) -> Result<Lines, EventError> {
    let path = beside(db, ".events");
    let unavailable = |error: &dyn std::fmt::Display| {
        EventError::Unavailable(format!("{}: {error}", path.display()))
    };
    let mut notice = None;
    if path.symlink_metadata().is_err() {
        create(&path, store_id).await.map_err(|e| unavailable(&e))?;
    }
    let mut writer = connect(&path, store_id).await?;
    if writer.is_none() {
        let aside = set_aside(&path).map_err(|e| unavailable(&e))?;
        notice = Some(format!(
            "{} held the events of another store, and is now {}",
            path.display(),
            aside.display()
        ));
        create(&path, store_id).await.map_err(|e| unavailable(&e))?;
        writer = connect(&path, store_id).await?;
    }
    let writer =
        writer.ok_or_else(|| unavailable(&"it was made just now and is another store's"))?;
    let reader = options(&path).read_only(true).connect().await;
    Ok(Lines {
        writer,
        reader: reader.map_err(|e| unavailable(&e))?,
        notice,
    })
}

/// A connection that writes; none where the file is another store's.
async fn connect(path: &Path, store_id: &str) -> Result<Option<SqliteConnection>, EventError> {
    let unavailable = |error: &dyn std::fmt::Display| {
        EventError::Unavailable(format!("{}: {error}", path.display()))
    };
    only_mine(path).map_err(|e| unavailable(&e))?;
    is_ours(path)?;
    let options = options(path).journal_mode(SqliteJournalMode::Wal);
    let mut connection = options.connect().await.map_err(|e| unavailable(&e))?;
    let checked = check(&mut connection, path, store_id).await;
    if !matches!(checked, Ok(true)) {
        // Closed in order, or the thread behind it would still have the file open.
        let _ = connection.close().await;
        return checked.map(|_| None);
    }
    Ok(Some(connection))
}

/// Looks at the file before SQLite does, which would make a database of an empty one.
fn is_ours(path: &Path) -> Result<(), EventError> {
    let broken = |what: &str| EventError::Broken(format!("{}: {what}", path.display()));
    let mut head = Vec::new();
    let reading = fs::File::open(path).and_then(|file| file.take(100).read_to_end(&mut head));
    reading.map_err(|error| EventError::Unavailable(format!("{}: {error}", path.display())))?;
    if !head.starts_with(b"SQLite format 3\0") {
        return Err(broken("it is no SQLite database"));
    }
    if head.get(68..72) != Some(&APPLICATION_ID.to_be_bytes()[..]) {
        return Err(broken("it is a database of something else"));
    }
    Ok(())
}

/// Brings the schema up to date; whether it is this store's. What is in the chunks has checksums, and is not looked at here.
async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
    store_id: &str,
) -> Result<bool, EventError> {
    let broken =
        |what: &dyn std::fmt::Display| EventError::Broken(format!("{}: {what}", path.display()));
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| broken(&e))?;
    if version > MIGRATIONS.len() as i64 {
        return Err(broken(&format!(
            "a newer program wrote it (version {version}, this one knows {})",
            MIGRATIONS.len()
        )));
    }
    migrate(connection, version, store_id)
        .await
        .map_err(|e| broken(&e))?;
    let found: String = sqlx::query_scalar("SELECT store_id FROM about")
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| broken(&e))?;
    Ok(found == store_id)
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
            sqlx::query("INSERT INTO about VALUES (1, ?)")
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
    remove_all(&making)?;
    let mut new = fs::OpenOptions::new();
    new.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
    // SQLite takes an empty file for a new database, and gives those that it makes beside it the same permissions.
    new.open(&making)?;
    let mut connection = options(&making).connect().await?;
    migrate(&mut connection, 0, store_id).await?;
    connection.close().await?;
    fs::rename(&making, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(())
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, ".other");
    remove_all(&aside)?;
    // The WAL first: beside a new file it would be taken for that one's.
    for suffix in SUFFIXES {
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(aside)
}

fn remove_all(path: &Path) -> io::Result<()> {
    for suffix in SUFFIXES {
        match fs::remove_file(beside(path, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Takes the file's permissions away from all others, if somebody has given them any.
fn only_mine(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        .page_size(16_384)
        // On Apple's systems a sync reaches the disk only with these.
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .pragma("journal_size_limit", WAL_BYTES)
        .statement_cache_capacity(32)
        // A statement of a batch holds events and is nothing to read.
        .disable_statement_logging()
}
