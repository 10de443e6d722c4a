//! The lock file: an embedded store has one process.
//!
//! The system drops the lock with the process, however that ends, so a lock file that is left behind means nothing. It
//! holds the number of the process that has it, for the message to the second one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The right to an embedded store, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why the lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{path} is held by {holder}: one process at a time can use this store")]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who has it, as far as it said.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("{path} cannot be locked: {cause}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl Lock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |cause| LockError::Io {
            path: path.to_owned(),
            cause,
        };
        // Not truncated: until the lock is ours, the number in it is its holder's.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    path: path.to_owned(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // The number is a courtesy; a full disk is no reason to keep a store shut.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    match text.trim() {
        "" => "another process".to_owned(),
        pid => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_was_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db.lock");
        let first = Lock::take(&path).expect("nobody has it");
        let refused = Lock::take(&path).expect_err("it is held").to_string();
        let pid = std::process::id().to_string();
        assert!(
            refused.contains("a.db.lock") && refused.contains(&pid),
            "{refused}"
        );
        drop(first);
        Lock::take(&path).expect("it was given up");
    }
}
