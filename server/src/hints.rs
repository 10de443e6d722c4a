//! Hints between servers that share a log: "revision n exists", "there are events before n", through Redis.
//!
//! A hint is never the truth. A lost one costs latency, for every server also looks at the log by itself; a wrong one costs
//! a look. So nothing here is waited for: a server tells the newest revision when it can, and forgets older ones. Redis may
//! be away at the start, go, hang, and come back; it is tried again for as long as the server runs.

use crate::metrics::Metrics;
use futures::StreamExt as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

/// The channel of all servers; each message names its store.
const CHANNEL: &str = "kg:updates";

/// What stands before a number that is a place in the log of events, and no revision.
const EVENTS: &str = "events:";

/// How long Redis may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two hints of a server that commits without pause: each wakes all the others, and the newest says it all.
const APART: Duration = Duration::from_millis(5);

/// How often a connection on which nothing comes is tried.
const PULSE: Duration = Duration::from_secs(5);

/// First pause before Redis is tried again; it doubles up to [`LONGEST_PAUSE`], and up to half of it comes on top by
/// chance, so that servers that lost it together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An address of Redis that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the address of Redis cannot be used: {0}. Write redis://host:6379 or redis://user:password@host:6379/0"
)]
pub struct AddressError(String);

impl AddressError {
    /// What the client's own parser says of it, which holds no password.
    pub(crate) fn new(error: &RedisError) -> Self {
        Self(error.to_string())
    }
}

/// The way to the other servers; without Redis, one that leads nowhere.
#[derive(Clone, Default)]
pub struct Hints(Arc<Shared>);

#[derive(Default)]
struct Shared {
    newest: watch::Sender<u64>,
    heard: Notify,
    /// The place behind the newest event that this server appended.
    events: watch::Sender<u64>,
    heard_of_events: Notify,
    fault: Mutex<Option<String>>,
    /// Set when they are started.
    wanted: OnceLock<()>,
}

impl Hints {
    /// Tells the others that a revision exists. Never waits.
    pub fn tell(&self, revision: u64) {
        self.0.newest.send_replace(revision);
    }

    /// Ends when another server has told of a revision since it was last asked.
    pub async fn heard(&self) {
        self.0.heard.notified().await;
    }

    /// Tells the others that there are events before this place. Never waits.
    pub fn tell_of_events(&self, next: u64) {
        self.0.events.send_replace(next);
    }

    /// Ends when another server has told of events since it was last asked.
    pub async fn heard_of_events(&self) {
        self.0.heard_of_events.notified().await;
    }

    /// Whether there should be any.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        self.0.wanted.get().is_some()
    }

    /// Why there are no hints now, though there should be.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let fault = self.0.fault.lock();
        fault.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to tell and to hear, in a task of its own, and returns when it hears or has failed once.
    ///
    /// # Errors
    /// [`AddressError`]. That Redis is away is none.
    pub async fn start(
        &self,
        url: &str,
        store_id: Arc<str>,
        metrics: Arc<Metrics>,
    ) -> Result<(), AddressError> {
        let client = Client::open(url).map_err(|e| AddressError::new(&e))?;
        let _ = self.0.wanted.set(());
        let (tried, first) = tokio::sync::oneshot::channel();
        let line = Line {
            hints: self.clone(),
            client,
            store_id,
            metrics,
        };
        tokio::spawn(line.run(tried));
        let _ = first.await;
        Ok(())
    }
}

/// The connection to Redis, made anew whenever it is lost.
struct Line {
    hints: Hints,
    client: Client,
    store_id: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Line {
    async fn run(self, tried: tokio::sync::oneshot::Sender<()>) {
        let mut tried = Some(tried);
        let mut pause = FIRST_PAUSE;
        loop {
            let connected = timeout(PATIENCE, self.connect()).await;
            let error = match connected.unwrap_or_else(|_| Err(late())) {
                Ok((told, heard)) => {
                    pause = FIRST_PAUSE;
                    self.stands(None);
                    drop(tried.take());
                    self.serve(told, heard).await
                }
                Err(error) => error,
            };
            self.stands(Some(error.to_string()));
            drop(tried.take());
            sleep(with_chance(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Two connections: one that listens can do nothing else.
    async fn connect(&self) -> Result<(MultiplexedConnection, redis::aio::PubSub), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let told = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let told = told.await?;
        let mut heard = self.client.get_async_pubsub().await?;
        heard.subscribe(CHANNEL).await?;
        Ok((told, heard))
    }

    /// Tells and hears until the connection is lost.
    async fn serve(
        &self,
        mut told: MultiplexedConnection,
        heard: redis::aio::PubSub,
    ) -> RedisError {
        let mut newest = self.hints.0.newest.subscribe();
        newest.mark_changed();
        let mut events = self.hints.0.events.subscribe();
        events.mark_changed();
        let mut pulse = interval(PULSE);
        let mut told_at: Option<Instant> = None;
        let mut told_of_events_at: Option<Instant> = None;
        let (mut sink, mut stream) = heard.split();
        // What was told while nobody listened here is not known.
        self.hints.0.heard.notify_one();
        self.hints.0.heard_of_events.notify_one();
        loop {
            let done = tokio::select! {
                message = stream.next() => match message {
                    Some(message) => {
                        self.hear(message.get_payload_bytes());
                        Ok(())
                    }
                    None => return late(),
                },
                changed = changed_since(&mut newest, told_at) => match changed {
                    Ok(()) => {
                        let revision = *newest.borrow_and_update();
                        told_at = Some(Instant::now());
                        self.tell(&mut told, "", revision).await
                    }
                    Err(_) => return late(),
                },
                changed = changed_since(&mut events, told_of_events_at) => match changed {
                    Ok(()) => {
                        let next = *events.borrow_and_update();
                        told_of_events_at = Some(Instant::now());
                        self.tell(&mut told, EVENTS, next).await
                    }
                    Err(_) => return late(),
                },
                // A connection that is cut without a word looks like one on which nothing is told.
                _ = pulse.tick() => {
                    let answer = timeout(PATIENCE, sink.ping::<redis::Value>()).await;
                    answer.unwrap_or_else(|_| Err(late())).map(drop)
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn tell(
        &self,
        told: &mut MultiplexedConnection,
        what: &str,
        number: u64,
    ) -> Result<(), RedisError> {
        if number == 0 {
            return Ok(());
        }
        let mut publish = redis::cmd("PUBLISH");
        publish
            .arg(CHANNEL)
            .arg(format!("{} {what}{number}", self.store_id));
        publish.exec_async(told).await
    }

    /// A message of another store, or of ourselves, wakes nobody.
    fn hear(&self, message: &[u8]) {
        let told = std::str::from_utf8(message)
            .ok()
            .and_then(|message| message.split_once(' '))
            .filter(|(store_id, _)| **store_id == *self.store_id)
            .map(|(_, told)| told);
        let is_newer = |number: &str, known: &watch::Sender<u64>| {
            let number = number.parse::<u64>();
            number.is_ok_and(|number| number > *known.borrow())
        };
        match told.map(|told| (told, told.strip_prefix(EVENTS))) {
            Some((_, Some(next))) if is_newer(next, &self.hints.0.events) => {
                self.hints.0.heard_of_events.notify_one();
            }
            Some((revision, None)) if is_newer(revision, &self.hints.0.newest) => {
                self.hints.0.heard.notify_one();
            }
            Some(_) | None => {}
        }
    }

    /// Notes how it is; a change is logged once.
    fn stands(&self, fault: Option<String>) {
        self.metrics.degraded("redis", fault.is_some());
        let mut kept = self
            .hints
            .0
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (&*kept, &fault) {
            (None, Some(error)) => {
                tracing::warn!(
                    error,
                    "Redis is away: servers learn of each other's writes by looking at the log"
                );
            }
            (Some(_), None) => tracing::info!("Redis is back"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        *kept = fault;
    }
}

/// Ends when there is something to tell, and the last hint is long enough ago.
async fn changed_since(
    newest: &mut watch::Receiver<u64>,
    told_at: Option<Instant>,
) -> Result<(), watch::error::RecvError> {
    if let Some(told_at) = told_at {
        sleep_until(told_at + APART).await;
    }
    newest.changed().await
}

fn late() -> RedisError {
    RedisError::from((redis::ErrorKind::Io, "Redis does not answer"))
}

fn with_chance(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(()) % 512;
    pause + pause.mul_f64(chance as f64 / 1024.0)
}
