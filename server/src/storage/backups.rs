//! Backups: snapshots that somebody asked for, each a file of its own that proved to be readable.
//!
//! A backup is a checkpoint with a description. Its id is the time at which it was asked for, and a number that tells
//! apart those of one millisecond: ids sort by time, also when the clock goes back, and no backup ever overwrites
//! another. Everything here blocks: call it off the runtime's threads.

mod id;

use super::checkpoints::{self, Checkpoints};
use super::files;
use id::IdSource;
use kg_core::faults::{Point, point};
use kg_core::log::checkpoint::{self, CheckpointError, Header};
use kg_core::snapshot::Snapshot;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Backups of one store. Beyond, the oldest must be removed by hand: nothing here deletes a backup.
pub const BACKUPS: usize = 10_000;

/// Bytes of a description.
const DESCRIPTION_BYTES: usize = 4 * 1024;

const SUFFIX: &str = ".backup";

/// The folder of a store's backups.
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    store_id: String,
    ids: Mutex<IdSource>,
    /// What was proved already, by name: a list of a thousand large files is read once.
    proved: Mutex<HashMap<String, Proof>>,
}

/// What a file said when it was read, and by what one that changed since is told: its length and its time.
type Proof = ((u64, Option<SystemTime>), Result<Header, String>);

/// One backup, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupEntry {
    /// Its id.
    pub id: String,
    /// Bytes of its file.
    pub size: u64,
    /// What it holds, or what is wrong with it.
    pub content: Result<BackupContent, String>,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupContent {
    /// What it was made for, in somebody's words.
    pub description: String,
    /// The store that it is of.
    pub store_id: String,
    /// Its revision.
    pub revision: u64,
    /// Hash of its content.
    pub hash: u128,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Entities in it.
    pub entities: u64,
    /// Relations in it.
    pub relations: u64,
}

/// A backup whose content lies durably where a record can name it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The name for `Mutation::Restore`.
    pub checkpoint: Arc<str>,
    /// The content for it.
    pub content: Arc<Snapshot>,
}

/// Why something could not be done with a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is none of this id.
    #[error("there is no backup {0:?}")]
    NotFound(String),
    /// It cannot be read.
    #[error("the backup {id} {cause}")]
    Unreadable {
        /// Which.
        id: String,
        /// What is wrong with it.
        #[source]
        cause: CheckpointError,
    },
    /// It was written and does not read back as it was.
    #[error(
        "the backup {id} was written and did not prove right ({what}); it is left out of the list"
    )]
    NotProved {
        /// Which.
        id: String,
        /// What is wrong.
        what: String,
    },
    /// There are as many as there may be.
    #[error("there are {BACKUPS} backups in {0}: move some of them away first")]
    TooMany(PathBuf),
    /// The description is too long.
    #[error("the description has {0} bytes, {DESCRIPTION_BYTES} are allowed")]
    DescriptionTooLong(usize),
    /// The folder cannot be used.
    #[error("{path} cannot be used: {cause}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl Backups {
    /// The backups of the store at `db`.
    pub(super) fn of(db: &Path, store_id: &str) -> io::Result<Self> {
        let folder = files::beside(db, ".backups");
        files::remove_partial(&folder)?;
        let newest = ids(&folder)?.pop();
        Ok(Self {
            folder,
            store_id: store_id.to_owned(),
            ids: Mutex::new(IdSource::after(newest.as_deref())),
            proved: Mutex::default(),
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a backup of `snapshot` and proves it by reading all of it back. Cost: twice O(graph).
    ///
    /// # Errors
    /// [`BackupError`]. A file that does not prove right is set aside, not listed.
    pub fn create(
        &self,
        snapshot: &Snapshot,
        description: &str,
    ) -> Result<BackupEntry, BackupError> {
        if description.len() > DESCRIPTION_BYTES {
            return Err(BackupError::DescriptionTooLong(description.len()));
        }
        fs::create_dir_all(&self.folder).map_err(|e| self.failed(e))?;
        if ids(&self.folder).map_err(|e| self.failed(e))?.len() >= BACKUPS {
            return Err(BackupError::TooMany(self.folder.clone()));
        }
        let now = files::now_ms();
        let id = self
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(now);
        let path = self.path(&id);
        // The lock of the store keeps other processes out, and ids of one process differ: nothing stands here.
        let name = format!("{id}{SUFFIX}");
        files::write_whole(&self.folder, &name, |out| {
            checkpoint::write(snapshot, &self.store_id, description, now, out)?;
            out.flush()
        })
        .map_err(|e| self.failed(e))?;
        point(Point::BackupWritten);
        let what = match checkpoints::read(&path) {
            Ok((_, content)) if content.hash() == snapshot.hash() => return self.entry(&id),
            Ok((_, content)) => format!(
                "its hash is {:032x} instead of {:032x}",
                content.hash(),
                snapshot.hash()
            ),
            Err(error) => error.to_string(),
        };
        let _ = checkpoints::set_aside(&path);
        Err(BackupError::NotProved { id, what })
    }

    /// At most `limit` backups with ids after `after`, sorted by id, which is by time. Each file is proved by its checksums,
    /// once: about a second for a gigabyte. A damaged one is listed as such.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn list(&self, after: &str, limit: usize) -> Result<Vec<BackupEntry>, BackupError> {
        let ids = ids(&self.folder).map_err(|e| self.failed(e))?;
        let page = ids.iter().filter(|id| id.as_str() > after).take(limit);
        page.map(|id| self.entry(id)).collect()
    }

    /// Reads and proves the content of a backup.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn load(&self, id: &str) -> Result<(BackupEntry, Snapshot), BackupError> {
        let path = self.existing(id)?;
        let read = checkpoints::read(&path);
        let (_, snapshot) = read.map_err(|cause| BackupError::Unreadable {
            id: id.to_owned(),
            cause,
        })?;
        Ok((self.entry(id)?, snapshot))
    }

    /// Loads a backup and lays its content durably among the checkpoints, where the record of the restore will name it.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn prepare_restore(
        &self,
        id: &str,
        checkpoints: &Checkpoints,
    ) -> Result<Prepared, BackupError> {
        let (_, content) = self.load(id)?;
        let name = checkpoints
            .write_restored(id, &content)
            .map_err(|cause| BackupError::Io {
                path: checkpoints.folder().to_owned(),
                cause,
            })?;
        Ok(Prepared {
            checkpoint: name.into(),
            content: Arc::new(content),
        })
    }

    fn entry(&self, id: &str) -> Result<BackupEntry, BackupError> {
        let path = self.existing(id)?;
        let metadata = fs::metadata(&path).map_err(|e| self.failed(e))?;
        let stamp = (metadata.len(), metadata.modified().ok());
        let known = self
            .proved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned();
        let header = match known {
            Some((then, header)) if then == stamp => header,
            _ => {
                let header = checkpoints::scan(&path).map_err(|e| e.to_string());
                let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
                proved.insert(id.to_owned(), (stamp, header.clone()));
                header
            }
        };
        Ok(BackupEntry {
            id: id.to_owned(),
            size: metadata.len(),
            content: header.map(BackupContent::from),
        })
    }

    fn existing(&self, id: &str) -> Result<PathBuf, BackupError> {
        let path = self.path(id);
        if id::is_valid(id) && path.is_file() {
            return Ok(path);
        }
        Err(BackupError::NotFound(id.to_owned()))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}{SUFFIX}"))
    }

    fn failed(&self, cause: io::Error) -> BackupError {
        BackupError::Io {
            path: self.folder.clone(),
            cause,
        }
    }
}

/// Ids of the backups in a folder, sorted. A copy that somebody gave another name is none.
fn ids(folder: &Path) -> io::Result<Vec<String>> {
    let names = files::names(folder)?.into_iter();
    let id = |name: String| {
        name.strip_suffix(SUFFIX)
            .filter(|id| id::is_valid(id))
            .map(str::to_owned)
    };
    Ok(names.filter_map(id).collect())
}

impl From<Header> for BackupContent {
    fn from(header: Header) -> Self {
        Self {
            hash: header.hash_value(),
            description: header.description,
            store_id: header.store_id,
            revision: header.revision,
            created_ms: header.written_ms,
            entities: header.entities,
            relations: header.relations,
        }
    }
}
