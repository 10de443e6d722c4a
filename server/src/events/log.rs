//! The log of events as the rest of the server meets it.
//!
//! ```text
//! append: check and encode (here) -> queue -> writer: group, decide what is new, one synced write -> ring -> answer
//! read:   cursor (a place) -> ring, or the store where that has moved on -> filter
//! ```
//!
//! Places begin with 1 and have no gaps. An event of a type and id that are there already, and that says the same, takes the
//! place of the first; that is known for as long as the first is kept.

use std::sync::Arc;
use std::time::Duration;

use kg_core::commit::Graph;
use kg_core::limits::EVENTS_PER_BATCH;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::error::EventError;
use super::event::{Appended, Event, NewEvent, Prepared};
use super::figures::{Figure, Figures};
use super::filter::EventFilter;
use super::front::{Front, Look};
use super::groups::{Groups, Local};
use super::sources::Sources;
use super::store::{Keep, SqliteStore, Store};
use super::writer::{Ticket, Writer, WriterTask};
use crate::hints::Hints;
use crate::storage::Opened;

/// Events of one look.
const LOOK: usize = 1_024;

/// After how long a reader is told how far it is, though nothing matched.
const PROGRESS: Duration = Duration::from_secs(1);

/// Where a cursor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the newest.
    End,
    /// At this offset.
    Offset(u64),
    /// At the first that was appended at this time or later.
    Time(u64),
}

/// What a cursor found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventBatch {
    /// Those that match, in order.
    pub events: Vec<Arc<Event>>,
    /// Where the cursor is now.
    pub next_offset: u64,
    /// What the log no longer keeps: from, and to without it.
    pub lag: Option<(u64, u64)>,
}

/// Whether somebody may see an event, as things are when it is told.
pub type Sight = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// The log of a store's events. Clones are further handles of the same one.
#[derive(Clone)]
pub struct Events {
    pub(super) front: Arc<Front>,
    pub(super) writer: Writer,
    pub(super) groups: Groups,
    pub(super) figures: Arc<Figures>,
    pub(super) sources: Sources,
}

impl Events {
    /// Opens the events of a store, wherever that is, and starts what writes them. Tells in words what the operator should know.
    /// Of a store on disk they must be closed before it is: its lock guards them as well.
    ///
    /// # Errors
    /// [`EventError`]: `Broken` where they are not what they should be. They are left as they are then.
    pub async fn open(
        opened: &Opened,
        keep: Keep,
        hints: Hints,
    ) -> Result<(Self, Option<String>), EventError> {
        let (store, notice) = Store::open(opened).await?;
        Ok((Self::over(store, keep, hints).await?, notice))
    }

    /// Events that end with the process.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn in_memory() -> Result<Self, EventError> {
        let store = Store::Sqlite(SqliteStore::in_memory().await?);
        Self::over(store, Keep::default(), Hints::default()).await
    }

    async fn over(store: Store, keep: Keep, hints: Hints) -> Result<Self, EventError> {
        let bounds = store.bounds().await?;
        let local = Local::of(store.load_groups().await?);
        let front = Arc::new(Front::new(store.clone(), bounds));
        let (writer, jobs) = Writer::new();
        let figures = Arc::<Figures>::default();
        let task = WriterTask {
            jobs,
            front: front.clone(),
            local: local.clone(),
            keep,
            hints,
            figures: figures.clone(),
        };
        tokio::spawn(task.run());
        Ok(Self {
            front,
            groups: Groups::new(store, writer.clone(), local),
            writer,
            figures,
            sources: Sources::default(),
        })
    }

    /// Appends a batch, all of it or nothing, and returns when it is durable.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Appended>, EventError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.submit(batch)?.written().await
    }

    /// Takes a batch behind those that were taken before, without waiting for them.
    ///
    /// # Errors
    /// [`EventError::Invalid`] and [`EventError::Exhausted`]; nothing was taken then.
    pub fn submit(&self, batch: Vec<NewEvent>) -> Result<Ticket, EventError> {
        if batch.len() > EVENTS_PER_BATCH {
            return Err(EventError::Exhausted(format!(
                "the batch has {} events, at most {EVENTS_PER_BATCH} are allowed",
                batch.len()
            )));
        }
        let prepared = batch.into_iter().enumerate().map(|(index, event)| {
            Prepared::of(event).map_err(|reason| EventError::Invalid { index, reason })
        });
        self.writer.submit(prepared.collect::<Result<_, _>>()?)
    }

    /// The place that the next event takes, as far as this server knows.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.front.next()
    }

    /// The oldest place that is kept, and the one that the next event takes, asked now.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn ends(&self) -> Result<(u64, u64), EventError> {
        self.writer.catch_up().await?;
        let bounds = self.front.bounds().await?;
        Ok((bounds.oldest, bounds.next))
    }

    /// A cursor. What the graph tells is appended from the first one on that may want it.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn cursor(&self, from: Place, filter: EventFilter) -> Result<Cursor, EventError> {
        if filter.may_want_graph() {
            self.want_graph().await?;
        }
        let next = self.place(from).await?;
        Ok(Cursor {
            front: self.front.clone(),
            heard: self.front.listen(),
            figures: self.figures.clone(),
            filter,
            sight: None,
            next,
        })
    }

    /// The offset that a place stands for now.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn place(&self, place: Place) -> Result<u64, EventError> {
        match place {
            Place::Offset(offset) => Ok(offset.max(1)),
            Place::End => {
                // What somebody was told of before by another server is before the end.
                self.writer.catch_up().await?;
                Ok(self.front.next())
            }
            Place::Time(ms) => {
                self.writer.catch_up().await?;
                let found = self.front.store.at_time(ms).await?;
                Ok(found.unwrap_or_else(|| self.front.next()))
            }
        }
    }

    /// One event; `None` where it is not kept, or not there yet.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn event(&self, offset: u64) -> Result<Option<Arc<Event>>, EventError> {
        match self.front.look(offset, 1).await? {
            Look::Events(events) => Ok(events.into_iter().next()),
            Look::Lost(_) => Ok(None),
        }
    }

    /// Tells what becomes of this graph from now on, or from where that was left, to those who want it; in a task that ends with
    /// the log. Without this call, the graph tells nothing.
    pub fn attach(&self, graph: Arc<Graph>, log: Arc<dyn crate::rpc::LogTail>) {
        self.sources.attach(self.clone(), graph, log);
    }

    async fn want_graph(&self) -> Result<(), EventError> {
        self.sources.want(&self.groups).await
    }

    /// What is counted of it.
    #[must_use]
    pub fn figures(&self) -> Figure {
        let bounds = self.front.last_bounds();
        Figure {
            oldest: bounds.oldest,
            next: self.front.next(),
            bytes: bounds.bytes,
            ring_bytes: self.front.ring_bytes() as u64,
            group_lags: self.groups.lags(self.front.next()),
            ..self.figures.read()
        }
    }

    /// Writes what waits, ends those who follow, and closes the store.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

/// Somebody's place in the log.
pub struct Cursor {
    front: Arc<Front>,
    heard: watch::Receiver<u64>,
    figures: Arc<Figures>,
    filter: EventFilter,
    sight: Option<Sight>,
    next: u64,
}

impl Cursor {
    /// The same for somebody who may not see everything.
    #[must_use]
    pub fn seen_by(mut self, sight: Option<Sight>) -> Self {
        self.sight = sight;
        self
    }

    /// The next events that match, at most `limit`; waits while there is nothing to tell. It may return none of them after a second or
    /// so, to tell how far it is. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn next(&mut self, limit: usize) -> Result<EventBatch, EventError> {
        let due = Instant::now() + PROGRESS;
        loop {
            let end = *self.heard.borrow_and_update();
            if self.front.has_ended() {
                return Err(EventError::Unavailable("they are closed".into()));
            }
            if self.next >= end {
                match timeout_at(due, self.heard.changed()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => return Err(EventError::Unavailable("they are closed".into())),
                    Err(_) => return Ok(self.found(Vec::new(), None)),
                }
            }
            let events = match self.front.look(self.next, LOOK).await? {
                Look::Events(events) => events,
                Look::Lost(oldest) => {
                    let lost = (self.next, oldest);
                    self.next = oldest;
                    self.figures.lag();
                    return Ok(self.found(Vec::new(), Some(lost)));
                }
            };
            let mut matching = Vec::new();
            for event in events {
                self.next = event.offset + 1;
                let is_seen = |sight: &Sight| sight(&event);
                if self.filter.matches(&event.event) && self.sight.as_ref().is_none_or(is_seen) {
                    matching.push(event);
                    if matching.len() >= limit.max(1) {
                        break;
                    }
                }
            }
            if !matching.is_empty() || Instant::now() >= due {
                return Ok(self.found(matching, None));
            }
            // A filter that lets nothing through must not hold a thread while it looks.
            tokio::task::yield_now().await;
        }
    }

    fn found(&self, events: Vec<Arc<Event>>, lag: Option<(u64, u64)>) -> EventBatch {
        EventBatch {
            events,
            next_offset: self.next,
            lag,
        }
    }

    /// Goes to another place.
    pub fn seek(&mut self, offset: u64) {
        self.next = offset.max(1);
    }

    /// Where it is.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.next
    }
}
