//! The log of a server, whichever store it is in: dispatched by `match`, so that nothing above is generic over it.

use super::postgres::PostgresLog;
use super::sqlite::SqliteLog;
use kg_core::log::{AppendError, Batch, CommitLog, MemoryLog, ReadError, Record};
use kg_core::snapshot::Snapshot;

/// A log. Clones are further handles of the same one.
#[derive(Clone, Debug)]
pub enum Backend {
    /// In memory.
    Memory(MemoryLog),
    /// In a SQLite file.
    Sqlite(SqliteLog),
    /// In a PostgreSQL database, with other servers.
    Postgres(PostgresLog),
}

impl Backend {
    /// Removes the records up to and including `revision`, except for the last of the log. Whoever calls this has a
    /// checkpoint that covers them. Returns the oldest revision kept.
    ///
    /// # Errors
    /// [`AppendError`]: a failure here is one of the log.
    pub async fn compact(&self, revision: u64) -> Result<u64, AppendError> {
        match self {
            Self::Memory(log) => {
                let last = log.last_revision().await.unwrap_or_default();
                let revision = revision.min(last.saturating_sub(1));
                log.compact(revision);
                Ok(revision + 1)
            }
            Self::Sqlite(log) => log.compact(revision).await,
            Self::Postgres(log) => log.compact(revision).await,
        }
    }

    /// Whether other servers write to it as well.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The newest checkpoint of a shared log, for a server that slept while the log was compacted past it. `None` where
    /// there is none.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub async fn newest_checkpoint(&self) -> Result<Option<Snapshot>, String> {
        match self {
            Self::Memory(_) | Self::Sqlite(_) => Ok(None),
            Self::Postgres(log) => log.newest_checkpoint().await,
        }
    }

    /// Bytes of records appended since it was opened; 0 where no files grow.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        match self {
            Self::Memory(_) | Self::Postgres(_) => 0,
            Self::Sqlite(log) => log.appended_bytes(),
        }
    }

    /// Why the last write of the watermark failed, if it did.
    #[must_use]
    pub fn watermark_fault(&self) -> Option<String> {
        match self {
            Self::Memory(_) | Self::Postgres(_) => None,
            Self::Sqlite(log) => log.watermark_fault(),
        }
    }

    /// Closes the store in order. Appends and reads fail from then on, by whichever handle.
    ///
    /// # Errors
    /// What the store said, in words.
    pub async fn close(&self) -> Result<(), String> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Sqlite(log) => log.close().await,
            Self::Postgres(log) => log.close().await,
        }
    }
}

impl CommitLog for Backend {
    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        match self {
            Self::Memory(log) => log.append(batch).await,
            Self::Sqlite(log) => log.append(batch).await,
            Self::Postgres(log) => log.append(batch).await,
        }
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        match self {
            Self::Memory(log) => log.read(from, limit).await,
            Self::Sqlite(log) => log.read(from, limit).await,
            Self::Postgres(log) => log.read(from, limit).await,
        }
    }

    async fn last_revision(&self) -> Result<u64, ReadError> {
        match self {
            Self::Memory(log) => log.last_revision().await,
            Self::Sqlite(log) => log.last_revision().await,
            Self::Postgres(log) => log.last_revision().await,
        }
    }
}
