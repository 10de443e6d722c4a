//! Where the events of a test are kept: in memory, in a file, in PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use amadeus::events::{Cursor, Event, EventFilter, Events, Keep, NewEvent, Place as At};
use amadeus::hints::Hints;
use amadeus::metrics::Metrics;
use amadeus::storage::{OpenOptions, Opened, open};
use kg_core::model::{EntityRef, Object, Value};
use tempfile::TempDir;
use testbed::Postgres;

/// No step of these tests takes this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A place for a store.
pub struct Place {
    url: String,
    _folder: Option<TempDir>,
}

impl Place {
    pub fn memory() -> Option<Self> {
        let url = "memory:".to_owned();
        Some(Self { url, _folder: None })
    }

    pub fn file() -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        Some(Self {
            url: format!("sqlite://{}", folder.path().join("a.db").display()),
            _folder: Some(folder),
        })
    }

    /// `None`, and a word about it, where there is no PostgreSQL.
    pub fn database() -> Option<Self> {
        match Postgres::shared() {
            Ok(server) => Some(Self {
                url: server.database(),
                _folder: None,
            }),
            Err(missing) => {
                eprintln!("skipped: {missing}");
                None
            }
        }
    }

    pub fn at(url: String) -> Self {
        Self { url, _folder: None }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn open(&self) -> Server {
        self.open_keeping(Keep::default()).await
    }

    pub async fn open_store(&self) -> Opened {
        let opened = open(&self.url, &OpenOptions::default()).await;
        opened.expect("the store itself opens")
    }

    pub async fn open_keeping(&self, keep: Keep) -> Server {
        let opened = self.open_store().await;
        Self::serve(opened, keep, Hints::default()).await
    }

    /// With hints of others that share the store, through a Redis.
    pub async fn open_hinted(&self, hints: &Hints, redis: &str) -> Server {
        let opened = self.open_store().await;
        let store_id = opened.store_id.clone();
        let metrics = Metrics::new().expect("no two share a name");
        let started = hints.start(redis, store_id, Arc::new(metrics)).await;
        started.expect("it is an address");
        Self::serve(opened, Keep::default(), hints.clone()).await
    }

    async fn serve(opened: Opened, keep: Keep, hints: Hints) -> Server {
        let (events, notice) = Events::open(&opened, keep, hints).await.expect("they open");
        assert_eq!(notice, None);
        Server { events, opened }
    }
}

/// A store that is open, and its events.
pub struct Server {
    pub events: Events,
    opened: Opened,
}

impl Server {
    pub async fn close(self) {
        self.events.close().await;
        self.opened.backend.close().await.expect("it closes");
    }
}

/// Runs a test on each of the stores.
#[macro_export]
macro_rules! on_every_store {
    ($($fact:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")] async fn $fact() {
                if let Some(place) = $crate::place::Place::memory() { super::$fact(place).await }
            })*
        }
        mod file {
            $(#[tokio::test(flavor = "multi_thread")] async fn $fact() {
                if let Some(place) = $crate::place::Place::file() { super::$fact(place).await }
            })*
        }
        mod database {
            $(#[tokio::test(flavor = "multi_thread")] async fn $fact() {
                if let Some(place) = $crate::place::Place::database() { super::$fact(place).await }
            })*
        }
    };
}

pub fn event(kind: &str, id: &str) -> NewEvent {
    NewEvent {
        id: id.into(),
        kind: kind.into(),
        entity: EntityRef::parse("", "order/7").ok(),
        correlation: "".into(),
        payload: Object::unit("id".into(), Value::string(id)),
        time_ms: 1,
        actor: "alice".into(),
    }
}

/// Events of ids from `from` to before `to`.
pub fn events(from: usize, to: usize) -> Vec<NewEvent> {
    (from..to)
        .map(|id| event("probe", &id.to_string()))
        .collect()
}

/// All that there is from a place on, up to the end as it is now.
pub async fn all(log: &Events, from: At) -> Vec<Arc<Event>> {
    let mut cursor = log
        .cursor(from, EventFilter::default())
        .await
        .expect("a cursor");
    let (_, end) = log.ends().await.expect("it is known");
    let mut found = Vec::new();
    while cursor.next_offset() < end {
        found.extend(next(&mut cursor).await);
    }
    found
}

/// The next batch that is not empty, or that tells a loss.
pub async fn next(cursor: &mut Cursor) -> Vec<Arc<Event>> {
    let finding = async {
        loop {
            let batch = cursor.next(1_000).await.expect("it goes on");
            assert_eq!(batch.lag, None);
            if !batch.events.is_empty() {
                return batch.events;
            }
        }
    };
    tokio::time::timeout(PATIENCE, finding)
        .await
        .expect("something comes")
}

pub fn ids(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|e| e.event.id.to_string()).collect()
}

pub fn offsets(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|e| e.offset).collect()
}
