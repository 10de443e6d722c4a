//! Connections to the database: within which time one is made, what each is told, and the schema.

use super::super::store_id::new_store_id;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Row};
use std::str::FromStr;
use std::time::Duration;

/// Connections that one server keeps for its reads, beside the one that it writes through.
const CONNECTIONS: u32 = 8;

/// How long a read waits for a connection, a new one included.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Those for the rows of leases: one to vouch through while another one writes.
const LEASE_CONNECTIONS: u32 = 2;

/// Connections for users: those who sign in wait for each other anyway, as changes do.
const USER_CONNECTIONS: u32 = 4;

/// Connections for events: one that appends, and some for groups and for those who read what is no longer in memory.
const EVENT_CONNECTIONS: u32 = 6;

/// Connections for runs: one through which the lines of all of them are written, and those who read.
const RUN_CONNECTIONS: u32 = 4;

/// After this the database ends a statement that nobody may be waiting for any more.
const STATEMENT_TIMEOUT: &str = "30s";

/// After this the database ends a change of leases, users or events that nobody goes on with. All other servers wait for it, and without this
/// they would for hours, if the machine of its server was lost in the middle of it.
const IDLE_CHANGE_TIMEOUT: &str = "5s";

/// Every step of the schema, in order. The number of those carried out stands in the store's row.
const MIGRATIONS: [&str; 5] = [
    include_str!("../../../migrations/postgres/0001_log.sql"),
    include_str!("../../../migrations/postgres/0002_leases.sql"),
    include_str!("../../../migrations/postgres/0003_users.sql"),
    include_str!("../../../migrations/postgres/0004_events.sql"),
    include_str!("../../../migrations/postgres/0005_runs.sql"),
];

/// Held by whoever makes or changes the schema: "AmaG".
const SCHEMA_LOCK: i64 = 0x416d_6147;

/// How the database is reached.
#[derive(Clone)]
pub(super) struct Address(PgConnectOptions);

impl Address {
    /// By its URL.
    pub(super) fn parse(url: &str) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?;
        Ok(Self(
            options
                .application_name("amadeus")
                .options([("statement_timeout", STATEMENT_TIMEOUT)])
                // A statement of a batch holds its records and is nothing to read.
                .disable_statement_logging(),
        ))
    }

    /// The database, without a password.
    pub(super) fn place(&self) -> String {
        let database = self
            .0
            .get_database()
            .unwrap_or_else(|| self.0.get_username());
        match self.0.get_socket() {
            Some(socket) => format!("postgres://{}/{database}", socket.display()),
            None => format!(
                "postgres://{}:{}/{database}",
                self.0.get_host(),
                self.0.get_port()
            ),
        }
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        match tokio::time::timeout(ACQUIRE, self.0.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// The connections for reads; none is made yet.
    pub(super) fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_lazy_with(self.0.clone())
    }

    /// The connections for the rows of leases; none is made yet.
    pub(super) fn pool_for_leases(&self) -> PgPool {
        self.pool_for_changes(LEASE_CONNECTIONS)
    }

    /// The connections for users; none is made yet.
    pub(super) fn pool_for_users(&self) -> PgPool {
        self.pool_for_changes(USER_CONNECTIONS)
    }

    /// The connections for events; none is made yet.
    pub(super) fn pool_for_events(&self) -> PgPool {
        self.pool_for_changes(EVENT_CONNECTIONS)
    }

    /// The connections for runs; none is made yet.
    pub(super) fn pool_for_runs(&self) -> PgPool {
        self.pool_for_changes(RUN_CONNECTIONS)
    }

    fn pool_for_changes(&self, connections: u32) -> PgPool {
        let options = self.0.clone();
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            .connect_lazy_with(
                options.options([("idle_in_transaction_session_timeout", IDLE_CHANGE_TIMEOUT)]),
            )
    }
}

/// What the store's row says.
pub(super) struct About {
    pub(super) version: i32,
    pub(super) store_id: String,
    pub(super) revision: i64,
    pub(super) compacted: i64,
}

/// The newest schema that this program knows.
pub(super) fn schema_version() -> i32 {
    MIGRATIONS.len() as i32
}

/// Makes the schema and the store where there is none, carries out the steps that are missing, and reads the store's row.
/// A newer schema is left as it is.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<About, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(SCHEMA_LOCK)
        .execute(&mut *transaction)
        .await?;
    let there: bool = sqlx::query_scalar("SELECT to_regclass('amadeus_store') IS NOT NULL")
        .fetch_one(&mut *transaction)
        .await?;
    let version: i32 = if there {
        sqlx::query_scalar("SELECT version FROM amadeus_store")
            .fetch_one(&mut *transaction)
            .await?
    } else {
        0
    };
    for sql in MIGRATIONS
        .iter()
        .skip(usize::try_from(version).unwrap_or(usize::MAX))
    {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
    }
    if !there {
        sqlx::query("INSERT INTO amadeus_store VALUES (true, $1, $2, 0, ''::bytea, 0)")
            .bind(schema_version())
            .bind(new_store_id())
            .execute(&mut *transaction)
            .await?;
    } else if version < schema_version() {
        sqlx::query("UPDATE amadeus_store SET version = $1")
            .bind(schema_version())
            .execute(&mut *transaction)
            .await?;
    }
    let row = sqlx::query("SELECT version, store_id, revision, compacted FROM amadeus_store")
        .fetch_one(&mut *transaction)
        .await?;
    let about = About {
        version: row.try_get(0)?,
        store_id: row.try_get(1)?,
        revision: row.try_get(2)?,
        compacted: row.try_get(3)?,
    };
    transaction.commit().await?;
    Ok(about)
}

/// Settings of the database with which an acknowledged write may be lost, in words.
pub(super) async fn risks(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::new();
    for (setting, sql) in [
        ("fsync", "SHOW fsync"),
        ("synchronous_commit", "SHOW synchronous_commit"),
        ("full_page_writes", "SHOW full_page_writes"),
    ] {
        let value: String = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        if value == "off" {
            found.push(format!(
                "the database runs with {setting} = off: a write that was acknowledged may be lost when its machine fails"
            ));
        }
    }
    Ok(found)
}
