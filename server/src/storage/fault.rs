//! What a failure of a database means for whoever wanted something of it, in SQLite and in PostgreSQL.

use std::io;

use sqlx::sqlite::SqliteError;

/// A failure, with what was said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no room; nothing was changed.
    Full(String),
    /// It was not reached, or is busy: it may work later.
    Away(String),
    /// The disk did not read or write: nobody can say what is on it.
    Disk(String),
    /// What is kept is damaged.
    Damaged(String),
    /// It was closed here.
    Closed(String),
    /// What was asked for, or what was found, is not what it should be; asking again does not help.
    Wrong(String),
}

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let said = error.to_string();
        if let Some(database) = error.as_database_error() {
            let code = database.code().unwrap_or_default();
            return match database.try_downcast_ref::<SqliteError>() {
                Some(_) => Self::of_sqlite(code.parse().unwrap_or_default(), said),
                None => Self::of_postgres(&code, said),
            };
        }
        match error {
            sqlx::Error::Io(e) if e.kind() == io::ErrorKind::StorageFull => Self::Full(said),
            sqlx::Error::PoolTimedOut => {
                Self::Away("no connection to the database could be made in time".into())
            }
            sqlx::Error::PoolClosed => Self::Closed("they are closed".into()),
            // The thread behind a connection to a file ended amid something.
            sqlx::Error::WorkerCrashed => Self::Disk(said),
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::RowNotFound => Self::Wrong(said),
            _ => Self::Away(said),
        }
    }

    fn of_sqlite(code: i32, said: String) -> Self {
        match (code, code & 0xff) {
            // Full, and an index shared by connections that could not grow.
            (_, 13) | (4_874, _) => Self::Full(said),
            // Permissions, busy, locked, out of memory, read-only, cannot open, not authorized.
            (_, 3 | 5 | 6 | 7 | 8 | 14 | 23) => Self::Away(said),
            (_, 10) => Self::Disk(said),
            (_, 11 | 26) => Self::Damaged(said),
            _ => Self::Wrong(said),
        }
    }

    fn of_postgres(code: &str, said: String) -> Self {
        match code {
            "53100" => Self::Full(said),
            // What is not there, is of another kind than it should be or may not be used, and values that it never takes: what
            // is tried again until it works would be tried for ever.
            code if ["22", "23", "42"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Self::Wrong(said)
            }
            // Read-only, out of memory or connections, a conflict, a timeout, a shutdown.
            _ => Self::Away(said),
        }
    }
}
