//! The rows in a file of their own beside the store, so that the one writer of the log is not disturbed.
//!
//! One process has the store, so the rows are read once, into a [`Table`], and every change is written through: decided on
//! the table, committed to the file, and only then taken in. A look reads no file, and a beat is written to none.
//!
//! The file is not synced at every commit (`synchronous = NORMAL`): a machine that fails may lose the last changes, as may
//! damage to the WAL. A lease that is lost with them is granted anew at its next call.
//!
//! Whoever had joined before has ended, for the lock of the store was free. So all of them are found with the beat -1 when
//! the file is opened.

use super::super::fault::Fault;
use super::super::files;
use super::super::side_file::{self, SideFile, SideFileError};
use super::memory::{Change, Kept, Table};
use super::{Applied, Edit, LeaseRow, LeaseRowsError, PATIENCE, ServerId, Vouched, failed};
use kg_core::lease::LeaseId;
use kg_core::model::{Health, Name};
use sqlx::sqlite::{SqliteLockingMode, SqliteRow, SqliteSynchronous};
use sqlx::{Connection, QueryBuilder, Row, Sqlite, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

const LEASES: SideFile = SideFile {
    suffix: ".leases",
    // "AmaL"
    application_id: 0x416d_614c,
    migrations: &[include_str!("../../../migrations/leases/0001_leases.sql")],
    checked: true,
    tuned: |options| {
        options
            // Nobody else has to do with it. SQLite then needs no index that it shares, and holds its lock until the end.
            .locking_mode(SqliteLockingMode::Exclusive)
            .synchronous(SqliteSynchronous::Normal)
    },
};

/// Rows that one statement puts: SQLite takes 32,766 parameters, and each row has seven.
const ROWS_AT_ONCE: usize = 32_766 / 7;

/// Rows in a file. Clones are further handles of the same ones.
#[derive(Clone)]
pub struct SqliteLeases(Arc<Mutex<State>>);

struct State {
    table: Table,
    /// Or why there is none any more.
    connection: Result<SqliteConnection, String>,
}

impl SqliteLeases {
    /// Opens the file beside a store, or begins one.
    pub(super) async fn open(
        db: &Path,
        store_id: &str,
    ) -> Result<(Self, Option<String>), LeaseRowsError> {
        let mut notice = None;
        let state = match load(db, store_id).await {
            Ok(state) => state,
            Err(unusable) => {
                let path = files::beside(db, LEASES.suffix);
                notice = Some(make_room(&path, unusable)?);
                let again = load(db, store_id).await;
                again.map_err(|unusable| unusable.for_good(&path))?
            }
        };
        Ok((Self(Arc::new(Mutex::new(state))), notice))
    }

    pub(super) async fn join(&self, me: ServerId) -> Result<(), LeaseRowsError> {
        let state = self.state().await?;
        let change = state.table.joined(me);
        write_through(state, change).await.map(drop)
    }

    pub(super) async fn leave(&self, me: ServerId) -> Result<(), LeaseRowsError> {
        let state = self.state().await?;
        let change = state.table.left(me);
        write_through(state, change).await.map(drop)
    }

    pub(super) async fn apply(
        &self,
        me: ServerId,
        edits: &[Edit],
    ) -> Result<Applied, LeaseRowsError> {
        let state = self.state().await?;
        match state.table.plan(me, edits, files::now_ms()) {
            Some(change) => write_through(state, change).await,
            None => Ok(Applied::none_of(edits)),
        }
    }

    pub(super) async fn vouch(&self, me: ServerId, since: u64) -> Result<Vouched, LeaseRowsError> {
        Ok(self.state().await?.table.vouch(me, since))
    }

    pub(super) async fn close(&self) {
        if let Ok(mut state) = self.state().await
            && let Ok(connection) = state.take_connection("they are closed")
        {
            // What is not moved out of the WAL now is moved when the file is opened again.
            let _ = timeout(PATIENCE, connection.close()).await;
        }
    }

    /// The rows, unless they are closed or broken. Waits for the write that is under way.
    async fn state(&self) -> Result<OwnedMutexGuard<State>, LeaseRowsError> {
        let state = timeout(PATIENCE, self.0.clone().lock_owned())
            .await
            .map_err(|_| no_answer())?;
        match &state.connection {
            Ok(_) => Ok(state),
            Err(why) => Err(LeaseRowsError::Broken(why.clone())),
        }
    }
}

impl State {
    fn take_connection(&mut self, why: &str) -> Result<SqliteConnection, String> {
        std::mem::replace(&mut self.connection, Err(why.to_owned()))
    }
}

/// Commits a change to the file and takes it in; in a task of its own, which ends also when nobody waits for it any more.
async fn write_through(
    mut state: OwnedMutexGuard<State>,
    change: Change,
) -> Result<Applied, LeaseRowsError> {
    let writing = tokio::spawn(async move {
        // Put back when it is known what became of the change. After a panic nobody knows.
        let mut connection = state
            .take_connection("a bug ended a write half-way")
            .map_err(LeaseRowsError::Broken)?;
        let written = commit(&mut connection, &change).await;
        let written = written.map_err(|error| failed(&error));
        match written {
            Ok(()) => {
                state.connection = Ok(connection);
                Ok(state.table.take_in(change))
            }
            Err(LeaseRowsError::Broken(why)) => {
                state.connection = Err(why.clone());
                Err(LeaseRowsError::Broken(why))
            }
            Err(error @ (LeaseRowsError::Full(_) | LeaseRowsError::Unavailable(_))) => {
                state.connection = Ok(connection);
                Err(error)
            }
        }
    });
    match timeout(PATIENCE, writing).await {
        Ok(Ok(written)) => written,
        Ok(Err(ended)) => Err(LeaseRowsError::Broken(format!(
            "the writing task ended: {ended}"
        ))),
        Err(_) => Err(no_answer()),
    }
}

async fn commit(connection: &mut SqliteConnection, change: &Change) -> Result<(), sqlx::Error> {
    run(connection, "BEGIN IMMEDIATE").await?;
    let mut committed = put(connection, change).await;
    if committed.is_ok() {
        committed = run(connection, "COMMIT").await;
    }
    if committed.is_err() {
        // SQLite may have rolled back by itself; then there is nothing to roll back, which it calls an error. A transaction of
        // sqlx would take that for one that is still open, and begin none after it.
        let _ = run(connection, "ROLLBACK").await;
    }
    committed
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}

async fn put(connection: &mut SqliteConnection, change: &Change) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE about SET seq = ?")
        .bind(change.seq.cast_signed())
        .execute(&mut *connection)
        .await?;
    for (server, beat) in &change.servers {
        let query = match beat {
            Some(beat) => sqlx::query("INSERT OR REPLACE INTO servers VALUES (?1, ?2)")
                .bind(server.0.cast_signed())
                .bind(beat),
            None => {
                sqlx::query("DELETE FROM servers WHERE server = ?").bind(server.0.cast_signed())
            }
        };
        query.execute(&mut *connection).await?;
    }
    let rows: Vec<&Kept> = change.rows.values().collect();
    for rows in rows.chunks(ROWS_AT_ONCE) {
        let mut statement = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO leases (id, service, ttl_ms, owner, health, gone_ms, seq) ",
        );
        statement.push_values(rows, |mut values, Kept { row, gone_ms }| {
            values
                .push_bind(row.id.0.cast_signed())
                .push_bind(row.service.as_str())
                .push_bind(row.ttl_ms)
                .push_bind(row.owner.0.cast_signed())
                .push_bind(row.health.as_str())
                .push_bind(gone_ms.map(u64::cast_signed))
                .push_bind(row.seq.cast_signed());
        });
        // Most changes are of one row; statements of other lengths would only push that one out.
        statement
            .build()
            .persistent(rows.len() == 1)
            .execute(&mut *connection)
            .await?;
    }
    if let Some(before) = change.purge_before_ms {
        sqlx::query("DELETE FROM leases WHERE gone_ms < ?")
            .bind(before.cast_signed())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Why a file cannot be gone on with.
enum Unusable {
    /// It is of another store.
    Foreign,
    /// It is not what it should be.
    Damaged(String),
    /// It cannot be reached, which says nothing of what is in it.
    Failed(LeaseRowsError),
}

impl From<SideFileError> for Unusable {
    fn from(error: SideFileError) -> Self {
        match error {
            SideFileError::Unavailable(what) => Self::Failed(LeaseRowsError::Unavailable(what)),
            SideFileError::Full(what) => Self::Failed(LeaseRowsError::Full(what)),
            SideFileError::Damaged { what, .. } => Self::Damaged(what),
            SideFileError::Newer { version, .. } => Self::Damaged(format!(
                "a newer program wrote it: its user_version is {version}"
            )),
        }
    }
}

impl From<sqlx::Error> for Unusable {
    fn from(error: sqlx::Error) -> Self {
        match Fault::of(&error) {
            Fault::Damaged(what) | Fault::Wrong(what) => Self::Damaged(what),
            // The file may be whole.
            Fault::Full(_) | Fault::Away(_) | Fault::Disk(_) | Fault::Closed(_) => {
                Self::Failed(failed(&error))
            }
        }
    }
}

impl Unusable {
    /// What it means for a file that was made just now.
    fn for_good(self, path: &Path) -> LeaseRowsError {
        let what = match self {
            Self::Failed(error) => return error,
            Self::Damaged(what) => what,
            Self::Foreign => "it is of another store".to_owned(),
        };
        LeaseRowsError::Broken(format!("{} was made just now: {what}", path.display()))
    }
}

/// Reads the whole file, and proves that it can be read.
async fn load(db: &Path, store_id: &str) -> Result<State, Unusable> {
    let mut file = LEASES.open(db, store_id).await?;
    let read = if file.store_id == store_id {
        read(&mut file.connection).await.map_err(Unusable::from)
    } else {
        Err(Unusable::Foreign)
    };
    match read {
        Ok(table) => Ok(State {
            table,
            connection: Ok(file.connection),
        }),
        Err(unusable) => {
            // Closed in order, or the thread behind it would still have the file open when that is moved.
            let _ = file.connection.close().await;
            Err(unusable)
        }
    }
}

async fn read(connection: &mut SqliteConnection) -> Result<Table, sqlx::Error> {
    let seq: i64 = sqlx::query_scalar("SELECT seq FROM about")
        .fetch_one(&mut *connection)
        .await?;
    let joined: Vec<i64> = sqlx::query_scalar("SELECT server FROM servers")
        .fetch_all(&mut *connection)
        .await?;
    let ended = |server: i64| (ServerId(server.cast_unsigned()), -1);
    let sql = "SELECT id, service, ttl_ms, owner, health, gone_ms, seq FROM leases";
    let mut rows = BTreeMap::new();
    for row in sqlx::query(sql).fetch_all(&mut *connection).await? {
        let kept = kept(&row)?;
        rows.insert(kept.row.id, kept);
    }
    Ok(Table::of(
        seq.cast_unsigned(),
        joined.into_iter().map(ended).collect(),
        rows,
    ))
}

fn kept(row: &SqliteRow) -> Result<Kept, sqlx::Error> {
    let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let wrong = |what: String| sqlx::Error::Decode(what.into());
    let (service, health): (String, String) = (row.try_get(1)?, row.try_get(4)?);
    let gone_ms: Option<i64> = row.try_get(5)?;
    Ok(Kept {
        row: LeaseRow {
            id: LeaseId(number(0)?),
            service: Name::parse("service", &service).map_err(|e| wrong(e.to_string()))?,
            ttl_ms: row.try_get(2)?,
            owner: ServerId(number(3)?),
            health: Health::from_word(&health)
                .ok_or_else(|| wrong(format!("the health {health:?} is not known")))?,
            gone: gone_ms.is_some(),
            seq: number(6)?,
        },
        gone_ms: gone_ms.map(i64::cast_unsigned),
    })
}

/// Removes a file of another store, and puts a damaged one aside, where the last such file gives way to it. Says so.
fn make_room(path: &Path, unusable: Unusable) -> Result<String, LeaseRowsError> {
    let done = match unusable {
        Unusable::Failed(error) => return Err(error),
        Unusable::Foreign => side_file::remove(path).map(|()| {
            format!(
                "{} held the leases of another store; they were removed",
                path.display()
            )
        }),
        Unusable::Damaged(what) => side_file::set_aside(path, ".damaged").map(|aside| {
            format!(
                "{} cannot be read ({what}) and is now {}: its leases are lost, and are granted anew when they are called",
                path.display(),
                aside.display()
            )
        }),
    };
    done.map_err(|e| LeaseRowsError::Unavailable(format!("{}: {e}", path.display())))
}

fn no_answer() -> LeaseRowsError {
    let seconds = PATIENCE.as_secs();
    LeaseRowsError::Unavailable(format!("no answer in {seconds} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ServerId = ServerId(1);

    fn grants(ids: std::ops::Range<u64>) -> Vec<Edit> {
        let service = Name::parse("service", &"x".repeat(200)).expect("a name");
        ids.map(|id| Edit::Grant {
            id: LeaseId(id),
            service: service.clone(),
            ttl_ms: 1_000,
        })
        .collect()
    }

    #[tokio::test]
    async fn a_full_disk_fails_a_change_and_no_more_than_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = folder.path().join("a.db");
        let (rows, _) = SqliteLeases::open(&db, "a store").await.expect("it opens");
        rows.join(ME).await.expect("there is room");
        let pages = async |most: &'static str| {
            let mut state = rows.state().await.expect("it is open");
            let connection = state.connection.as_mut().expect("it is open");
            sqlx::raw_sql(most).execute(connection).await.expect("done");
        };
        pages("PRAGMA max_page_count = 10").await;
        let refused = rows.apply(ME, &grants(0..1_000)).await;
        assert!(
            matches!(refused, Err(LeaseRowsError::Full(_))),
            "{refused:?}"
        );
        let seen = rows.vouch(ME, 0).await.expect("it answers");
        assert_eq!((seen.changed.len(), seen.seq), (0, 0));
        pages("PRAGMA max_page_count = 10000").await;
        let applied = rows.apply(ME, &grants(0..1_000)).await.expect("room again");
        assert_eq!((applied.changed.len(), applied.seq), (1_000, 1));
    }

    #[tokio::test]
    async fn a_change_is_made_whole_although_nobody_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = folder.path().join("a.db");
        let (rows, _) = SqliteLeases::open(&db, "a store").await.expect("it opens");
        rows.join(ME).await.expect("there is room");
        let edits = grants(0..100);
        let mut applying = Box::pin(rows.apply(ME, &edits));
        assert!(futures::poll!(&mut applying).is_pending());
        drop(applying);
        let seen = rows.vouch(ME, 0).await.expect("it answers");
        assert_eq!((seen.changed.len(), seen.seq), (100, 1));
        rows.close().await;
        let closed = rows.vouch(ME, 0).await;
        assert!(matches!(closed, Err(LeaseRowsError::Broken(_))));
        let (again, notice) = SqliteLeases::open(&db, "a store").await.expect("it opens");
        assert_eq!(notice, None);
        again.join(ME).await.expect("there is room");
        let seen = again.vouch(ME, 0).await.expect("it answers");
        assert_eq!((seen.changed.len(), seen.seq), (100, 1));
    }
}
