//! The checkpoints of a store: files that bound the replay, and the contents that restores went back to.
//!
//! A checkpoint is named by its revision, the content of a restore by the backup that it came from: its name stands in the
//! log. All are written whole or not at all and proved by reading them back. A damaged one is never removed and never
//! overwritten; it is left for somebody to look at. Everything here blocks: call it off the runtime's threads.

use super::files;
use kg_core::faults::{Point, point};
use kg_core::log::checkpoint::{self, CheckpointError, Header};
use kg_core::snapshot::Snapshot;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// Checkpoints that are kept: the second is for the day on which the first is damaged.
const KEPT: usize = 2;

const SUFFIX: &str = ".checkpoint";
const RESTORED: &str = "restored-";

/// The folder of a store's checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    store_id: String,
}

/// One checkpoint, proved as far as its checksums go.
#[derive(Debug)]
pub struct CheckpointFile {
    /// The file.
    pub path: PathBuf,
    /// What it says of itself, or what is wrong with it.
    pub header: Result<Header, CheckpointError>,
    /// Its revision, by its name.
    pub revision: u64,
}

impl CheckpointFile {
    /// Whether it can be relied on.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.header.is_ok()
    }
}

/// Where the checkpoints of a store are.
pub(super) fn folder_of(db: &Path) -> PathBuf {
    files::beside(db, ".checkpoints")
}

impl Checkpoints {
    pub(super) fn of(db: &Path, store_id: &str) -> Self {
        Self {
            folder: folder_of(db),
            store_id: store_id.to_owned(),
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a checkpoint of `snapshot`, unless there is one of its revision. Cost: O(graph).
    ///
    /// # Errors
    /// When it cannot be written, or does not read back as it was written.
    pub fn write(&self, snapshot: &Snapshot) -> io::Result<PathBuf> {
        let name = format!("{:020}{SUFFIX}", snapshot.revision());
        let path = self.folder.join(&name);
        if path.exists() {
            if self.proved(&path, snapshot.revision()).is_ok() {
                return Ok(path);
            }
            set_aside(&path)?;
        }
        self.write_as(&name, snapshot, "")?;
        Ok(path)
    }

    /// Writes the content that a restore goes back to, and returns the name for its record.
    pub(super) fn write_restored(&self, backup: &str, content: &Snapshot) -> io::Result<String> {
        let name = format!("{RESTORED}{backup}{SUFFIX}");
        let path = self.folder.join(&name);
        if path.exists() {
            if scan(&path).is_ok_and(|header| header.hash_value() == content.hash()) {
                return Ok(name);
            }
            set_aside(&path)?;
        }
        self.write_as(
            &name,
            content,
            &format!("restored from the backup {backup}"),
        )?;
        Ok(name)
    }

    fn write_as(&self, name: &str, snapshot: &Snapshot, description: &str) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        files::write_whole(&self.folder, name, |out| {
            let now = files::now_ms();
            checkpoint::write(snapshot, &self.store_id, description, now, out)?;
            out.flush()
        })?;
        scan(&self.folder.join(name))
            .map(drop)
            .map_err(io::Error::other)
    }

    /// The checkpoints that bound the replay, oldest first, each with what is wrong with it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<CheckpointFile>> {
        let mut found = Vec::new();
        for name in files::names(&self.folder)? {
            let revision = name
                .strip_suffix(SUFFIX)
                .filter(|digits| digits.len() == 20);
            if let Some(revision) = revision.and_then(|digits| digits.parse().ok()) {
                let path = self.folder.join(name);
                let header = self.proved(&path, revision);
                found.push(CheckpointFile {
                    path,
                    header,
                    revision,
                });
            }
        }
        Ok(found)
    }

    fn proved(&self, path: &Path, revision: u64) -> Result<Header, CheckpointError> {
        let header = scan(path)?;
        if header.revision != revision {
            let what = format!(
                "it is of revision {}, its name says {revision}",
                header.revision
            );
            return Err(CheckpointError::Corrupt(what));
        }
        if header.store_id != self.store_id {
            let what = format!(
                "it is of the store {}, this one is {}",
                header.store_id, self.store_id
            );
            return Err(CheckpointError::Corrupt(what));
        }
        Ok(header)
    }

    /// Whether any file is in the folder of the store at `db`.
    pub(super) fn any(db: &Path) -> io::Result<bool> {
        files::names(&folder_of(db)).map(|names| !names.is_empty())
    }

    /// The content that a record of a restore names.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn restored(&self, name: &str, hash: u128) -> Result<Snapshot, CheckpointError> {
        // The name comes from a record; it must not lead out of the folder.
        if !name.starts_with(RESTORED) || name.contains(['/', '\\']) {
            return Err(CheckpointError::Corrupt(format!(
                "{name:?} is no name of a checkpoint"
            )));
        }
        let (header, content) = read(&self.folder.join(name))?;
        if header.hash_value() != hash {
            let what = format!(
                "its content has the hash {:032x}, the record says {hash:032x}",
                header.hash_value()
            );
            return Err(CheckpointError::Corrupt(what));
        }
        Ok(content)
    }

    /// Removes whole checkpoints that two newer ones cover, and unfinished files. Returns the revision of the older of the
    /// two: up to there the log may be compacted. `None` as long as there are no two.
    ///
    /// # Errors
    /// When a file cannot be read or removed.
    pub fn prune(&self) -> io::Result<Option<u64>> {
        let whole: Vec<_> = self
            .list()?
            .into_iter()
            .filter(CheckpointFile::is_whole)
            .collect();
        let Some(first_kept) = whole.len().checked_sub(KEPT) else {
            return Ok(None);
        };
        for gone in &whole[..first_kept] {
            fs::remove_file(&gone.path)?;
            point(Point::CheckpointRemoved);
        }
        if first_kept > 0 {
            files::sync_folder(&self.folder)?;
        }
        Ok(Some(whole[first_kept].revision))
    }

    /// Removes the contents of restores that no record of the log names any more, or that were prepared and never
    /// committed; and what a crash left unfinished. Only at start, when no restore can be under way.
    pub(super) fn remove_unnamed(&self, named: &BTreeSet<String>) -> io::Result<()> {
        for name in files::names(&self.folder)? {
            if name.starts_with(RESTORED) && name.ends_with(SUFFIX) && !named.contains(&name) {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        files::remove_partial(&self.folder)
    }
}

/// Reads and proves a whole checkpoint.
pub(super) fn read(path: &Path) -> Result<(Header, Snapshot), CheckpointError> {
    checkpoint::read(&mut BufReader::with_capacity(256 * 1024, File::open(path)?))
}

/// Proves the checksums of a checkpoint.
pub(super) fn scan(path: &Path) -> Result<Header, CheckpointError> {
    checkpoint::scan(&mut BufReader::with_capacity(256 * 1024, File::open(path)?))
}

/// Renames a damaged file, so that a whole one can take its name.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = files::beside(path, &format!(".damaged-{}", files::now_ms()));
    fs::rename(path, &aside)?;
    Ok(aside)
}
