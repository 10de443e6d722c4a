//! A SQLite file that stands beside the store: how it is begun, told from others, checked and brought up to date.
//!
//! It is made under another name and renamed when it is whole, so an empty file is always damage; nobody but the owner may
//! read it. Before SQLite opens it, which would make a database of an empty one and turn another program's into its own, its
//! head is looked at. One that is refused is left as it is.
//!
//! What SQLite keeps beside a file belongs to that one: a WAL without its file is refused as well, for SQLite would play it
//! into whatever stood there next.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::fault::Fault;
use super::files::{beside, sync_folder};

/// How long a connection waits for another program that has the file.
const BUSY: Duration = Duration::from_secs(5);

/// What SQLite makes of a file, and last the file itself: so nothing stands beside a new file that belongs to one that is gone.
const SUFFIXES: [&str; 4] = ["-journal", "-shm", "-wal", ""];

/// A kind of such files. Its schema has a table `about` of one row, which names the store.
pub(crate) struct SideFile {
    /// What its name ends with.
    pub(crate) suffix: &'static str,
    /// By it a file of this kind is told from anybody else's.
    pub(crate) application_id: u32,
    /// Every step of the schema, in order. The number of those carried out is the file's `user_version`.
    pub(crate) migrations: &'static [&'static str],
    /// Whether all of it is checked when it is opened; what has checksums of its own need not be.
    pub(crate) checked: bool,
    /// What its connections have that others have not.
    pub(crate) tuned: fn(SqliteConnectOptions) -> SqliteConnectOptions,
}

/// A file that was opened.
pub(crate) struct OpenSideFile {
    pub(crate) path: PathBuf,
    pub(crate) connection: SqliteConnection,
    /// The store that it was made for.
    pub(crate) store_id: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SideFileError {
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Full(String),
    #[error("{path}: {what}")]
    Damaged { path: String, what: String },
    #[error("{path}: a newer program wrote it (user_version {version}, this one knows {known})")]
    Newer {
        path: String,
        version: i64,
        known: usize,
    },
}

impl SideFile {
    /// One that ends with the process.
    pub(crate) async fn in_memory(&self) -> Result<SqliteConnection, SideFileError> {
        let making = async {
            let mut connection = SqliteConnectOptions::new()
                .in_memory(true)
                .disable_statement_logging()
                .connect()
                .await?;
            self.migrate(&mut connection, 0, "").await?;
            Ok(connection)
        };
        making
            .await
            .map_err(|error| refused(Path::new("memory"), &error))
    }

    /// Opens the one beside a store, for writing, or begins one.
    pub(crate) async fn open(
        &self,
        db: &Path,
        store_id: &str,
    ) -> Result<OpenSideFile, SideFileError> {
        let path = beside(db, self.suffix);
        if path.symlink_metadata().is_err() {
            nothing_is_left_of(&path)?;
            let made = self.create(&path, store_id).await;
            made.map_err(|error| refused(&path, &error))?;
        }
        only_mine(&path).map_err(|error| refused(&path, &error.into()))?;
        self.is_one(&path)?;
        let connecting = self.options(&path).journal_mode(SqliteJournalMode::Wal);
        let connecting = connecting.connect().await;
        let mut connection = connecting.map_err(|error| refused(&path, &error))?;
        match self.check(&mut connection, &path, store_id).await {
            Ok(store_id) => Ok(OpenSideFile {
                path,
                connection,
                store_id,
            }),
            Err(error) => {
                // Closed in order, or the thread behind it would still have the file open.
                let _ = connection.close().await;
                Err(error)
            }
        }
    }

    /// A connection that only reads, to one that is open.
    pub(crate) async fn reader(&self, path: &Path) -> Result<SqliteConnection, SideFileError> {
        let connecting = self.options(path).read_only(true).connect().await;
        connecting.map_err(|error| refused(path, &error))
    }

    fn is_one(&self, path: &Path) -> Result<(), SideFileError> {
        let mut head = Vec::new();
        let reading = fs::File::open(path).and_then(|file| file.take(100).read_to_end(&mut head));
        reading.map_err(|error| refused(path, &error.into()))?;
        if !head.starts_with(b"SQLite format 3\0") {
            return Err(damaged(path, "it is no SQLite database"));
        }
        if head.get(68..72) != Some(&self.application_id.to_be_bytes()[..]) {
            let what = "it is a database of something else, as its application_id says";
            return Err(damaged(path, what));
        }
        Ok(())
    }

    /// Checks a file and brings its schema up to date. The store that it was made for.
    async fn check(
        &self,
        connection: &mut SqliteConnection,
        path: &Path,
        store_id: &str,
    ) -> Result<String, SideFileError> {
        let refused = |error: sqlx::Error| refused(path, &error);
        let version: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *connection)
            .await
            .map_err(refused)?;
        let known = self.migrations.len();
        if version > known as i64 {
            return Err(SideFileError::Newer {
                path: path.display().to_string(),
                version,
                known,
            });
        }
        if self.checked {
            let checked: String = sqlx::query_scalar("PRAGMA quick_check(1)")
                .fetch_one(&mut *connection)
                .await
                .map_err(refused)?;
            if checked != "ok" {
                return Err(damaged(path, &checked.replace('\n', " ")));
            }
        }
        let migrated = self.migrate(connection, version, store_id).await;
        migrated.map_err(refused)?;
        sqlx::query_scalar("SELECT store_id FROM about")
            .fetch_one(&mut *connection)
            .await
            .map_err(refused)
    }

    /// Carries out the steps of the schema that are missing, each whole or not at all.
    async fn migrate(
        &self,
        connection: &mut SqliteConnection,
        version: i64,
        store_id: &str,
    ) -> Result<(), sqlx::Error> {
        let done = usize::try_from(version).unwrap_or_default();
        for (step, sql) in self.migrations.iter().enumerate().skip(done) {
            // Pragmas take no parameters; these are constants of the program.
            let marks = format!(
                "PRAGMA application_id = {}; PRAGMA user_version = {}",
                self.application_id,
                step + 1
            );
            let mut transaction = connection.begin().await?;
            sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
            if step == 0 {
                sqlx::query("INSERT INTO about (one, store_id) VALUES (1, ?)")
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

    async fn create(&self, path: &Path, store_id: &str) -> Result<(), sqlx::Error> {
        let making = beside(path, ".creating");
        remove(&making)?;
        let mut new = fs::OpenOptions::new();
        new.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
        // SQLite takes an empty file for a new database, and gives those that it makes beside it the same permissions.
        new.open(&making)?;
        let mut connection = self.options(&making).connect().await?;
        self.migrate(&mut connection, 0, store_id).await?;
        connection.close().await?;
        fs::rename(&making, path)?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        Ok(())
    }

    fn options(&self, path: &Path) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .synchronous(SqliteSynchronous::Full)
            // On Apple's systems a sync reaches the disk only with these.
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            // A statement of many rows is nothing to read, and others hold what is kept of secrets.
            .disable_statement_logging();
        (self.tuned)(options)
    }
}

impl OpenSideFile {
    /// Puts the file aside under its name and a suffix, where the last one that was gives way to it. Where it is now.
    pub(crate) async fn set_aside(self, suffix: &str) -> Result<PathBuf, SideFileError> {
        // In order, or the thread behind it would still have the file open when that is moved.
        let _ = self.connection.close().await;
        let moved = set_aside(&self.path, suffix);
        moved.map_err(|error| refused(&self.path, &error.into()))
    }
}

/// Puts a file aside under its name and a suffix, with all that SQLite made of it. Where it is now.
pub(super) fn set_aside(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let aside = beside(path, suffix);
    remove(&aside)?;
    for part in SUFFIXES {
        if_there(fs::rename(beside(path, part), beside(&aside, part)))?;
    }
    Ok(aside)
}

/// Removes a file with all that SQLite made of it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let mut parts = SUFFIXES.iter();
    parts.try_for_each(|part| if_there(fs::remove_file(beside(path, part))))
}

fn if_there(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Proves that of a file that is not there nothing is left that holds anything.
fn nothing_is_left_of(path: &Path) -> Result<(), SideFileError> {
    for part in ["-wal", "-journal"] {
        let left = beside(path, part);
        if left.metadata().is_ok_and(|left| left.len() > 0) {
            let left = left.display();
            let what = format!("it is gone, but {left} is there: put it back, or move that away");
            return Err(damaged(path, &what));
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

fn refused(path: &Path, error: &sqlx::Error) -> SideFileError {
    match Fault::of(error) {
        Fault::Full(said) => SideFileError::Full(format!("{}: {said}", path.display())),
        Fault::Away(said) | Fault::Disk(said) | Fault::Closed(said) => {
            SideFileError::Unavailable(format!("{}: {said}", path.display()))
        }
        Fault::Damaged(said) | Fault::Wrong(said) => damaged(path, &said),
    }
}

fn damaged(path: &Path, what: &str) -> SideFileError {
    SideFileError::Damaged {
        path: path.display().to_string(),
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE about (one INTEGER PRIMARY KEY, store_id TEXT NOT NULL); \
        CREATE TABLE notes (note TEXT)";
    const SECOND: &str = "ALTER TABLE notes ADD COLUMN by TEXT";

    const NOTES: SideFile = SideFile {
        suffix: ".notes",
        application_id: 0x416d_6154,
        migrations: &[FIRST],
        checked: true,
        tuned: |options| options,
    };

    #[tokio::test]
    async fn a_wal_that_lost_its_file_is_refused_and_played_into_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = folder.path().join("a.db");
        let mut file = NOTES.open(&db, "a").await.expect("it is made");
        sqlx::raw_sql("INSERT INTO notes VALUES ('kept')")
            .execute(&mut file.connection)
            .await
            .expect("there is room");
        // As a crash would leave it: the row is in the WAL alone.
        let wal = beside(&file.path, "-wal");
        let left = fs::read(&wal).expect("it is there");
        file.connection.close().await.expect("it closes");
        fs::remove_file(&file.path).expect("it may");
        fs::write(&wal, &left).expect("it may");
        match NOTES.open(&db, "a").await.err() {
            Some(SideFileError::Damaged { what, .. }) => assert!(what.contains("-wal"), "{what}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(&wal).expect("it is there"), left);
        assert!(!file.path.exists());
        fs::remove_file(&wal).expect("it may");
        NOTES.open(&db, "a").await.expect("nothing is left of it");
    }

    #[tokio::test]
    async fn a_file_of_another_kind_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = folder.path().join("a.db");
        let file = NOTES.open(&db, "a").await.expect("it is made");
        file.connection.close().await.expect("it closes");
        let before = fs::read(&file.path).expect("it is there");
        let other = SideFile {
            application_id: 1,
            ..NOTES
        };
        let refused = other.open(&db, "a").await.err();
        assert!(
            matches!(refused, Some(SideFileError::Damaged { .. })),
            "{refused:?}"
        );
        assert_eq!(fs::read(&file.path).expect("it is there"), before);
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_and_a_missing_step_is_made_up_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = folder.path().join("a.db");
        let newer = SideFile {
            migrations: &[FIRST, SECOND],
            ..NOTES
        };
        let file = NOTES.open(&db, "a").await.expect("it is made");
        file.connection.close().await.expect("it closes");
        let mut file = newer
            .open(&db, "b")
            .await
            .expect("it is brought up to date");
        assert_eq!(file.store_id, "a");
        sqlx::raw_sql("INSERT INTO notes VALUES ('note', 'ann')")
            .execute(&mut file.connection)
            .await
            .expect("it has the new column");
        file.connection.close().await.expect("it closes");
        let refused = NOTES.open(&db, "a").await.err();
        let newer = matches!(
            refused,
            Some(SideFileError::Newer {
                version: 2,
                known: 1,
                ..
            })
        );
        assert!(newer, "{refused:?}");
    }
}
