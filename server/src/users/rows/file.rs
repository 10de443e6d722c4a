//! The file beside a store on disk, and what stands for it in memory. Nobody but the owner may read it.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::storage::{beside, sync_folder};
use crate::users::error::UserStoreError;

/// "AmaU": by it a file of ours is told from anybody else's.
const APPLICATION_ID: u32 = 0x416d_6155;

/// Every step of the schema, in order. The number of those carried out is the file's `user_version`.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/users/0001_users.sql")];

/// How long the connection waits for another program that has the file.
const BUSY: Duration = Duration::from_secs(5);

/// Users that end with the process.
pub(super) async fn in_memory() -> Result<SqliteConnection, UserStoreError> {
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
        .map_err(|error: sqlx::Error| UserStoreError::Unavailable(error.to_string()))
}

/// Opens the file beside a store, or begins one.
pub(super) async fn open(db: &Path, store_id: &str) -> Result<SqliteConnection, UserStoreError> {
    let path = beside(db, ".users");
    let unavailable = |error: &dyn std::fmt::Display| {
        UserStoreError::Unavailable(format!("{}: {error}", path.display()))
    };
    if path.symlink_metadata().is_err() {
        create(&path, store_id).await.map_err(|e| unavailable(&e))?;
    }
    only_mine(&path).map_err(|e| unavailable(&e))?;
    is_ours(&path)?;
    let connecting = options(&path)
        // Nobody else has to do with it. SQLite then needs no index that it shares, and holds its lock until the end.
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await;
    let mut connection = connecting.map_err(|e| unavailable(&e))?;
    match check(&mut connection, &path, store_id).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            // Closed in order, or the thread behind it would still have the file open.
            let _ = connection.close().await;
            Err(error)
        }
    }
}

/// Looks at the file before SQLite does, which would make a database of an empty one.
fn is_ours(path: &Path) -> Result<(), UserStoreError> {
    let damaged = |what: &str| UserStoreError::Damaged {
        path: path.display().to_string(),
        what: what.to_owned(),
    };
    let mut head = Vec::new();
    let reading = fs::File::open(path).and_then(|file| file.take(100).read_to_end(&mut head));
    reading.map_err(|error| UserStoreError::Unavailable(format!("{}: {error}", path.display())))?;
    if !head.starts_with(b"SQLite format 3\0") {
        return Err(damaged("it is no SQLite database"));
    }
    if head.get(68..72) != Some(&APPLICATION_ID.to_be_bytes()[..]) {
        return Err(damaged("it is a database of something else"));
    }
    Ok(())
}

async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
    store_id: &str,
) -> Result<(), UserStoreError> {
    let shown = || path.display().to_string();
    let damaged = |what: String| UserStoreError::Damaged {
        path: shown(),
        what,
    };
    let said = |error: sqlx::Error| damaged(error.to_string());
    let ask = async |connection: &mut SqliteConnection, pragma: &'static str| {
        sqlx::query_scalar::<_, i64>(pragma)
            .fetch_one(connection)
            .await
    };
    let version = ask(&mut *connection, "PRAGMA user_version")
        .await
        .map_err(said)?;
    if version > MIGRATIONS.len() as i64 {
        return Err(UserStoreError::Newer {
            path: shown(),
            version,
        });
    }
    let checked: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut *connection)
        .await
        .map_err(said)?;
    if checked != "ok" {
        return Err(damaged(checked.replace('\n', " ")));
    }
    migrate(connection, version, store_id).await.map_err(said)?;
    let before: String = sqlx::query_scalar("SELECT store_id FROM about")
        .fetch_one(&mut *connection)
        .await
        .map_err(said)?;
    if before != store_id {
        // Users are in no backup: whoever makes a new store of one, beside the file that the old one left, keeps them.
        tracing::warn!(
            path = shown(),
            before,
            "these users were those of another store, and are this one's from now on"
        );
        sqlx::query("UPDATE about SET store_id = $1")
            .bind(store_id)
            .execute(&mut *connection)
            .await
            .map_err(said)?;
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
    for suffix in ["-journal", ""] {
        match fs::remove_file(beside(&making, suffix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
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
        // On Apple's systems a sync reaches the disk only with these.
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        // What was deleted must be gone from the file.
        .pragma("secure_delete", "ON")
        // Statements hold what is kept of secrets.
        .disable_statement_logging()
}
