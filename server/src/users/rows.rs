//! The rows of users, in whichever database: one text of SQL for both, and one transaction per operation.
//!
//! Whoever changes something locks the one row of [`State`] first, so changes happen one after the other, on all servers
//! together: what is read after that is what stands, and a check that was made holds until the commit. Users change rarely,
//! and a sign-in costs a hundred times more than its rows. A read is one statement, and so of one moment.
//!
//! A transaction that nobody waits for any more goes on to its end. One that finds no end in [`PATIENCE`] is given up, with
//! its connection; what became of it then nobody knows.

mod file;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::changed::Changed;
use super::error::{UserError, UserStoreError};
use super::secret::SecretHash;
use crate::storage::{Backend, Fault, Opened, postgres, sqlite};
pub(super) use crate::storage::{Row, Value, values};

/// How long an operation may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the end of one that failed may take.
const ROLLBACK: Duration = Duration::from_secs(2);

/// Steps of the epoch whose change is kept. A server asks once a second; one that was away from the database for more than
/// these looks at all that it remembers.
pub(super) const CHANGES: u64 = 16_384;

/// The rows. Clones are further handles of the same ones.
#[derive(Clone)]
pub(super) enum Rows {
    /// In a file, or in memory. One connection, which also keeps what is in memory.
    Sqlite(Arc<Mutex<Single>>),
    /// In the database of a store that many servers share.
    Postgres(PgPool),
}

/// The one connection.
pub(super) struct Single {
    /// Or why there is none any more.
    connection: Result<SqliteConnection, String>,
    /// Whether a transaction may be open that nobody goes on with.
    left_open: bool,
}

/// What the users have in common, as the row says that whoever changes something has locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) epoch: u64,
    pub(super) event: u64,
    pub(super) home: String,
    pub(super) generation: u64,
}

/// What is done within a transaction.
pub(super) type Work<T> =
    Box<dyn for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<T, UserError>> + Send>;

impl Rows {
    /// Opens those of a store.
    pub(super) async fn open(opened: &Opened) -> Result<Self, UserStoreError> {
        let connection = match &opened.backend {
            Backend::Memory(_) => file::in_memory().await?,
            Backend::Sqlite(log) => file::open(log.path(), &opened.store_id).await?,
            Backend::Postgres(log) => return Ok(Self::Postgres(log.users())),
        };
        Ok(Self::Sqlite(Arc::new(Mutex::new(Single {
            connection: Ok(connection),
            left_open: false,
        }))))
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(single) => {
                let mut single = single.lock().await;
                let closed = Err("they are closed".to_owned());
                if let Ok(connection) = std::mem::replace(&mut single.connection, closed) {
                    // What is not moved out of the WAL now is moved when the file is opened again.
                    let _ = timeout(PATIENCE, connection.close()).await;
                }
            }
            Self::Postgres(pool) => {
                let _ = timeout(PATIENCE, pool.close()).await;
            }
        }
    }

    /// Reads by one statement.
    pub(super) async fn read(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, UserError> {
        let connected = timeout(PATIENCE, self.connection()).await;
        let mut tx = connected.unwrap_or_else(|_| Err(no_answer()))?;
        match timeout(PATIENCE, tx.all(sql, values)).await {
            Ok(read) => read,
            Err(_) => {
                tx.give_up();
                Err(no_answer())
            }
        }
    }

    /// Changes something, all of it or nothing, one change after the other.
    pub(super) async fn write<T: Send + 'static>(&self, work: Work<T>) -> Result<T, UserError> {
        let rows = self.clone();
        let writing = tokio::spawn(async move {
            let began = timeout(PATIENCE, rows.begin()).await;
            let mut tx = began.unwrap_or_else(|_| Err(no_answer()))?;
            let doing = async {
                let done = work(&mut tx).await?;
                tx.run("COMMIT", Vec::new()).await?;
                Ok(done)
            };
            let done = timeout(PATIENCE, doing).await;
            let done = done.unwrap_or_else(|_| Err(no_answer()));
            tx.end(done.is_ok()).await;
            done
        });
        let written = writing.await;
        written.unwrap_or_else(|ended| {
            Err(UserError::Broken(format!(
                "a change ended half-way: {ended}"
            )))
        })
    }

    async fn connection(&self) -> Result<Tx, UserError> {
        let connection = match self {
            Self::Sqlite(single) => {
                let mut single = single.clone().lock_owned().await;
                if std::mem::take(&mut single.left_open) {
                    // Where it did come to its end there is nothing to roll back, which SQLite calls an error.
                    let connection = single.connection.as_mut();
                    let connection = connection.map_err(|why| UserError::Broken(why.clone()))?;
                    let _ = sqlx::query("ROLLBACK").execute(connection).await;
                }
                Connection::Sqlite(single)
            }
            Self::Postgres(pool) => {
                let acquired = pool.acquire().await;
                Connection::Postgres(Some(acquired.map_err(|e| Fault::of(&e))?))
            }
        };
        Ok(Tx {
            connection,
            state: None,
        })
    }

    async fn begin(&self) -> Result<Tx, UserError> {
        let mut tx = self.connection().await?;
        let (begin, lock) = match &mut tx.connection {
            Connection::Sqlite(single) => {
                single.left_open = true;
                (
                    "BEGIN IMMEDIATE",
                    "SELECT epoch, event, home, generation FROM amadeus_user_state",
                )
            }
            // Each statement must see what was committed before it began, whatever the database has for its default.
            Connection::Postgres(_) => (
                "BEGIN ISOLATION LEVEL READ COMMITTED",
                "SELECT epoch, event, home, generation FROM amadeus_user_state FOR UPDATE",
            ),
        };
        let locked = async {
            tx.run(begin, Vec::new()).await?;
            tx.one(lock, Vec::new()).await
        };
        match locked.await {
            Ok(Some(row)) => {
                tx.state = Some(State {
                    epoch: row.number(0)?,
                    event: row.number(1)?,
                    home: row.text(2)?,
                    generation: row.number(3)?,
                });
                Ok(tx)
            }
            Ok(None) => {
                tx.end(false).await;
                Err(UserError::Broken("the row of their state is gone".into()))
            }
            Err(error) => {
                tx.end(false).await;
                Err(error)
            }
        }
    }
}

/// A transaction, or a connection for one statement.
pub(super) struct Tx {
    connection: Connection,
    state: Option<State>,
}

enum Connection {
    Sqlite(OwnedMutexGuard<Single>),
    /// `None` once it is given up.
    Postgres(Option<PoolConnection<Postgres>>),
}

impl Tx {
    /// What the users had in common when the transaction began.
    pub(super) fn state(&self) -> Result<&State, UserError> {
        let state = self.state.as_ref();
        state.ok_or_else(|| UserError::Broken("a change that did not begin".into()))
    }

    /// Tells all servers, with this change, that what they remember of it may be no more.
    pub(super) async fn move_epoch(&mut self, changed: &Changed) -> Result<(), UserError> {
        let sql = "UPDATE amadeus_user_state SET epoch = epoch + 1";
        self.run(sql, Vec::new()).await?;
        let (what, id) = changed.kept();
        let sql = "INSERT INTO amadeus_changes (epoch, what, id) SELECT epoch, $1, $2 FROM amadeus_user_state";
        self.run(sql, values![what, id]).await?;
        let sql = "DELETE FROM amadeus_changes WHERE epoch <= (SELECT epoch FROM amadeus_user_state) - $1";
        self.run(sql, values![CHANGES]).await.map(drop)
    }

    /// Returns how many rows were changed.
    pub(super) async fn run(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, UserError> {
        match &mut self.connection {
            Connection::Sqlite(single) => {
                let connection = single.get()?;
                let done = sqlite(sql, values).execute(connection).await;
                done.map(|done| done.rows_affected())
                    .map_err(|e| single.failed(&e))
            }
            Connection::Postgres(connection) => {
                let connection = connection.as_mut().ok_or_else(no_answer)?;
                let done = postgres(sql, values).execute(&mut **connection).await;
                done.map(|done| done.rows_affected())
                    .map_err(|e| Fault::of(&e).into())
            }
        }
    }

    pub(super) async fn all(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, UserError> {
        match &mut self.connection {
            Connection::Sqlite(single) => {
                let connection = single.get()?;
                let rows = sqlite(sql, values).fetch_all(connection).await;
                let rows = rows.map_err(|e| single.failed(&e))?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Connection::Postgres(connection) => {
                let connection = connection.as_mut().ok_or_else(no_answer)?;
                let rows = postgres(sql, values).fetch_all(&mut **connection).await;
                let rows = rows.map_err(|e| Fault::of(&e))?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    pub(super) async fn one(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, UserError> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// Ends a transaction. One that was not committed is rolled back, or given up with its connection where that fails.
    async fn end(mut self, committed: bool) {
        if committed {
            if let Connection::Sqlite(single) = &mut self.connection {
                single.left_open = false;
            }
            return;
        }
        let rolled_back = timeout(ROLLBACK, self.run("ROLLBACK", Vec::new())).await;
        if !matches!(rolled_back, Ok(Ok(_))) {
            self.give_up();
        }
    }

    /// Lets go of a connection that is amid something. The pool would wait for an answer before it lends it again; so the
    /// database learns that it is gone. That of SQLite, which may also have rolled back by itself and then calls a rollback
    /// an error, is looked at by whoever has it next.
    fn give_up(&mut self) {
        if let Connection::Postgres(connection) = &mut self.connection
            && let Some(connection) = connection.take()
        {
            drop(connection.detach());
        }
    }
}

impl Single {
    fn get(&mut self) -> Result<&mut SqliteConnection, UserError> {
        let connection = self.connection.as_mut();
        connection.map_err(|why| UserError::Broken(why.clone()))
    }

    /// What a failure means. After some nobody can say what is on the disk, and nothing more is written.
    fn failed(&mut self, error: &sqlx::Error) -> UserError {
        let fault = Fault::of(error);
        if let Fault::Disk(said) | Fault::Damaged(said) = &fault {
            self.connection = Err(said.clone());
        }
        fault.into()
    }
}

impl From<Fault> for UserError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full(said) => Self::Full(said),
            Fault::Away(said) => Self::Unavailable(said),
            Fault::Disk(said) | Fault::Damaged(said) | Fault::Closed(said) | Fault::Wrong(said) => {
                Self::Broken(said)
            }
        }
    }
}

fn no_answer() -> UserError {
    UserError::Unavailable(format!("no answer in {} s", PATIENCE.as_secs()))
}

impl From<&SecretHash> for Value {
    fn from(hash: &SecretHash) -> Self {
        Self::Bytes(hash.0.to_vec())
    }
}

/// What is kept of a secret in a column.
pub(super) fn hash(row: &Row, column: usize) -> Result<SecretHash, UserError> {
    let kept = SecretHash::kept(&row.bytes(column)?);
    kept.ok_or_else(|| UserError::Broken("what is kept of a secret has another length".into()))
}
