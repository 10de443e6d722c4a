//! The file of events beside a store on disk, and what stands for it in memory.

use std::path::Path;

use sqlx::SqliteConnection;

use super::super::error::EventError;
use crate::storage::{SideFile, SideFileError};

/// What is in the chunks has checksums, and is not checked when the file is opened.
const EVENTS: SideFile = SideFile {
    suffix: ".events",
    // "AmaE"
    application_id: 0x416d_6145,
    migrations: &[include_str!("../../../migrations/events/0001_events.sql")],
    checked: false,
    tuned: |options| {
        options
            .page_size(16_384)
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .pragma("journal_size_limit", WAL_BYTES)
            .statement_cache_capacity(32)
    },
};

/// Pages of the WAL that are moved into the file at once, and the bytes that it keeps after that. Batches come by the
/// megabyte: with SQLite's own 4 MiB each would be moved by itself.
const WAL_PAGES: &str = "4096";
const WAL_BYTES: &str = "67108864";

/// Events that end with the process.
pub(super) async fn in_memory() -> Result<SqliteConnection, EventError> {
    Ok(EVENTS.in_memory().await?)
}

/// What was opened: one connection that writes, one that reads, and what the operator should know.
pub(super) struct Lines {
    pub(super) writer: SqliteConnection,
    pub(super) reader: SqliteConnection,
    pub(super) notice: Option<String>,
}

/// Opens the file beside a store, or begins one. One of another store gives way, for its places and revisions mean nothing
/// here: it is put aside, where the last such one gives way to it.
pub(super) async fn open(db: &Path, store_id: &str) -> Result<Lines, EventError> {
    let mut notice = None;
    let mut file = EVENTS.open(db, store_id).await?;
    if file.store_id != store_id {
        let path = file.path.display().to_string();
        let aside = file.set_aside(".other").await?;
        let aside = aside.display();
        notice = Some(format!(
            "{path} held the events of another store, and is now {aside}"
        ));
        file = EVENTS.open(db, store_id).await?;
    }
    Ok(Lines {
        reader: EVENTS.reader(&file.path).await?,
        writer: file.connection,
        notice,
    })
}

impl From<SideFileError> for EventError {
    fn from(error: SideFileError) -> Self {
        match error {
            SideFileError::Unavailable(what) => Self::Unavailable(what),
            SideFileError::Full(what) => Self::Unavailable(format!("there is no room: {what}")),
            SideFileError::Damaged { .. } | SideFileError::Newer { .. } => {
                Self::Broken(error.to_string())
            }
        }
    }
}
