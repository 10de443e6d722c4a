//! One statement, asked of either kind of database: one text of SQL for both.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::{RunRowsError, no_answer};
use crate::storage::{Fault, Row, Value, postgres, sqlite, values};

/// How long a question waits for its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Where the rows are.
#[derive(Clone)]
pub(super) enum Base {
    /// In a file or in memory: one connection, or why there is none any more.
    Sqlite(Arc<Mutex<Result<SqliteConnection, String>>>),
    /// In the database of a store that many servers share.
    Postgres(PgPool),
}

impl Base {
    pub(super) fn sqlite(connection: SqliteConnection) -> Self {
        Self::Sqlite(Arc::new(Mutex::new(Ok(connection))))
    }

    /// The rows that one statement returns.
    pub(super) async fn all(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, RunRowsError> {
        match self {
            Self::Sqlite(connection) => {
                let asking = async {
                    let mut connection = connection.lock().await;
                    let open = connection.as_mut();
                    let open = open.map_err(|why| RunRowsError::Broken(why.clone()))?;
                    let rows = sqlite(sql, values).fetch_all(open).await;
                    let rows = rows.map_err(|error| {
                        let fault = Fault::of(&error);
                        if let Some(why) = ends_all(sql, &fault) {
                            *connection = Err(why);
                        }
                        fault
                    })?;
                    Ok(rows.into_iter().map(Row::Sqlite).collect())
                };
                let asked = timeout(PATIENCE, asking).await;
                asked.unwrap_or_else(|_| Err(no_answer()))
            }
            Self::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let asking = postgres(sql, values).fetch_all(&mut *connection);
                let asked = timeout(PATIENCE, asking).await;
                let rows = answer(connection, asked)?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Removes what belongs to runs whose rows are gone, up to the last of these.
    pub(super) async fn forget(&self, runs: &[u64]) -> Result<(), RunRowsError> {
        if runs.is_empty() {
            return Ok(());
        }
        // From the first of all on: so what a failure left over is removed as well.
        let values = values![runs.iter().max().copied().unwrap_or(0)];
        for sql in [
            "DELETE FROM amadeus_run_lines WHERE run <= $1 \
                AND NOT EXISTS (SELECT 1 FROM amadeus_runs r WHERE r.run = amadeus_run_lines.run)",
            "DELETE FROM amadeus_run_plans WHERE run <= $1 \
                AND NOT EXISTS (SELECT 1 FROM amadeus_runs r WHERE r.run = amadeus_run_plans.run)",
        ] {
            self.all(sql, values.clone()).await?;
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        let closing = async {
            match self {
                Self::Sqlite(connection) => {
                    let mut connection = connection.lock().await;
                    let closed = Err("they are closed".to_owned());
                    if let Ok(connection) = std::mem::replace(&mut *connection, closed) {
                        // What is not moved out of the WAL now is moved when the file is opened again.
                        let _ = connection.close().await;
                    }
                }
                Self::Postgres(pool) => pool.close().await,
            }
        };
        let _ = timeout(PATIENCE, closing).await;
    }
}

/// What came of something that was done by a connection of a database. One that is amid something is let go of: the pool would
/// wait for its answer before it lends it again, and after a few of them nobody could ask anything.
pub(super) fn answer<T>(
    connection: PoolConnection<Postgres>,
    done: Result<Result<T, sqlx::Error>, Elapsed>,
) -> Result<T, RunRowsError> {
    let done = match done {
        Ok(done) => done.map_err(RunRowsError::from),
        Err(_) => Err(no_answer()),
    };
    if done.is_err() {
        drop(connection.detach());
    }
    done
}

/// Why nothing more may be done by a connection to a file: the disk did not take a change, so nobody can say what is on it. A
/// read that fails leaves it as it is, and one run that cannot be read keeps no other from going on.
fn ends_all(sql: &str, fault: &Fault) -> Option<String> {
    match fault {
        Fault::Disk(why) if !sql.starts_with("SELECT") => Some(why.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_the_disk_did_not_take_is_the_last_and_a_read_is_not() {
        let disk = Fault::Disk("disk I/O error".into());
        let update = "UPDATE amadeus_runs SET epoch = epoch + 1";
        assert_eq!(ends_all(update, &disk), Some("disk I/O error".into()));
        assert_eq!(ends_all("SELECT id FROM amadeus_runs", &disk), None);
        assert_eq!(ends_all(update, &Fault::Full("full".into())), None);
    }
}
