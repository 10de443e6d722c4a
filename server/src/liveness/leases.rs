//! The leases as the calls see them: a call that keeps one alive touches a word in memory and nothing else; whatever
//! changes a row goes to the keeper's task and is waited for, for a bounded time.

use super::ear::Ear;
use super::roster::Roster;
use crate::storage::LeaseRow;
use kg_core::lease::{Beat, LeaseId, LeaseTable, Said};
use kg_core::model::{Health, Name};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Changes of rows that may wait for the keeper.
const WAITING: usize = 16_384;

/// How long a change may take before its outcome is called unknown.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a lease could not be had or changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LeaseError {
    /// There is no such lease any more.
    #[error("lease {0} does not exist: it was revoked, or lapsed long ago")]
    Gone(LeaseId),
    /// The request's id stands for a lease of another service.
    #[error("the request id was used for a lease of another service, or for one that has ended")]
    Reused,
    /// There are as many as there may be.
    #[error("{0}")]
    Full(String),
    /// Leases cannot be changed now.
    #[error("leases cannot be changed now: {0}")]
    Unavailable(String),
}

/// A lease that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub id: LeaseId,
    /// The service that it speaks for.
    pub service: Name,
    /// How long it lives without a call, in milliseconds.
    pub ttl_ms: u32,
    /// What its holder says of the service.
    pub said: Said,
}

/// What becomes of a row, and where the answer goes.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) change: RowChange,
    pub(super) answer: oneshot::Sender<Result<(), LeaseError>>,
}

#[derive(Clone, Debug)]
pub(super) enum RowChange {
    Grant(Wanted),
    /// The holder calls here, and called another server before.
    Take(LeaseId, Said),
    Revoke(LeaseId),
}

impl RowChange {
    pub(super) fn lease(&self) -> LeaseId {
        match self {
            Self::Grant(wanted) => wanted.id,
            Self::Take(id, _) | Self::Revoke(id) => *id,
        }
    }
}

/// What became of one call.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// It lives for so many milliseconds from now on.
    Alive(u32),
    /// It does not, for this reason.
    Lost(LeaseError),
}

/// A lease as a list shows it.
#[derive(Debug)]
pub struct Listed {
    /// Its row.
    pub row: LeaseRow,
    /// How long ago its holder called, in milliseconds, and whether it has lapsed; only of those that call here.
    pub heard: Option<(u64, bool)>,
    /// For how many milliseconds an improvement of its service is held back.
    pub held_back_ms: Option<u64>,
}

/// All leases, as this server knows them.
pub struct Leases {
    pub(super) table: LeaseTable,
    pub(super) ear: Ear,
    roster: Mutex<Roster>,
    began: Instant,
    commands: mpsc::Sender<Command>,
    waiting: Mutex<Option<mpsc::Receiver<Command>>>,
    fault: Mutex<Option<String>>,
}

impl Default for Leases {
    fn default() -> Self {
        let (commands, waiting) = mpsc::channel(WAITING);
        Self {
            table: LeaseTable::default(),
            ear: Ear::default(),
            roster: Mutex::default(),
            began: Instant::now(),
            commands,
            waiting: Mutex::new(Some(waiting)),
            fault: Mutex::default(),
        }
    }
}

impl Leases {
    /// Milliseconds of this process's own clock, which never goes back.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Grants a lease. When it returns, its service is shown to be as healthy as its leases say.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub async fn grant(&self, wanted: Wanted) -> Result<(), LeaseError> {
        self.change(RowChange::Grant(wanted)).await
    }

    /// One call of a holder; for how many milliseconds the lease lives from now on. `None` where its holder did not call
    /// here before. Cost: a look into a map and one atomic step.
    #[must_use]
    pub fn keep(&self, id: LeaseId, said: Said) -> Option<u32> {
        let now = self.now();
        let kept = self.table.keep_alive(id, now, said)?;
        if let Beat::Lapsed = kept.beat {
            self.table.revive(id, now, said);
        }
        Some(kept.lease.ttl_ms)
    }

    /// The first call of a holder that called another server before, or none.
    pub async fn take(&self, id: LeaseId, said: Said) -> Kept {
        let known = locked(&self.roster).row(id).map(|row| row.ttl_ms);
        // A row that another server has just written is not known here yet: the keeper asks.
        match self.change(RowChange::Take(id, said)).await {
            Ok(()) => {
                let ttl_ms = known.or_else(|| self.table.get(id).map(|lease| lease.ttl_ms));
                Kept::Alive(ttl_ms.unwrap_or_default())
            }
            Err(error) => Kept::Lost(error),
        }
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub async fn revoke(&self, id: LeaseId) -> Result<(), LeaseError> {
        self.change(RowChange::Revoke(id)).await
    }

    /// Leases behind an id that `wanted` asks for, by their ids. Cost: O(all behind it).
    #[must_use]
    pub fn list(
        &self,
        after: Option<LeaseId>,
        limit: usize,
        wanted: impl Fn(&LeaseRow) -> bool,
    ) -> Vec<Listed> {
        let now = self.now();
        let roster = self.roster();
        let rows = roster.after(after).filter(|row| wanted(row)).take(limit);
        rows.map(|row| Listed {
            row: row.clone(),
            heard: self.table.get(row.id).map(|lease| {
                let silent_ms = now.saturating_sub(lease.called_ms());
                (silent_ms, lease.heard().is_none())
            }),
            held_back_ms: roster
                .held_back(&row.service, now)
                .map(|until| until.saturating_sub(now)),
        })
        .collect()
    }

    /// How a service that has leases is shown; `None` for one without, of which its registration speaks.
    #[must_use]
    pub fn shown(&self, service: &str) -> Option<Health> {
        self.roster().shown(service)
    }

    /// How a service would be shown that took a lease now, if not as its holder says: one that flaps waits.
    #[must_use]
    pub fn would_show(&self, service: &str) -> Option<Health> {
        self.roster().would_show(service, self.now())
    }

    /// Why leases cannot be changed now, if they cannot.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        locked(&self.fault).clone()
    }

    pub(super) fn note_fault(&self, fault: Option<String>) {
        *locked(&self.fault) = fault;
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        locked(&self.roster)
    }

    /// The changes that wait, for the keeper; once.
    pub(super) fn take_commands(&self) -> Option<mpsc::Receiver<Command>> {
        locked(&self.waiting).take()
    }

    async fn change(&self, change: RowChange) -> Result<(), LeaseError> {
        let (answer, answered) = oneshot::channel();
        let command = Command { change, answer };
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    LeaseError::Full(format!("{WAITING} changes of leases wait already"))
                }
                mpsc::error::TrySendError::Closed(_) => ending(),
            })?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ending()),
            Err(_) => {
                let why = self
                    .fault()
                    .unwrap_or_else(|| "the store of the leases does not answer".into());
                Err(LeaseError::Unavailable(why))
            }
        }
    }
}

fn ending() -> LeaseError {
    LeaseError::Unavailable("the server is shutting down".into())
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
