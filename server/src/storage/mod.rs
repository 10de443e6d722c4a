//! The stores: where a log lives on disk, how it is opened, and what stands beside it.
//!
//! ```text
//! amadeus.db                the log, in SQLite; amadeus.db-wal and -shm are SQLite's own
//! amadeus.db.watermark      the last acknowledged revision
//! amadeus.db.lock           held by the process that has the store
//! amadeus.db.leases         the rows of leases, in SQLite; with files of its own as amadeus.db has
//! amadeus.db.users          users, in SQLite, as above; see `crate::users`
//! amadeus.db.events         events and their groups, in SQLite, as above; see `crate::events`
//! amadeus.db.runs           runs of patterns, in SQLite, as above; see `crate::nexus::rows`
//! amadeus.db.checkpoints/   snapshots that bound the replay, and those that a restore went back to
//! amadeus.db.backups/       snapshots that somebody asked for
//! ```
//!
//! A store that cannot be read is refused and left as it is: see [`open`].

mod backend;
mod backups;
mod checkpoints;
mod fault;
pub(crate) mod files;
mod keeper;
mod leases;
mod lock;
mod open;
mod postgres;
mod replay;
mod shared_keeper;
mod side_file;
mod sql;
mod sqlite;
mod store_id;
mod store_url;
mod survey;
mod watermark;

pub use backend::Backend;
pub use backups::{BACKUPS, BackupEntry, BackupError, Backups, Prepared};
pub use checkpoints::{CheckpointFile, Checkpoints};
pub(crate) use fault::Fault;
pub use files::keep_to_owner;
pub use keeper::{Keeper, KeeperError, KeeperPolicy, Kept};
pub use leases::{
    Applied, Edit, LEASE_PAGE, LeaseRow, LeaseRows, LeaseRowsError, MemoryLeases, PostgresLeases,
    ServerId, SqliteLeases, Vouched,
};
pub use lock::{Lock, LockError};
pub use open::{OpenError, OpenOptions, Opened, StoreFiles, create_from_backup, open};
pub use postgres::{KeepError, PostgresLog};
pub use shared_keeper::{SharedKeeper, SharedKeeperError};
pub(crate) use side_file::{SideFile, SideFileError};
pub(crate) use sql::{Row, Value, plain, postgres, sqlite, values};
pub use sqlite::SqliteLog;
pub use store_url::{StoreUrl, UrlError};
