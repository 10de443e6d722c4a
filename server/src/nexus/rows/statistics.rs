//! How patterns have run: counted with the beginnings and ends themselves, so that it is exact.

use std::collections::BTreeMap;

use kg_core::nexus::RunState;

use super::RunRows;
use super::error::RunRowsError;
use super::run::NewRun;
use crate::storage::{Row, values};

/// How a pattern has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Runs that began.
    pub usage: u64,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
    /// Of those that ended, from beginning to end, in milliseconds: together.
    pub total_ms: u64,
    /// The shortest.
    pub min_ms: u64,
    /// The longest.
    pub max_ms: u64,
    /// When the last one began, in milliseconds since 1970.
    pub last_ms: u64,
}

impl RunRows {
    /// How a pattern has run.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn statistics(&self, pattern: &str) -> Result<Statistics, RunRowsError> {
        let sql = "SELECT usage, succeeded, failed, cancelled, total_ms, min_ms, max_ms, last_ms \
            FROM amadeus_run_statistics WHERE pattern = $1";
        let rows = self.base.all(sql, values![pattern]).await?;
        let read = |row: &Row| {
            let ended = row.number(1)? + row.number(2)? + row.number(3)?;
            Ok(Statistics {
                usage: row.number(0)?,
                succeeded: row.number(1)?,
                failed: row.number(2)?,
                cancelled: row.number(3)?,
                total_ms: row.number(4)?,
                min_ms: if ended == 0 { 0 } else { row.number(5)? },
                max_ms: row.number(6)?,
                last_ms: row.number(7)?,
            })
        };
        rows.first().map_or(Ok(Statistics::default()), read)
    }
}

/// A run that ended in a transaction.
pub(super) struct Ended {
    pub(super) pattern: String,
    pub(super) state: RunState,
    pub(super) took_ms: u64,
}

/// What a group adds to the statistics, by pattern; in the order in which all servers change them.
pub(super) fn counted<'a>(
    begun: impl Iterator<Item = &'a NewRun>,
    ended: &[Ended],
) -> BTreeMap<String, Statistics> {
    let mut counted = BTreeMap::<String, Statistics>::new();
    for new in begun {
        let of = counted.entry(new.about.pattern.to_string()).or_insert(NONE);
        of.usage += 1;
        of.last_ms = of.last_ms.max(new.about.created_ms);
    }
    for run in ended {
        let of = counted.entry(run.pattern.clone()).or_insert(NONE);
        match run.state {
            RunState::Succeeded => of.succeeded += 1,
            RunState::Cancelled => of.cancelled += 1,
            RunState::Failed | RunState::Queued | RunState::Running | RunState::Compensating => {
                of.failed += 1;
            }
        }
        of.total_ms += run.took_ms;
        of.min_ms = of.min_ms.min(run.took_ms);
        of.max_ms = of.max_ms.max(run.took_ms);
    }
    counted
}

/// Of no run; the shortest of none is longer than any.
const NONE: Statistics = Statistics {
    usage: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    total_ms: 0,
    min_ms: i64::MAX as u64,
    max_ms: 0,
    last_ms: 0,
};
