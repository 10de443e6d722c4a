//! What is shown of the log on this server: its newest events, and how far it goes.
//!
//! The writer's task alone adds to it. A reader takes its events from the ring, under a lock that is held for as long as it
//! takes to copy some pointers, and from the store where the ring has moved on; it learns of new ones by a number that moves.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use kg_core::limits::EVENT_RING_BYTES;
use tokio::sync::watch;

use super::error::EventError;
use super::event::Event;
use super::ring::Ring;
use super::store::{Bounds, Store, Weighed};

/// Events that are read at once from the store by whoever catches up.
const CAUGHT_AT_ONCE: usize = 2_000;

/// Events of other servers beyond which the ring begins anew at the end: those who follow read what is between from the store.
const SKIPPED: u64 = 50_000;

/// What a server shows.
pub(super) struct Front {
    pub(super) store: Store,
    ring: RwLock<Ring>,
    next: watch::Sender<u64>,
    bounds: Mutex<Bounds>,
}

/// What a reader is told.
pub(super) enum Look {
    /// These are next; none at the end.
    Events(Vec<Arc<Event>>),
    /// The log does not keep the place any more; it goes on at this one.
    Lost(u64),
}

impl Front {
    /// Of a store that ends here.
    pub(super) fn new(store: Store, bounds: Bounds) -> Self {
        Self {
            store,
            ring: RwLock::new(Ring::new(bounds.next, EVENT_RING_BYTES)),
            next: watch::channel(bounds.next).0,
            bounds: Mutex::new(bounds),
        }
    }

    /// The place that the next event takes, as far as this server knows.
    pub(super) fn next(&self) -> u64 {
        *self.next.borrow()
    }

    /// A receiver of that number. It ends with the log.
    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// Tells those who follow that there is nothing more to come.
    pub(super) fn end(&self) {
        self.next.send_replace(u64::MAX);
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.next() == u64::MAX
    }

    /// Bytes of the ring.
    pub(super) fn ring_bytes(&self) -> usize {
        self.ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .bytes()
    }

    /// The ends of the store when they were looked at last.
    pub(super) fn last_bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ends of the store.
    pub(super) async fn bounds(&self) -> Result<Bounds, EventError> {
        let bounds = self.store.bounds().await?;
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
        Ok(bounds)
    }

    /// Shows events that follow on what is shown. False where they do not, and nothing is shown.
    pub(super) fn push(&self, events: Vec<Weighed>) -> bool {
        let next = {
            let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
            let follows = |(event, _): &Weighed| event.offset == ring.next();
            if !events.first().is_some_and(follows) {
                return false;
            }
            for (event, bytes) in events {
                ring.push(event, bytes);
            }
            ring.next()
        };
        self.next.send_replace(next);
        true
    }

    /// Reads from the store what is not shown yet.
    pub(super) async fn catch_up(&self) -> Result<(), EventError> {
        loop {
            let from = self.next();
            let read = self.store.read(from, CAUGHT_AT_ONCE).await?;
            *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = read.bounds;
            let behind = read.bounds.next.saturating_sub(from);
            if behind == 0 {
                return Ok(());
            }
            // What was read does not follow where the log was trimmed beyond `from` meanwhile. Those who follow are told of that
            // when they read; to ask again and again for what is gone would hold the writer for ever.
            if behind > SKIPPED || !self.push(read.events) {
                let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
                ring.restart(read.bounds.next);
                drop(ring);
                self.next.send_replace(read.bounds.next);
            }
        }
    }

    /// What stands at a place and behind it.
    pub(super) async fn look(&self, from: u64, limit: usize) -> Result<Look, EventError> {
        let here = {
            let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
            ring.read(from, limit)
        };
        if let Some(events) = here {
            return Ok(Look::Events(events));
        }
        let read = self.store.read(from, limit).await?;
        match read.events.first() {
            Some((first, _)) if first.offset == from => {
                let events = read.events.into_iter().map(|(event, _)| event);
                Ok(Look::Events(events.collect()))
            }
            // Also where it was trimmed away while it was read.
            _ if from < read.bounds.oldest => Ok(Look::Lost(read.bounds.oldest)),
            None if from >= read.bounds.next => Ok(Look::Events(Vec::new())),
            _ => Err(EventError::Broken(format!(
                "the event at {from} is missing"
            ))),
        }
    }
}
