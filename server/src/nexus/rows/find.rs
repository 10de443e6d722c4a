//! Runs that are looked for.

use kg_core::nexus::RunState;

use super::error::RunRowsError;
use super::run::{Kept, RunId, RunKey};
use super::{AT_ONCE, RunRow, RunRows, row};
use crate::storage::{Row, values};

/// Which runs are wanted.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this pattern; empty: of any.
    pub pattern: String,
    /// In one of these states; empty: in any.
    pub states: Vec<RunState>,
    /// Begun by; empty: by anybody.
    pub actor: String,
    /// Of this correlation; empty: of any.
    pub correlation: String,
    /// Steps of this run; empty: whatever.
    pub parent: String,
    /// Begun by this user; `None`: by anybody.
    pub begun_by: Option<String>,
    /// Before this one; `None`: from the newest on.
    pub before: Option<RunKey>,
}

impl RunRows {
    /// A run, with its journal.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn get(&self, id: &str) -> Result<Option<Kept>, RunRowsError> {
        let sql = concat!(
            "SELECT ",
            row::columns!(),
            ", p.inputs, p.definition \
             FROM amadeus_runs r JOIN amadeus_run_plans p ON p.run = r.run WHERE r.id = $1"
        );
        let rows = self.base.all(sql, values![id]).await?;
        let Some(found) = rows.first() else {
            return Ok(None);
        };
        let row = row::run(found)?;
        let (inputs, definition) = (found.bytes(row::COLUMNS)?, found.bytes(row::COLUMNS + 1)?);
        let lines = self.lines(row.key, 1).await?;
        Ok(Some(Kept {
            row,
            inputs,
            definition,
            lines,
        }))
    }

    /// The run that a request began, and the hash of what it asked for.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn by_request(&self, request: &str) -> Result<Option<(RunId, u64)>, RunRowsError> {
        let sql = "SELECT id, body FROM amadeus_runs WHERE request = $1";
        let rows = self.base.all(sql, values![request]).await?;
        let found = |row: &Row| Ok((RunId(row.text(0)?.into()), row.signed(1)?.cast_unsigned()));
        rows.first().map(found).transpose()
    }

    /// The row of a run.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn row(&self, id: &str) -> Result<Option<RunRow>, RunRowsError> {
        let sql = concat!(
            "SELECT ",
            row::columns!(),
            " FROM amadeus_runs r WHERE r.id = $1"
        );
        let rows = self.base.all(sql, values![id]).await?;
        rows.first().map(row::run).transpose()
    }

    /// The lines of a run from a number on, and perhaps some before it that became durable together with it.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn lines(&self, run: RunKey, from: u32) -> Result<Vec<Vec<u8>>, RunRowsError> {
        let sql = "SELECT body FROM amadeus_run_lines WHERE run = $1 AND seq >= coalesce( \
            (SELECT max(seq) FROM amadeus_run_lines WHERE run = $1 AND seq <= $2), 0) ORDER BY seq";
        let rows = self.base.all(sql, values![run.0, u64::from(from)]).await?;
        let mut lines = Vec::new();
        for row in &rows {
            row::frames(&row.bytes(0)?, &mut lines)?;
        }
        Ok(lines)
    }

    /// Runs that match, newest first.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn list(
        &self,
        filter: &RunFilter,
        limit: usize,
    ) -> Result<Vec<RunRow>, RunRowsError> {
        let states: u64 = filter
            .states
            .iter()
            .map(|state| 1 << row::number(*state))
            .sum();
        let sql = concat!(
            "SELECT ",
            row::columns!(),
            " FROM amadeus_runs r \
             WHERE ($1 = '' OR r.pattern = $1) AND ($2 = 0 OR (($2 >> CAST(r.state AS integer)) & 1) = 1) \
             AND ($3 = '' OR r.actor = $3) AND ($4 = '' OR r.correlation = $4) \
             AND ($5 = '' OR r.parent = $5) AND ($6 = 0 OR r.begun_by = $7) AND r.run < $8 \
             ORDER BY r.run DESC LIMIT $9"
        );
        let values = values![
            &*filter.pattern,
            states,
            &*filter.actor,
            &*filter.correlation,
            &*filter.parent,
            u64::from(filter.begun_by.is_some()),
            filter.begun_by.as_deref().unwrap_or_default(),
            filter.before.map_or(u64::MAX, |key| key.0),
            limit as u64,
        ];
        self.base
            .all(sql, values)
            .await?
            .iter()
            .map(row::run)
            .collect()
    }

    /// Runs within a run that have not ended: at most [`AT_ONCE`].
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn children(&self, parent: &str) -> Result<Vec<RunId>, RunRowsError> {
        // Said twice, so that the index of those that have a parent is used.
        let sql = "SELECT id FROM amadeus_runs WHERE parent = $1 AND parent <> '' AND ended_ms IS NULL ORDER BY run LIMIT $2";
        let rows = self.base.all(sql, values![parent, AT_ONCE as u64]).await?;
        rows.iter()
            .map(|row| Ok(RunId(row.text(0)?.into())))
            .collect()
    }
}
