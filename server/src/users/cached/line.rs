//! The line to one Redis, from its connection to its loss: the commands that copies need, and nothing that decides.
//!
//! Every key is of one store, and ends by itself: a copy in a minute, a token in ten seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::auth::UserId;
use crate::hints::AddressError;
use crate::users::json;
use crate::users::user::User;

/// How long Redis may take to let somebody in, and to answer. A read would rather ask the database.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_millis(500);

/// How long copies and hints stay, in milliseconds.
const COPY_MS: u64 = 60_000;

/// How long a reader may sit between its miss and its fill, in milliseconds; then nothing is filled.
const TOKEN_MS: u64 = 10_000;

/// Puts a copy in its place, if the token still lies there, and takes the token away.
const FILL: &str = "if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end \
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) \
    redis.call('DEL', KEYS[2]) \
    return 1";

/// Takes a token away, if it is the one.
const TAKE_BACK: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
    return redis.call('DEL', KEYS[1])";

/// The address.
pub(super) struct Redis {
    client: Client,
    store_id: Arc<str>,
}

impl Redis {
    pub(super) fn new(url: &str, store_id: &Arc<str>) -> Result<Self, AddressError> {
        let client = Client::open(url).map_err(|error| AddressError::new(&error))?;
        Ok(Self {
            client,
            store_id: store_id.clone(),
        })
    }

    /// A line, which ends with its connection: one that came to be anew might lead to another process.
    pub(super) async fn connect(&self) -> Result<Line, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connecting = async {
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let info: String = redis::cmd("INFO")
                .arg("server")
                .query_async(&mut connection)
                .await?;
            let run = info
                .lines()
                .find_map(|line| line.strip_prefix("run_id:"))
                .map(str::trim);
            let run = run.filter(|run| !run.is_empty());
            let missing = || {
                RedisError::from((
                    ErrorKind::UnexpectedReturnType,
                    "Redis does not say which process it is",
                ))
            };
            Ok::<_, RedisError>((connection, run.ok_or_else(missing)?.into()))
        };
        let connected = timeout(CONNECT * 2, connecting).await;
        let (connection, home) = connected.unwrap_or_else(|_| Err(late()))?;
        Ok(Line {
            home,
            store_id: self.store_id.clone(),
            connection,
            failed: AtomicBool::new(false),
            lost: Notify::new(),
        })
    }
}

/// The line.
pub(super) struct Line {
    /// The process at its end.
    pub(super) home: Arc<str>,
    store_id: Arc<str>,
    connection: MultiplexedConnection,
    failed: AtomicBool,
    lost: Notify,
}

impl Line {
    /// The copy of a user, if it carries this generation.
    pub(super) async fn copy(
        &self,
        id: &UserId,
        generation: u64,
    ) -> Result<Option<User>, RedisError> {
        let kept: Option<String> = self.ask(redis::cmd("GET").arg(self.copy_key(id))).await?;
        let read = |kept: String| {
            let (carried, copy) = kept.split_once(' ')?;
            (carried.parse() == Ok(generation)).then(|| json::user_of(copy).ok())?
        };
        // One that cannot be read, perhaps of another version of this program, is none.
        Ok(kept.and_then(read))
    }

    /// Puts a token down, if none lies there.
    pub(super) async fn put_token(&self, id: &UserId) -> Result<Option<String>, RedisError> {
        let mut bytes = [0; 16];
        if SystemRandom::new().fill(&mut bytes).is_err() {
            return Ok(None);
        }
        let token = format!("{:032x}", u128::from_be_bytes(bytes));
        let mut set = redis::cmd("SET");
        set.arg(self.token_key(id))
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(TOKEN_MS);
        let put: Option<String> = self.ask(&set).await?;
        Ok(put.map(|_| token))
    }

    pub(super) async fn fill(
        &self,
        id: &UserId,
        token: &str,
        generation: u64,
        user: &User,
    ) -> Result<(), RedisError> {
        let mut fill = redis::cmd("EVAL");
        fill.arg(FILL)
            .arg(2)
            .arg(self.copy_key(id))
            .arg(self.token_key(id));
        fill.arg(token)
            .arg(format!("{generation} {}", json::user(user)))
            .arg(COPY_MS);
        self.ask::<u64>(&fill).await.map(drop)
    }

    pub(super) async fn take_token_back(&self, id: &UserId, token: &str) -> Result<(), RedisError> {
        let mut take = redis::cmd("EVAL");
        take.arg(TAKE_BACK)
            .arg(1)
            .arg(self.token_key(id))
            .arg(token);
        self.ask::<u64>(&take).await.map(drop)
    }

    /// Removes the copy of a user, and the token of whoever is about to put one there.
    pub(super) async fn remove(&self, id: &UserId) -> Result<(), RedisError> {
        let mut remove = redis::cmd("DEL");
        remove.arg(self.copy_key(id)).arg(self.token_key(id));
        self.ask::<u64>(&remove).await.map(drop)
    }

    /// Whose name this may be.
    pub(super) async fn hint(&self, folded: &str) -> Result<Option<UserId>, RedisError> {
        let id: Option<String> = self
            .ask(redis::cmd("GET").arg(self.hint_key(folded)))
            .await?;
        Ok(id.map(|id| UserId(id.into())))
    }

    pub(super) async fn put_hint(&self, folded: &str, id: &UserId) -> Result<(), RedisError> {
        let mut set = redis::cmd("SET");
        set.arg(self.hint_key(folded))
            .arg(&*id.0)
            .arg("PX")
            .arg(COPY_MS);
        self.ask::<String>(&set).await.map(drop)
    }

    /// Whether anybody answers.
    pub(super) async fn look(&self) -> Result<(), RedisError> {
        self.ask::<String>(&redis::cmd("PING")).await.map(drop)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        if self.has_failed() {
            return Err(late());
        }
        let mut connection = self.connection.clone();
        let asking = command.query_async(&mut connection);
        timeout(ANSWER * 2, asking)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// Gives the line up: another one is made.
    pub(super) fn fail(&self, error: &RedisError) {
        // Relaxed: whoever does not see it yet only fails once more.
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "the line to the copies of users is given up");
        }
        self.lost.notify_one();
    }

    pub(super) fn has_failed(&self) -> bool {
        // Relaxed: see `fail`.
        self.failed.load(Ordering::Relaxed)
    }

    /// Ends when it was given up.
    pub(super) async fn is_lost(&self) {
        self.lost.notified().await;
    }

    // The braces put both keys of a user on one node, where there are several.
    fn copy_key(&self, id: &UserId) -> String {
        format!("amadeus:{}:user:{{{id}}}", self.store_id)
    }

    fn token_key(&self, id: &UserId) -> String {
        format!("amadeus:{}:user:{{{id}}}:token", self.store_id)
    }

    fn hint_key(&self, folded: &str) -> String {
        format!("amadeus:{}:username:{folded}", self.store_id)
    }
}

fn late() -> RedisError {
    RedisError::from((ErrorKind::Io, "Redis does not answer"))
}
