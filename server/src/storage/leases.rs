//! Where the rows of leases are kept: beside the log, and no part of it.
//!
//! A lease is a service's promise to keep calling. Its row says whose it is, which server judges it, and what that server
//! showed of it last. A row changes when a lease is granted, moves to another server, changes its health or is revoked, and
//! never because it was called: for all the leases that call it a server vouches by one row of its own, whose beat it moves
//! once a second. Each server judges the silence of the others by its own clock; no two clocks are compared.
//!
//! Rows are not the graph. They make no revision and stand in no backup, and a server without them still serves.
//!
//! # The order of changes
//! Every [`LeaseRows::apply`] takes the next number of one clock and gives it to all rows that it changes. Numbers become
//! visible in their order, so whoever has read up to one of them misses nothing of it or before it. A server reads on from
//! where its last [`LeaseRows::vouch`] ended, and from nowhere else: between that and its own latest `apply` others may
//! have written.
//!
//! A row that was revoked stays for an hour, so that others learn of it. A server that slept for longer has been
//! adopted by those that were awake. It joins again, forgets every row that it held and reads from 0.

mod memory;
mod postgres;
mod sqlite;

pub use memory::MemoryLeases;
pub use postgres::PostgresLeases;
pub use sqlite::SqliteLeases;

use super::backend::Backend;
use super::fault::Fault;
use super::open::Opened;
use kg_core::lease::LeaseId;
use kg_core::model::{Health, Name};
use std::fmt;
use std::time::Duration;

/// Rows that one look returns, and some more where one `apply` changed more than fit: what it changed is never divided.
pub const LEASE_PAGE: usize = 10_000;

/// How long a row that was revoked stays.
const GONE_FOR: Duration = Duration::from_secs(60 * 60);

/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Which.
    pub id: LeaseId,
    /// Whose promise it is.
    pub service: Name,
    /// How long it lives without a call, in milliseconds.
    pub ttl_ms: u32,
    /// The server that judges it.
    pub owner: ServerId,
    /// What was last shown of it.
    pub health: Health,
    /// Whether it was revoked.
    pub gone: bool,
    /// The number of the `apply` that changed it last.
    pub seq: u64,
}

/// One change. Each may be repeated when its answer was lost: the second time it finds what the first made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A new row, mine, of unknown health. One that stands under this id for the same service becomes mine and takes this
    /// ttl; one of another service, or one that is gone, refuses.
    Grant {
        /// Which.
        id: LeaseId,
        /// Whose promise it is.
        service: Name,
        /// How long it lives without a call, in milliseconds.
        ttl_ms: u32,
    },
    /// The row becomes mine, whoever has it. Refused if there is none or it is gone.
    Take {
        /// Which.
        id: LeaseId,
    },
    /// What is to be seen of it. Refused if there is none, it is gone, or it is not mine.
    Show {
        /// Which.
        id: LeaseId,
        /// How it is doing.
        health: Health,
    },
    /// The row is gone, whoever has it. Refused if there is none.
    Revoke {
        /// Which.
        id: LeaseId,
    },
    /// If the row of that other server still has this beat, it is removed, and all leases of the server that are not gone
    /// become mine. Otherwise nothing happens: it lives, or somebody else was first.
    Adopt {
        /// The server that is silent.
        server: ServerId,
        /// Its beat, as it was seen.
        beat: i64,
    },
}

impl Edit {
    /// The lease that it is about; none where it is about a server.
    fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Grant { id, .. }
            | Self::Take { id }
            | Self::Show { id, .. }
            | Self::Revoke { id } => Some(*id),
            Self::Adopt { .. } => None,
        }
    }
}

/// What became of edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether my row is there. If it is not, I was adopted or I left: nothing was changed, and all leases are refused.
    pub member: bool,
    /// The rows that were changed, as they are now, by their ids; also those that were adopted.
    pub changed: Vec<LeaseRow>,
    /// The leases of the edits that were refused, in their order. They changed nothing.
    pub refused: Vec<LeaseId>,
    /// The number that the changed rows carry.
    pub seq: u64,
}

impl Applied {
    /// What somebody is told who is no member.
    fn none_of(edits: &[Edit]) -> Self {
        Self {
            refused: edits.iter().filter_map(Edit::lease).collect(),
            ..Self::default()
        }
    }
}

/// What a server learns while it vouches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    /// Whether my row is there. If it is not, I was adopted or I left, and there is nothing else in here.
    pub member: bool,
    /// All servers and their beats, mine too, by their ids. A negative beat is that of a server that left.
    pub servers: Vec<(ServerId, i64)>,
    /// The rows that changed behind `since`, in the order of their numbers. Where they are [`LEASE_PAGE`] or more there may be
    /// others behind them.
    pub changed: Vec<LeaseRow>,
    /// Up to where `changed` is complete: the next `since`.
    pub seq: u64,
}

impl Vouched {
    /// Puts a reading into its order, and ends it behind its last row where that is not the last of all.
    fn of(mut servers: Vec<(ServerId, i64)>, mut changed: Vec<LeaseRow>, clock: u64) -> Self {
        servers.sort_unstable();
        changed.sort_unstable_by_key(|row| (row.seq, row.id));
        let cut = changed.len() >= LEASE_PAGE;
        let seq = changed
            .last()
            .filter(|_| cut)
            .map_or(clock, |last| last.seq);
        Self {
            member: true,
            servers,
            changed,
            seq,
        }
    }
}

/// Why rows could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRowsError {
    /// They were not reached, or did not answer in time: a change may have been made or not. Ask again.
    #[error("the rows of leases cannot be reached: {0}")]
    Unavailable(String),
    /// There is no room; nothing was changed. Ask again when there is some.
    #[error("there is no room for the rows of leases: {0}")]
    Full(String),
    /// They are not what they should be, and asking again does not help: somebody has to look.
    #[error("the rows of leases are broken: {0}")]
    Broken(String),
}

/// The rows, wherever they are. Clones are further handles of the same ones. Needs a tokio runtime. Every answer comes
/// within half a minute, whatever the disk or the database does.
#[derive(Clone)]
pub enum LeaseRows {
    /// In memory.
    Memory(MemoryLeases),
    /// In a file beside the store.
    Sqlite(SqliteLeases),
    /// In the database, with those of other servers.
    Postgres(PostgresLeases),
}

impl LeaseRows {
    /// Opens the rows of a store, wherever that is. Tells in words for the operator what became of rows that could not be
    /// read, or were of another store. Of a store on disk they must be closed before it is: its lock guards them as well.
    ///
    /// # Errors
    /// [`LeaseRowsError`].
    pub async fn open(opened: &Opened) -> Result<(Self, Option<String>), LeaseRowsError> {
        match &opened.backend {
            Backend::Memory(_) => Ok((Self::Memory(MemoryLeases::default()), None)),
            Backend::Sqlite(log) => {
                let (rows, notice) = SqliteLeases::open(log.path(), &opened.store_id).await?;
                Ok((Self::Sqlite(rows), notice))
            }
            Backend::Postgres(log) => Ok((Self::Postgres(log.lease_rows()), None)),
        }
    }

    /// Puts the row of a server, with the beat 0.
    ///
    /// # Errors
    /// [`LeaseRowsError`].
    pub async fn join(&self, me: ServerId) -> Result<(), LeaseRowsError> {
        match self {
            Self::Memory(rows) => {
                rows.join(me);
                Ok(())
            }
            Self::Sqlite(rows) => rows.join(me).await,
            Self::Postgres(rows) => rows.join(me).await,
        }
    }

    /// Says that a server will vouch no more: its beat is -1, and others may adopt it at once.
    ///
    /// # Errors
    /// [`LeaseRowsError`].
    pub async fn leave(&self, me: ServerId) -> Result<(), LeaseRowsError> {
        match self {
            Self::Memory(rows) => {
                rows.leave(me);
                Ok(())
            }
            Self::Sqlite(rows) => rows.leave(me).await,
            Self::Postgres(rows) => rows.leave(me).await,
        }
    }

    /// Carries out edits in their order, all at once or not at all. An edit that is refused does not stop the others.
    ///
    /// # Errors
    /// [`LeaseRowsError`].
    pub async fn apply(&self, me: ServerId, edits: &[Edit]) -> Result<Applied, LeaseRowsError> {
        match self {
            Self::Memory(rows) => Ok(rows.apply(me, edits)),
            Self::Sqlite(rows) => rows.apply(me, edits).await,
            Self::Postgres(rows) => rows.apply(me, edits).await,
        }
    }

    /// Moves my beat on, and tells what changed behind `since`. A beat that is lost costs nothing, so it is not synced.
    ///
    /// # Errors
    /// [`LeaseRowsError`]; `Broken` also where the rows end before `since`.
    pub async fn vouch(&self, me: ServerId, since: u64) -> Result<Vouched, LeaseRowsError> {
        let vouched = match self {
            Self::Memory(rows) => rows.vouch(me, since),
            Self::Sqlite(rows) => rows.vouch(me, since).await?,
            Self::Postgres(rows) => rows.vouch(me, since).await?,
        };
        if vouched.member && vouched.seq < since {
            return Err(LeaseRowsError::Broken(format!(
                "they end at {}, and were read up to {since} before: they were set back, or are those of another store",
                vouched.seq
            )));
        }
        Ok(vouched)
    }

    /// Closes them in order. Those in a file or a database answer nobody any more, by whichever handle.
    pub async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Sqlite(rows) => rows.close().await,
            Self::Postgres(rows) => rows.close().await,
        }
    }
}

/// What a failure means for whoever wanted something.
fn failed(error: &sqlx::Error) -> LeaseRowsError {
    match Fault::of(error) {
        Fault::Full(said) => LeaseRowsError::Full(said),
        Fault::Away(said) => LeaseRowsError::Unavailable(said),
        Fault::Disk(said) | Fault::Damaged(said) | Fault::Closed(said) | Fault::Wrong(said) => {
            LeaseRowsError::Broken(said)
        }
    }
}
