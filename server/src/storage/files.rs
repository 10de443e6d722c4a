//! Files that appear whole or not at all: written under another name, synced, renamed, and the folder synced.

use kg_core::faults::{Point, fallible};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What this process makes from here on is its owner's alone: whoever reads the files of a store reads past every scope.
pub fn keep_to_owner() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// `path` with `suffix` behind its whole name: `a.db` and `.lock` give `a.db.lock`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes the file `name` in `folder`. A crash leaves at most a file that begins with [`PARTIAL`].
pub(super) fn write_whole(
    folder: &Path,
    name: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    // Two that write the same name at once must not write into one file: the rename decides which of them stands.
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the number must differ from all others and orders nothing.
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let partial = folder.join(format!("{PARTIAL}{number}-{name}"));
    let written = write_partial(&partial, write)
        .and_then(|()| fallible(Point::FileSynced))
        .and_then(|()| fs::rename(&partial, folder.join(name)));
    if written.is_err() {
        // On a full disk the rest of it would be in the way.
        let _ = fs::remove_file(&partial);
    }
    written?;
    fallible(Point::FileRenamed)?;
    sync_folder(folder)
}

/// How the name of an unfinished file begins.
pub(super) const PARTIAL: &str = ".partial-";

fn write_partial(
    partial: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(partial)?;
    let mut out = BufWriter::with_capacity(256 * 1024, file);
    write(&mut out)?;
    out.flush()?;
    fallible(Point::FileWritten)?;
    out.get_ref().sync_all()
}

/// Makes renames and removals in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // On other systems a folder cannot be opened as a file, and renames are as durable as they get.
    if cfg!(unix) {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Names of the files in a folder, sorted; none if there is no folder. Unfinished ones are left out.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with(PARTIAL)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes what a crash left unfinished in a folder.
pub(super) fn remove_partial(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
