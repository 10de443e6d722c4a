//! One statement, asked of either kind of database: one text of SQL for both.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgPool, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::RunRowsError;
use crate::storage::{Fault, ServerId};

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
        let asking = async {
            match self {
                Self::Sqlite(connection) => {
                    let mut connection = connection.lock().await;
                    let connection = connection.as_mut();
                    let connection = connection.map_err(|why| RunRowsError::Broken(why.clone()))?;
                    let rows = sqlite(sql, values).fetch_all(connection).await;
                    let rows = rows.map_err(|e| failed(&e))?;
                    Ok(rows.into_iter().map(Row::Sqlite).collect())
                }
                Self::Postgres(pool) => {
                    let rows = postgres(sql, values).fetch_all(pool).await;
                    let rows = rows.map_err(|e| failed(&e))?;
                    Ok(rows.into_iter().map(Row::Postgres).collect())
                }
            }
        };
        timeout(PATIENCE, asking)
            .await
            .unwrap_or_else(|_| Err(no_answer()))
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

pub(super) fn no_answer() -> RunRowsError {
    RunRowsError::Unavailable(format!("no answer in {} s", PATIENCE.as_secs()))
}

/// What a failure means for whoever wanted something.
pub(super) fn failed(error: &sqlx::Error) -> RunRowsError {
    match Fault::of(error) {
        Fault::Full(said) => RunRowsError::Full(said),
        Fault::Away(said) => RunRowsError::Unavailable(said),
        Fault::Disk(said) | Fault::Damaged(said) | Fault::Closed(said) | Fault::Wrong(said) => {
            RunRowsError::Broken(said)
        }
    }
}

/// A value of a statement.
#[derive(Clone)]
pub(super) enum Value {
    Number(i64),
    Text(String),
}

/// The values of a statement, in their order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::nexus::rows::ask::Value::from($value)),*] };
}
pub(super) use values;

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        // A time or a count beyond what can be kept is as good as the greatest.
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<ServerId> for Value {
    fn from(server: ServerId) -> Self {
        Self::Number(server.0.cast_signed())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(plain(text))
    }
}

/// PostgreSQL takes no NUL in a text.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn sqlite(sql: &'static str, values: Vec<Value>) -> Query<'static, Sqlite, SqliteArguments> {
    values
        .into_iter()
        .fold(sqlx::query(sql), |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        })
}

fn postgres(sql: &'static str, values: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    values
        .into_iter()
        .fold(sqlx::query(sql), |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        })
}

/// A row that was read.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Columns that a row is asked for.
macro_rules! column {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($column),
            Row::Postgres(row) => row.try_get($column),
        }
        .map_err(|error: sqlx::Error| RunRowsError::Broken(error.to_string()))
    };
}

impl Row {
    pub(super) fn signed(&self, column: usize) -> Result<i64, RunRowsError> {
        column!(self, column)
    }

    /// A number; a negative one is damage.
    pub(super) fn number(&self, column: usize) -> Result<u64, RunRowsError> {
        let number = self.signed(column)?;
        u64::try_from(number).map_err(|_| RunRowsError::Broken(format!("the number {number}")))
    }

    pub(super) fn maybe_number(&self, column: usize) -> Result<Option<u64>, RunRowsError> {
        let number: Option<i64> = column!(self, column)?;
        let number = number.map(u64::try_from).transpose();
        number.map_err(|error| RunRowsError::Broken(error.to_string()))
    }

    pub(super) fn text(&self, column: usize) -> Result<String, RunRowsError> {
        column!(self, column)
    }

    pub(super) fn maybe_text(&self, column: usize) -> Result<Option<String>, RunRowsError> {
        column!(self, column)
    }

    pub(super) fn bytes(&self, column: usize) -> Result<Vec<u8>, RunRowsError> {
        column!(self, column)
    }
}
