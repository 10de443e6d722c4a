//! The file of runs beside a store on disk, and what stands for it in memory.
//!
//! Unlike leases, runs that cannot be read are not put aside: what they have done is nowhere else, so somebody has to look.

use std::path::Path;

use sqlx::sqlite::SqliteLockingMode;
use sqlx::{Connection as _, SqliteConnection};

use super::error::RunRowsError;
use crate::storage::SideFile;

const RUNS: SideFile = SideFile {
    suffix: ".runs",
    // "AmaR"
    application_id: 0x416d_6152,
    migrations: &[include_str!("../../../migrations/runs/0001_runs.sql")],
    checked: true,
    // Nobody else has to do with it. SQLite then needs no index that it shares, and holds its lock until the end.
    tuned: |options| options.locking_mode(SqliteLockingMode::Exclusive),
};

/// Runs that end with the process.
pub(super) async fn in_memory() -> Result<SqliteConnection, RunRowsError> {
    Ok(RUNS.in_memory().await?)
}

/// Opens the file beside a store, or begins one.
pub(super) async fn open(db: &Path, store_id: &str) -> Result<SqliteConnection, RunRowsError> {
    let file = RUNS.open(db, store_id).await?;
    if file.store_id == store_id {
        return Ok(file.connection);
    }
    let _ = file.connection.close().await;
    Err(RunRowsError::Broken(format!(
        "{}: these are the runs of the store {}, and this one is {store_id}: move the file away",
        file.path.display(),
        file.store_id
    )))
}
