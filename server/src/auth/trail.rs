//! The trail: security events on their way to the audit log.
//!
//! Whoever tells of an event never waits. What is told faster than the store takes it is counted and left out, and the
//! store is told how many there were. What a stranger can cause over and over is told once and then counted, so that it
//! neither fills the way for others nor the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::repeats::Repeats;

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
    repeats: Arc<Mutex<Repeats>>,
}

impl Trail {
    /// A way, and its end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, end) = mpsc::channel(WAITING);
        let trail = Self {
            events,
            left_out: Arc::default(),
            repeats: Arc::default(),
        };
        (trail, end)
    }

    /// Tells of an event. Never waits.
    pub fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            // Relaxed: a count that orders nothing.
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells of a refusal that costs whoever causes it nothing. Those that are alike are counted for a minute, and told by
    /// one event after it. Never waits.
    pub fn tell_repeatable(&self, event: Event) {
        if self.repeats().count(&event) {
            self.tell(event);
        }
    }

    /// What was counted for long enough by this time, as events, some at a time.
    #[must_use]
    pub fn take_repeats(&self, now_ms: u64, most: usize) -> Vec<Event> {
        self.repeats().take(now_ms, most)
    }

    /// What was counted so far, as events, some at a time.
    #[must_use]
    pub fn take_all_repeats(&self, now_ms: u64, most: usize) -> Vec<Event> {
        self.repeats().take_all(now_ms, most)
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events were left out since this was last asked.
    #[must_use]
    pub fn take_left_out(&self) -> u64 {
        // Relaxed: a count that orders nothing.
        self.left_out.swap(0, Ordering::Relaxed)
    }
}
