//! The watermark: a small file that says up to where writes were acknowledged.
//!
//! SQLite in WAL mode drops everything after a damaged frame without a word, so a log that lost its end looks like one
//! that never had it. This file knows better. It is written after every batch and never synced: it has to survive the
//! process and a damaged log, not the machine, and after a power failure it is behind, which is harmless. Its two slots
//! are written in turn, so that one that is torn or flipped is found and the other one stands. Its size never changes:
//! it can be written on a full disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"AMWATER\x01";
const SLOT: usize = 64;
const FILE: usize = 2 * SLOT;
/// Bytes of a slot that its checksum covers.
const COVERED: usize = SLOT - 4;

/// The open file.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    store_id: [u8; 32],
    sequence: u64,
}

/// What a watermark file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// There is none.
    Absent,
    /// Neither slot can be read.
    Unreadable(String),
    /// It is of another store.
    Foreign(String),
    /// Writes were acknowledged up to `revision` at least; `damage` says what is wrong with the other slot.
    Acknowledged {
        revision: u64,
        sequence: u64,
        damage: Option<String>,
    },
}

struct Slot {
    store_id: [u8; 32],
    sequence: u64,
    revision: u64,
}

/// Where the watermark of a store is.
pub(super) fn path_of(db: &Path) -> PathBuf {
    super::files::beside(db, ".watermark")
}

impl Watermark {
    /// Reads the file at `path` without changing it.
    pub(super) fn read(path: &Path, store_id: &str) -> io::Result<Reading> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Reading::Absent),
            Err(e) => return Err(e),
        };
        let slot = |n: usize| -> Result<Slot, String> {
            let bytes = bytes.get(n * SLOT..(n + 1) * SLOT);
            bytes
                .and_then(Slot::parse)
                .ok_or_else(|| format!("slot {} of {} is damaged", n + 1, path.display()))
        };
        let mut damage =
            (bytes.len() > FILE).then(|| format!("{} is longer than it should be", path.display()));
        let newest = match (slot(0), slot(1)) {
            (Ok(a), Ok(b)) => {
                if a.sequence > b.sequence {
                    a
                } else {
                    b
                }
            }
            (Ok(whole), Err(why)) | (Err(why), Ok(whole)) => {
                damage = Some(why);
                whole
            }
            (Err(_), Err(_)) => {
                return Ok(Reading::Unreadable(format!(
                    "both slots of {} are damaged",
                    path.display()
                )));
            }
        };
        if newest.store_id != identity(store_id) {
            return Ok(Reading::Foreign(
                String::from_utf8_lossy(&newest.store_id).into_owned(),
            ));
        }
        Ok(Reading::Acknowledged {
            revision: newest.revision,
            sequence: newest.sequence,
            damage,
        })
    }

    /// Opens the file for writing, with both slots at `revision`.
    pub(super) fn open(
        path: &Path,
        store_id: &str,
        sequence: u64,
        revision: u64,
    ) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut watermark = Self {
            file,
            store_id: identity(store_id),
            sequence,
        };
        watermark.write(revision)?;
        watermark.write(revision)?;
        watermark.file.set_len(FILE as u64)?;
        Ok(watermark)
    }

    /// Notes that everything up to `revision` is acknowledged.
    pub(super) fn write(&mut self, revision: u64) -> io::Result<()> {
        let slot = Slot {
            store_id: self.store_id,
            sequence: self.sequence + 1,
            revision,
        };
        let offset = (slot.sequence % 2) * SLOT as u64;
        self.file.write_all_at(&slot.bytes(), offset)?;
        self.sequence = slot.sequence;
        Ok(())
    }

    /// Makes it survive the machine too; when a store is closed there is time for that.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Slot {
    fn bytes(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..40].copy_from_slice(&self.store_id);
        bytes[40..48].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.revision.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..COVERED]);
        bytes[COVERED..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let checksum = u32::from_le_bytes(bytes.get(COVERED..SLOT)?.try_into().ok()?);
        if bytes.get(..8)? != MAGIC || crc32c::crc32c(bytes.get(..COVERED)?) != checksum {
            return None;
        }
        Some(Self {
            store_id: bytes.get(8..40)?.try_into().ok()?,
            sequence: word(40)?,
            revision: word(48)?,
        })
    }
}

/// A store's id as it stands in a slot: 32 letters, cut or filled up.
fn identity(store_id: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    let text = store_id.as_bytes();
    let length = text.len().min(32);
    bytes[..length].copy_from_slice(&text[..length]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn acknowledged(path: &Path) -> Option<(u64, bool)> {
        match Watermark::read(path, ID).expect("it is there") {
            Reading::Acknowledged {
                revision, damage, ..
            } => Some((revision, damage.is_some())),
            _ => None,
        }
    }

    #[test]
    fn one_flipped_bit_costs_one_slot_and_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.watermark");
        assert_eq!(
            Watermark::read(&path, ID).expect("no error"),
            Reading::Absent
        );
        let mut watermark = Watermark::open(&path, ID, 0, 5).expect("there is room");
        assert_eq!(acknowledged(&path), Some((5, false)));
        for revision in 6..9 {
            watermark.write(revision).expect("there is room");
            assert_eq!(acknowledged(&path), Some((revision, false)));
        }
        let whole = std::fs::read(&path).expect("it is there");
        assert_eq!(whole.len(), FILE);
        for bit in 0..FILE * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).expect("there is room");
            let (revision, damaged) = acknowledged(&path).expect("the other slot stands");
            assert!(damaged && (7..=8).contains(&revision), "bit {bit}");
        }
        for length in 0..FILE {
            std::fs::write(&path, &whole[..length]).expect("there is room");
            let read = acknowledged(&path);
            assert!(read.is_none_or(|(_, damaged)| damaged), "{length} bytes");
        }
    }

    #[test]
    fn the_watermark_of_another_store_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.watermark");
        Watermark::open(&path, "another", 0, 5).expect("there is room");
        let read = Watermark::read(&path, ID).expect("it is there");
        assert!(matches!(read, Reading::Foreign(_)), "{read:?}");
    }
}
