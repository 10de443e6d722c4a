//! The file of users beside a store on disk, and what stands for it in memory.

use std::path::Path;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteLockingMode;

use crate::storage::{SideFile, SideFileError};
use crate::users::error::UserStoreError;

const USERS: SideFile = SideFile {
    suffix: ".users",
    // "AmaU"
    application_id: 0x416d_6155,
    migrations: &[include_str!("../../../migrations/users/0001_users.sql")],
    checked: true,
    tuned: |options| {
        options
            // Nobody else has to do with it. SQLite then needs no index that it shares, and holds its lock until the end.
            .locking_mode(SqliteLockingMode::Exclusive)
            // What was deleted must be gone from the file.
            .pragma("secure_delete", "ON")
    },
};

/// Users that end with the process.
pub(super) async fn in_memory() -> Result<SqliteConnection, UserStoreError> {
    Ok(USERS.in_memory().await?)
}

/// Opens the file beside a store, or begins one.
pub(super) async fn open(db: &Path, store_id: &str) -> Result<SqliteConnection, UserStoreError> {
    let mut file = USERS.open(db, store_id).await?;
    if file.store_id != store_id {
        // Users are in no backup: whoever makes a new store of one, beside the file that the old one left, keeps them.
        let path = file.path.display().to_string();
        tracing::warn!(
            path,
            before = file.store_id,
            "these users were those of another store, and are this one's from now on"
        );
        let told = sqlx::query("UPDATE about SET store_id = $1")
            .bind(store_id)
            .execute(&mut file.connection)
            .await;
        told.map_err(|error| UserStoreError::Unavailable(format!("{path}: {error}")))?;
    }
    Ok(file.connection)
}

impl From<SideFileError> for UserStoreError {
    fn from(error: SideFileError) -> Self {
        match error {
            SideFileError::Unavailable(what) | SideFileError::Full(what) => Self::Unavailable(what),
            SideFileError::Damaged { path, what } => Self::Damaged { path, what },
            SideFileError::Newer { path, version, .. } => Self::Newer { path, version },
        }
    }
}
