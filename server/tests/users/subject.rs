//! Where users are kept in a test, and the words that the tests share.

use amadeus::auth::{Grant, Role, UserId};
use amadeus::storage::{OpenOptions, Opened, open};
use amadeus::users::{
    NewUser, Profile, SecretHash, SessionId, User, UserError, UserStatus, UserStore, Username,
};
use sqlx::{Connection as _, SqliteConnection};
use std::future::Future;
use std::path::PathBuf;
use tempfile::TempDir;
use testbed::Postgres;

/// When all tests take place, in milliseconds since 1970.
pub const NOW: u64 = 1_700_000_000_000;

/// A day, in milliseconds.
pub const DAY: u64 = 24 * 60 * 60 * 1_000;

/// The users of a new store, as two servers have them. Where only one process can have them, they share a handle.
pub struct Stores {
    pub one: UserStore,
    pub other: UserStore,
    held: Held,
}

enum Held {
    Memory,
    /// The store has the lock, and must stay.
    File(
        TempDir,
        #[expect(dead_code, reason = "it is only held")] Opened,
    ),
    Database(&'static Postgres, String),
}

impl Stores {
    pub async fn in_memory() -> Self {
        let opened = open("memory:", &OpenOptions::default())
            .await
            .expect("it opens");
        let one = UserStore::open(&opened).await.expect("it opens");
        Self {
            other: one.clone(),
            one,
            held: Held::Memory,
        }
    }

    pub async fn in_file() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("graph.db").display());
        let opened = open(&url, &OpenOptions::default()).await.expect("it opens");
        let one = UserStore::open(&opened).await.expect("it opens");
        Self {
            other: one.clone(),
            one,
            held: Held::File(folder, opened),
        }
    }

    pub async fn in_database(server: &'static Postgres) -> Self {
        let url = server.database();
        let store = async || {
            let opened = open(&url, &OpenOptions::default()).await.expect("it opens");
            UserStore::open(&opened).await.expect("it opens")
        };
        let (one, other) = (store().await, store().await);
        let database = url.rsplit('/').next().expect("it has a name").to_owned();
        Self {
            one,
            other,
            held: Held::Database(server, database),
        }
    }

    /// How many rows a table has. `None` where nobody can look.
    pub async fn rows(&self, table: &str) -> Option<u64> {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        match &self.held {
            Held::Memory => None,
            Held::File(folder, _) => {
                // What is read must not be locked.
                self.one.close().await;
                let path: PathBuf = folder.path().join("graph.db.users");
                let url = format!("sqlite://{}", path.display());
                let mut file = SqliteConnection::connect(&url).await.expect("it opens");
                let sql = sqlx::AssertSqlSafe(sql);
                let count: i64 = sqlx::query_scalar(sql)
                    .fetch_one(&mut file)
                    .await
                    .expect("a count");
                file.close().await.expect("it closes");
                Some(count.cast_unsigned())
            }
            Held::Database(server, name) => server.run(name, &sql).parse().ok(),
        }
    }
}

/// The server of this program; `None`, and a word about it, where there is none.
pub fn server() -> Option<&'static Postgres> {
    match Postgres::shared() {
        Ok(server) => Some(server),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

pub fn named(name: &str) -> NewUser {
    NewUser {
        username: Username::parse("username", name).expect("a name"),
        email: None,
        password: None,
        profile: Profile::default(),
        grants: Vec::new(),
        status: UserStatus::Active,
    }
}

pub fn admin(name: &str) -> NewUser {
    NewUser {
        grants: vec![Grant::everywhere(Role::Admin)],
        ..named(name)
    }
}

pub async fn create(store: &UserStore, new: NewUser) -> User {
    store
        .create(new, NOW, None)
        .await
        .expect("there is none like it")
}

pub async fn user(store: &UserStore, id: &UserId) -> User {
    store
        .user(id)
        .await
        .expect("it is reached")
        .expect("it is there")
}

pub fn session(name: &str) -> SessionId {
    SessionId(name.into())
}

pub fn secret(text: &str) -> SecretHash {
    SecretHash::of(text.as_bytes())
}

/// Runs something that must move the epoch on, or must not.
pub async fn epoch<T>(
    store: &UserStore,
    moves: bool,
    work: impl Future<Output = Result<T, UserError>>,
) -> T {
    let before = store.epoch().await.expect("it is reached");
    let done = work.await.expect("it works");
    let after = store.epoch().await.expect("it is reached");
    assert_eq!(after > before, moves, "{before} {after}");
    done
}
