//! Opening a store: everything is proved before anything is touched.
//!
//! ```text
//! lock -> what files are there -> survey of the database, read only -> watermark -> checkpoints -> replay
//!      -> only then: open for writing
//! ```
//!
//! Opening a database for writing would let SQLite move its WAL into it, and what a refused store looked like would be
//! gone. So a store that is refused is byte for byte what it was; SQLite's `-shm` file, an index that it rebuilds, is the
//! exception. A store is made only where there is nothing at all.

mod error;

pub use error::OpenError;

use super::backend::Backend;
use super::backups::Backups;
use super::checkpoints::{self, CheckpointFile, Checkpoints};
use super::files;
use super::keeper::{Keeper, KeeperPolicy};
use super::lock::Lock;
use super::postgres;
use super::replay::{Failed, Replay, Replayed};
use super::sqlite::{self, SqliteLog};
use super::store_id::new_store_id;
use super::store_url::StoreUrl;
use super::survey::Survey;
use super::watermark::{self, Reading, Watermark};
use kg_core::commit::{History, HistoryLimits};
use kg_core::faults::{Point, point};
use kg_core::log::MemoryLog;
use kg_core::snapshot::Snapshot;
use sqlx::{Connection, SqliteConnection};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Bounds of the history ring, which the replay fills.
    pub history: HistoryLimits,
    /// Records that the replay passes at least, where the log still keeps them: so far back old revisions can be read
    /// after a restart.
    pub replay_records: u64,
    /// Bytes of records after which that is enough.
    pub replay_bytes: u64,
    /// When checkpoints are written, and what they remove.
    pub keeper: KeeperPolicy,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            history: HistoryLimits::default(),
            replay_records: 10_000,
            // What lies between two checkpoints comes on top: together they are what a start may cost.
            replay_bytes: 16 * 1024 * 1024,
            keeper: KeeperPolicy::default(),
        }
    }
}

/// A store that is open, and what it held.
pub struct Opened {
    /// The log.
    pub backend: Backend,
    /// The head and the recent past.
    pub history: History,
    /// The identity of the store.
    pub store_id: Arc<str>,
    /// What was recovered or noticed, in words for the operator.
    pub report: Vec<String>,
    /// What stands beside the log; `None` for a store in memory, which has no files.
    pub files: Option<StoreFiles>,
}

/// What stands beside a log on disk.
#[derive(Clone)]
pub struct StoreFiles {
    /// Writes checkpoints and compacts.
    pub keeper: Arc<Keeper>,
    /// The checkpoints.
    pub checkpoints: Arc<Checkpoints>,
    /// The backups.
    pub backups: Arc<Backups>,
}

/// Opens the store at `url`, or makes one where there is nothing.
///
/// # Errors
/// [`OpenError`]; the store is then as it was.
pub async fn open(url: &str, options: &OpenOptions) -> Result<Opened, OpenError> {
    match StoreUrl::parse(url)? {
        StoreUrl::Memory => Ok(Opened {
            backend: Backend::Memory(MemoryLog::new()),
            history: History::new(Arc::new(Snapshot::new()), options.history),
            store_id: new_store_id().into(),
            report: vec!["the store is in memory: it ends with the process".into()],
            files: None,
        }),
        StoreUrl::Sqlite(db) => open_sqlite(&db, options).await,
        StoreUrl::Postgres(url) => postgres::open(&url, options).await,
    }
}

/// Makes a store out of a backup, where there is none. It has a new identity, so that bookmarks and page tokens of the
/// old one are refused and never misread, and goes on behind the backup's revision.
///
/// # Errors
/// [`OpenError`], also when something stands there already.
pub async fn create_from_backup(url: &str, backup: &Path) -> Result<(), OpenError> {
    let StoreUrl::Sqlite(db) = StoreUrl::parse(url)? else {
        return Err(OpenError::NoFiles);
    };
    let (_, content) = checkpoints::read(backup).map_err(|e| OpenError::Backup {
        path: backup.to_owned(),
        what: e.to_string(),
    })?;
    let _lock = lock(&db)?;
    if Files::look(&db)?.any() {
        return Err(OpenError::Occupied { path: db });
    }
    let store_id = new_store_id();
    let failed = |cause| OpenError::Io {
        path: db.clone(),
        cause,
    };
    Checkpoints::of(&db, &store_id)
        .write(&content)
        .map_err(failed)?;
    sqlite::create(&db, &store_id, content.revision())
        .await
        .map_err(|e| OpenError::unreadable(&db, &e))
}

fn lock(db: &Path) -> Result<Lock, OpenError> {
    if let Some(folder) = db.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|cause| OpenError::Io {
            path: folder.to_owned(),
            cause,
        })?;
    }
    Ok(Lock::take(&files::beside(db, ".lock"))?)
}

/// Which files of a store are there.
struct Files {
    db: bool,
    wal: bool,
    shm: bool,
    beside: Vec<PathBuf>,
}

impl Files {
    fn look(db: &Path) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Io {
            path: db.to_owned(),
            cause,
        };
        // A link that leads nowhere is something, too.
        let there = |path: &Path| match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(failed(e)),
        };
        let [wal, shm, journal] =
            ["-wal", "-shm", "-journal"].map(|suffix| files::beside(db, suffix));
        let mut beside = Vec::new();
        for path in [&wal, &journal, &watermark::path_of(db)] {
            if there(path)? {
                beside.push(path.clone());
            }
        }
        if Checkpoints::any(db).map_err(failed)? {
            beside.push(checkpoints::folder_of(db));
        }
        Ok(Self {
            db: there(db)?,
            wal: there(&wal)?,
            shm: there(&shm)?,
            beside,
        })
    }

    fn any(&self) -> bool {
        self.db || !self.beside.is_empty()
    }

    /// Removes what reading alone left behind, after a refusal.
    fn tidy(&self, db: &Path) {
        let [wal, shm] = ["-wal", "-shm"].map(|suffix| files::beside(db, suffix));
        if !self.shm {
            let _ = fs::remove_file(shm);
        }
        if !self.wal && fs::metadata(&wal).is_ok_and(|m| m.len() == 0) {
            let _ = fs::remove_file(wal);
        }
    }
}

async fn open_sqlite(db: &Path, options: &OpenOptions) -> Result<Opened, OpenError> {
    let lock = lock(db)?;
    let there = Files::look(db)?;
    let mut report = Vec::new();
    if !there.any() {
        let store_id = new_store_id();
        sqlite::create(db, &store_id, 0)
            .await
            .map_err(|e| OpenError::unreadable(db, &e))?;
        report.push(format!("made a new store in {}", db.display()));
    } else if !there.db {
        return Err(OpenError::Missing {
            path: db.to_owned(),
            beside: there.beside,
        });
    } else {
        looks_like_a_database(db)?;
    }
    let proved = match sqlite::open_to_read(db).await {
        Ok(connection) => prove(db, options, connection, &mut report).await,
        Err(error) => Err(OpenError::unreadable(db, &error)),
    };
    match proved {
        Ok(proved) => go_on(db, options, lock, proved, report).await,
        Err(refused) => {
            there.tidy(db);
            Err(refused)
        }
    }
}

fn looks_like_a_database(db: &Path) -> Result<(), OpenError> {
    let failed = |cause| OpenError::Io {
        path: db.to_owned(),
        cause,
    };
    let mut first = Vec::new();
    let mut file = fs::File::open(db).map_err(failed)?;
    (&mut file)
        .take(16)
        .read_to_end(&mut first)
        .map_err(failed)?;
    let what = match first.as_slice() {
        b"SQLite format 3\0" => return Ok(()),
        [] => "it is empty",
        _ => "it is no SQLite database",
    };
    Err(OpenError::NotAStore {
        path: db.to_owned(),
        what,
    })
}

/// A store that can be relied on.
struct Proved {
    survey: Survey,
    replayed: Replayed,
    reading: Reading,
    newest_checkpoint: u64,
}

async fn prove(
    db: &Path,
    options: &OpenOptions,
    mut connection: SqliteConnection,
    report: &mut Vec<String>,
) -> Result<Proved, OpenError> {
    let survey = match Survey::of(&mut connection, db).await {
        Ok(survey) => survey,
        Err(error) => {
            let _ = connection.close().await;
            return Err(error);
        }
    };
    let (connection, proved) = prove_content(db, options, connection, survey, report).await;
    // Closed in order, or the thread behind it would still have the file open when it is opened for writing.
    let _ = connection.close().await;
    proved
}

async fn prove_content(
    db: &Path,
    options: &OpenOptions,
    mut connection: SqliteConnection,
    survey: Survey,
    report: &mut Vec<String>,
) -> (SqliteConnection, Result<Proved, OpenError>) {
    let checkpoints = Checkpoints::of(db, &survey.store_id);
    let (reading, whole) = match witnesses(db, &survey, &checkpoints, report) {
        Ok(witnesses) => witnesses,
        Err(error) => return (connection, Err(error)),
    };
    let replay = Replay {
        db,
        survey: &survey,
        checkpoints: &checkpoints,
        whole: &whole,
        limits: options.history,
    };
    let wanted = survey.replay_from(options.replay_records, options.replay_bytes);
    let mut failures = Vec::new();
    for base in replay.bases(wanted) {
        let (returned, replayed) = replay.run(base, connection).await;
        connection = returned;
        match replayed {
            Ok(replayed) => {
                report.extend(failures);
                let (first, last) = (replayed.base + 1, survey.last);
                if first <= last {
                    report.push(format!("replayed revisions {first} to {last}"));
                }
                let newest_checkpoint = whole.last().map_or(0, |c| c.revision);
                return (
                    connection,
                    Ok(Proved {
                        survey,
                        replayed,
                        reading,
                        newest_checkpoint,
                    }),
                );
            }
            Err(Failed::Base(why)) => failures.push(why),
            Err(Failed::Log(error)) => return (connection, Err(error)),
        }
    }
    failures.append(report);
    let error = OpenError::NoBase {
        path: db.to_owned(),
        compacted: survey.compacted,
        faults: failures,
    };
    (connection, Err(error))
}

/// Reads what stands beside the log and knows how far it must reach.
fn witnesses(
    db: &Path,
    survey: &Survey,
    checkpoints: &Checkpoints,
    report: &mut Vec<String>,
) -> Result<(Reading, Vec<CheckpointFile>), OpenError> {
    let short = |witness: PathBuf, acknowledged| OpenError::Short {
        path: db.to_owned(),
        last: survey.last,
        witness,
        acknowledged,
    };
    let path = watermark::path_of(db);
    let reading = Watermark::read(&path, &survey.store_id).map_err(|cause| OpenError::Io {
        path: path.clone(),
        cause,
    })?;
    match &reading {
        Reading::Acknowledged { revision, .. } if *revision > survey.last => return Err(short(path, *revision)),
        Reading::Acknowledged { damage, .. } => report.extend(damage.as_ref().map(|what| {
            format!("{what}; the log was compared with the other slot, and may have lost what the damaged one knew of")
        })),
        Reading::Absent if survey.last > survey.compacted => report.push(format!(
            "{} is missing: whether the log lost its end after revision {} cannot be told", path.display(), survey.last
        )),
        Reading::Absent => {}
        Reading::Unreadable(what) => report.push(format!(
            "{what}: whether the log lost its end after revision {} cannot be told", survey.last
        )),
        Reading::Foreign(other) => {
            return Err(OpenError::Foreign { path: db.to_owned(), store_id: survey.store_id.clone(), witness: path, other: other.clone() });
        }
    }
    let folder = checkpoints.folder().to_owned();
    let all = checkpoints.list().map_err(|cause| OpenError::Io {
        path: folder,
        cause,
    })?;
    let (whole, damaged): (Vec<_>, Vec<_>) = all.into_iter().partition(CheckpointFile::is_whole);
    for file in damaged {
        if let Err(what) = &file.header {
            report.push(format!(
                "the checkpoint {} {what}; it is left as it is and not used",
                file.path.display()
            ));
        }
    }
    match whole.iter().find(|c| c.revision > survey.last) {
        Some(ahead) => Err(short(ahead.path.clone(), ahead.revision)),
        None => Ok((reading, whole)),
    }
}

/// Opens a proved store for writing.
async fn go_on(
    db: &Path,
    options: &OpenOptions,
    lock: Lock,
    proved: Proved,
    mut report: Vec<String>,
) -> Result<Opened, OpenError> {
    let Proved {
        survey,
        replayed,
        reading,
        newest_checkpoint,
    } = proved;
    let failed = |cause| OpenError::Io {
        path: db.to_owned(),
        cause,
    };
    point(Point::StoreProved);
    let path = watermark::path_of(db);
    let sequence = match reading {
        Reading::Acknowledged { sequence, .. } => sequence,
        Reading::Unreadable(_) => {
            let aside = checkpoints::set_aside(&path).map_err(failed)?;
            report.push(format!("the damaged watermark is now {}", aside.display()));
            0
        }
        Reading::Absent | Reading::Foreign(_) => 0,
    };
    let checkpoints = Checkpoints::of(db, &survey.store_id);
    checkpoints
        .remove_unnamed(&replayed.restored)
        .map_err(failed)?;
    let backups = Backups::of(db, &survey.store_id).map_err(failed)?;
    let watermark =
        Watermark::open(&path, &survey.store_id, sequence, survey.last).map_err(failed)?;
    point(Point::StoreMarked);
    let log = SqliteLog::open(db, watermark, lock)
        .await
        .map_err(|e| OpenError::unreadable(db, &e))?;
    let backend = Backend::Sqlite(log);
    let keeper = Keeper::new(
        backend.clone(),
        checkpoints.clone(),
        options.keeper,
        newest_checkpoint,
    );
    point(Point::StoreOpened);
    Ok(Opened {
        backend,
        history: replayed.history,
        store_id: survey.store_id.into(),
        report,
        files: Some(StoreFiles {
            keeper: Arc::new(keeper),
            checkpoints: Arc::new(checkpoints),
            backups: Arc::new(backups),
        }),
    })
}
