//! The trail: security events on their way to the audit log.
//!
//! Whoever tells of an event never waits. What is told faster than the store takes it is counted and left out, and the
//! store is told how many there were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

/// Events that may wait for the store.
pub const WAITING: usize = 16_384;

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

/// One security event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who, as records name them; empty for nobody who had signed in.
    pub actor: Arc<str>,
    /// The address of the caller; empty where there is none.
    pub source: String,
    /// What: `login`, `denied`, `create_user` and so on.
    pub action: &'static str,
    /// On what. Never a secret.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why. Never a secret.
    pub reason: String,
}

/// The way to the audit log; clones are further ways to the same one.
#[derive(Clone, Debug)]
pub struct Trail {
    events: mpsc::Sender<Event>,
    /// Events that were left out since the store was last told of them; a count that orders nothing.
    left_out: Arc<AtomicU64>,
}

impl Trail {
    /// A way, and its end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, end) = mpsc::channel(WAITING);
        let left_out = Arc::default();
        (Self { events, left_out }, end)
    }

    /// Tells of an event. Never waits.
    pub fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            // Relaxed: a count that orders nothing.
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were left out since this was last asked.
    #[must_use]
    pub fn take_left_out(&self) -> u64 {
        // Relaxed: a count that orders nothing.
        self.left_out.swap(0, Ordering::Relaxed)
    }
}
