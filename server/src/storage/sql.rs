//! Statements that have one text for SQLite and PostgreSQL: their values, and the rows that they return.

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};

use super::{Fault, ServerId};

/// A value of a statement.
#[derive(Clone)]
pub(crate) enum Value {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

/// The values of a statement, in their order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::storage::Value::from($value)),*] };
}
pub(crate) use values;

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::from(Some(number))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Self {
        // A time or a count beyond what can be kept is as good as the greatest.
        Self::Number(number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<ServerId> for Value {
    fn from(server: ServerId) -> Self {
        Self::Number(Some(server.0.cast_signed()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(plain(text)))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// PostgreSQL takes no NUL in a text. No name that is kept has one, and none that is looked for is found by another.
pub(crate) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(crate) fn sqlite(
    sql: &'static str,
    values: Vec<Value>,
) -> Query<'static, Sqlite, SqliteArguments> {
    values
        .into_iter()
        .fold(sqlx::query(sql), |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        })
}

pub(crate) fn postgres(
    sql: &'static str,
    values: Vec<Value>,
) -> Query<'static, Postgres, PgArguments> {
    values
        .into_iter()
        .fold(sqlx::query(sql), |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        })
}

/// A row that was read.
pub(crate) enum Row {
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
        .map_err(|error: sqlx::Error| Fault::Wrong(error.to_string()))
    };
}

impl Row {
    pub(crate) fn signed(&self, column: usize) -> Result<i64, Fault> {
        column!(self, column)
    }

    /// A number; a negative one is damage.
    pub(crate) fn number(&self, column: usize) -> Result<u64, Fault> {
        let number = self.signed(column)?;
        u64::try_from(number).map_err(|_| Fault::Wrong(format!("the number {number}")))
    }

    pub(crate) fn maybe_number(&self, column: usize) -> Result<Option<u64>, Fault> {
        let number: Option<i64> = column!(self, column)?;
        let number = number.map(u64::try_from).transpose();
        number.map_err(|error| Fault::Wrong(error.to_string()))
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, Fault> {
        column!(self, column)
    }

    pub(crate) fn maybe_text(&self, column: usize) -> Result<Option<String>, Fault> {
        column!(self, column)
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<Vec<u8>, Fault> {
        column!(self, column)
    }
}
