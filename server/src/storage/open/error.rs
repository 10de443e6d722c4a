//! Why a store was not opened: what happened, where, and what to do.

use super::super::fault::Fault;
use super::super::lock::LockError;
use super::super::store_url::UrlError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a store was not opened. It was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no store.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Another process has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file cannot be read or written.
    #[error("{path} cannot be used: {cause}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// SQLite cannot open or read the file for a reason that is no damage.
    #[error("the store {path} cannot be opened: {what}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        what: String,
    },
    /// The URL of a database cannot be used.
    #[error(
        "the address of the database cannot be used: {what}. Write postgres://user:password@host:5432/database"
    )]
    Address {
        /// What is wrong with it.
        what: String,
    },
    /// The database of a shared store was not reached.
    #[error(
        "the database {place} could not be used within {seconds} s: {what}. No other store is used in its place; start the database, or check the address, the user and what it may do"
    )]
    Unreachable {
        /// Where it should be; without a password.
        place: String,
        /// How long it was tried.
        seconds: u64,
        /// The last answer.
        what: String,
    },
    /// There was a store here, and its database is gone.
    #[error(
        "{path} is missing, but {} of it still there. Nothing was changed. Put the database back, or move the rest away to begin with an empty store",
        listed(.beside)
    )]
    Missing {
        /// The database.
        path: PathBuf,
        /// What is there.
        beside: Vec<PathBuf>,
    },
    /// The file is something else.
    #[error(
        "{path} is no store of this program: {what}. Nothing was changed. Name another file, or move this one away"
    )]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Another version of this program made it.
    #[error(
        "{path} has the schema {found}, this program knows {known}. Nothing was changed. Use the version of the program that wrote it"
    )]
    Schema {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// Another version of this program wrote a record.
    #[error(
        "revision {revision} in {path} has the record version {found}, which this program does not know. Nothing was changed. Use the version of the program that wrote it"
    )]
    RecordVersion {
        /// The database.
        path: PathBuf,
        /// The first such revision.
        revision: u64,
        /// Its version.
        found: u32,
    },
    /// The database is damaged.
    #[error("the store {path} is damaged: {what}. It is refused and left as it is. {RECOVER}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The log ends before what was acknowledged.
    #[error(
        "the log {path} ends at revision {last}, but {witness} says that writes up to revision {acknowledged} were acknowledged: its end is lost, most likely by damage to {path}-wal. It is refused and left as it is. {RECOVER}; or, to go on without what is lost, move {witness} away"
    )]
    Short {
        /// The database.
        path: PathBuf,
        /// Where the log ends.
        last: u64,
        /// The file that knows better.
        witness: PathBuf,
        /// What that says.
        acknowledged: u64,
    },
    /// Files of two stores stand beside each other.
    #[error(
        "{path} is the store {store_id}, but {witness} is of the store {other}. Nothing was changed. Put the files together that belong together; if only the watermark is wrong, move it away"
    )]
    Foreign {
        /// The database.
        path: PathBuf,
        /// Its identity.
        store_id: String,
        /// The watermark.
        witness: PathBuf,
        /// That one's identity.
        other: String,
    },
    /// Nothing that can be read covers the beginning of the log.
    #[error("the state of the store {path} cannot be rebuilt: its log begins after revision {compacted}, and: {}. It is refused and left as it is. {RECOVER}", reasons(.faults))]
    NoBase {
        /// The database.
        path: PathBuf,
        /// Where the log begins.
        compacted: u64,
        /// What is wrong with each checkpoint.
        faults: Vec<String>,
    },
    /// A backup cannot be read.
    #[error("the backup {path} {what}. Nothing was changed")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A backup can become a store only where there is none.
    #[error(
        "{path} or files of it are there already: a backup can be made into a store only where there is none"
    )]
    Occupied {
        /// The database.
        path: PathBuf,
    },
    /// A store in memory has no files.
    #[error("a store in memory cannot be made from a backup: use sqlite://path")]
    NoFiles,
}

const RECOVER: &str =
    "Put back a copy of the whole folder, or move it away and begin with one of its backups";

impl OpenError {
    /// What an error of SQLite means for the store.
    pub(in super::super) fn unreadable(path: &Path, error: &sqlx::Error) -> Self {
        let path = path.to_owned();
        match Fault::of(error) {
            Fault::Full(what) | Fault::Away(what) | Fault::Disk(what) | Fault::Closed(what) => {
                Self::Sqlite { path, what }
            }
            Fault::Damaged(what) | Fault::Wrong(what) => Self::Damaged { path, what },
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(" and "))
}

fn reasons(faults: &[String]) -> String {
    if faults.is_empty() {
        return "there is no checkpoint".into();
    }
    faults.join("; ")
}
