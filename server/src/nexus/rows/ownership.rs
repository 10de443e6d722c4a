//! Whose runs are: one server's each, under an epoch that every change of that raises.

use std::time::Duration;

use super::ask::Base;
use super::error::RunRowsError;
use super::row::Cancel;
use super::run::{RunId, RunKey};
use super::{AT_ONCE, RunRows};
use crate::storage::{Row, ServerId, values};

/// What a server learns when it says that it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// My runs that somebody wants to end.
    pub cancels: Vec<(RunKey, Cancel)>,
}

impl RunRows {
    /// Notes that somebody wants a run to end. Whether it was still going on, and nobody had wanted that before.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn ask_cancel(&self, id: &str, cancel: &Cancel) -> Result<bool, RunRowsError> {
        let sql = "UPDATE amadeus_runs SET cancel_actor = $2, cancel_reason = $3 \
            WHERE id = $1 AND ended_ms IS NULL AND cancel_actor IS NULL RETURNING run";
        let values = values![id, &*cancel.actor, &*cancel.reason];
        Ok(!self.base.all(sql, values).await?.is_empty())
    }

    /// Says that I live, where others would take me for dead, and tells which of my runs somebody wants to end.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn beat(&self, me: ServerId) -> Result<Beat, RunRowsError> {
        if let Base::Postgres(_) = &self.base {
            let sql = "INSERT INTO amadeus_run_servers VALUES ($1, clock_timestamp()) \
                ON CONFLICT (server) DO UPDATE SET seen = clock_timestamp() RETURNING server";
            self.base.all(sql, values![me]).await?;
        }
        let sql = "SELECT run, cancel_actor, cancel_reason FROM amadeus_runs \
            WHERE told = 0 AND owner = $1 AND ended_ms IS NULL AND cancel_actor IS NOT NULL";
        let rows = self.base.all(sql, values![me]).await?;
        let cancel = |row: &Row| {
            Ok((
                RunKey(row.number(0)?),
                Cancel {
                    actor: row.text(1)?.into(),
                    reason: row.maybe_text(2)?.unwrap_or_default().into(),
                },
            ))
        };
        let cancels = rows
            .iter()
            .map(cancel)
            .collect::<Result<_, RunRowsError>>()?;
        Ok(Beat { cancels })
    }

    /// Makes runs mine whose owner is gone and that are not at their end, or whose end was not announced: at most [`AT_ONCE`],
    /// oldest first, each with its epoch raised. Of many servers that ask one gets each.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn adopt(&self, me: ServerId, silent: Duration) -> Result<Vec<RunId>, RunRowsError> {
        let rows = match &self.base {
            Base::Sqlite(_) => {
                let sql = "UPDATE amadeus_runs SET owner = $1, epoch = epoch + 1 WHERE run IN ( \
                        SELECT run FROM amadeus_runs WHERE told = 0 AND owner <> $1 ORDER BY run LIMIT $2 \
                    ) RETURNING id, run";
                self.base.all(sql, values![me, AT_ONCE as u64]).await?
            }
            Base::Postgres(_) => {
                // Whoever is adopting the same ones has locked them; they are passed over.
                let sql = "UPDATE amadeus_runs SET owner = $1, epoch = epoch + 1 WHERE run IN ( \
                        SELECT run FROM amadeus_runs WHERE told = 0 AND owner <> $1 AND owner NOT IN ( \
                            SELECT server FROM amadeus_run_servers \
                            WHERE seen > clock_timestamp() - make_interval(secs => $3 / 1000.0) \
                        ) ORDER BY run LIMIT $2 FOR UPDATE SKIP LOCKED \
                    ) RETURNING id, run";
                let silent_ms = silent.as_millis() as u64;
                self.base
                    .all(sql, values![me, AT_ONCE as u64, silent_ms])
                    .await?
            }
        };
        let mut adopted = Vec::with_capacity(rows.len());
        for row in &rows {
            adopted.push((row.number(1)?, RunId(row.text(0)?.into())));
        }
        adopted.sort_unstable();
        Ok(adopted.into_iter().map(|(_, id)| id).collect())
    }

    /// Makes a run of mine, which has this epoch and which nobody here carries out, mine anew: its epoch is raised. Whether it was so.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn retake(&self, id: &RunId, epoch: u32, me: ServerId) -> Result<bool, RunRowsError> {
        let sql = "UPDATE amadeus_runs SET epoch = epoch + 1 \
            WHERE id = $1 AND owner = $2 AND epoch = $3 AND ended_ms IS NULL RETURNING run";
        let values = values![&*id.0, me, u64::from(epoch)];
        Ok(!self.base.all(sql, values).await?.is_empty())
    }

    /// My runs that are not at their end, or whose end was not announced.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn mine(&self, me: ServerId) -> Result<Vec<RunId>, RunRowsError> {
        let sql = "SELECT id FROM amadeus_runs WHERE told = 0 AND owner = $1 ORDER BY run";
        let rows = self.base.all(sql, values![me]).await?;
        rows.iter()
            .map(|row| Ok(RunId(row.text(0)?.into())))
            .collect()
    }

    /// Lets go of all that is mine, so that others take it over at once.
    ///
    /// # Errors
    /// [`RunRowsError`].
    pub async fn leave(&self, me: ServerId) -> Result<(), RunRowsError> {
        if let Base::Postgres(_) = &self.base {
            let sql = "DELETE FROM amadeus_run_servers WHERE server = $1 \
                OR seen < clock_timestamp() - make_interval(days => 1) RETURNING server";
            self.base.all(sql, values![me]).await?;
        }
        Ok(())
    }
}
