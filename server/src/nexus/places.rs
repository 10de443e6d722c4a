//! Places: how many runs there may be at once, of all patterns and of each, and how many steps of a class.
//!
//! Whoever waits has its turn in the order in which it came. A place of the pattern is taken before one of the server, so that
//! runs of a pattern that may run only a few at once keep nobody else waiting. Runs within runs take neither: a full server
//! would wait for them, and they for it.
//!
//! A bound belongs to its number: runs of a definition with another one are counted apart, until the last of the old has ended.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Runs that may be under way on one server, where the configuration does not say.
pub const RUNS: usize = 1_000;

/// Runs that may wait for that. One more is refused.
pub const QUEUED: usize = 10_000;

/// The places of one server.
pub struct Places {
    /// Of those that are under way or wait.
    entries: Arc<Semaphore>,
    runs: Arc<Semaphore>,
    of_patterns: DashMap<Bound, Arc<Semaphore>>,
}

/// Something that is bounded, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bound {
    pattern: Arc<str>,
    /// Empty: runs.
    class: Arc<str>,
    most: u32,
}

/// A run's place.
pub struct Place(#[expect(dead_code, reason = "held, not looked at")] Vec<OwnedSemaphorePermit>);

impl Places {
    /// So many runs at once.
    #[must_use]
    pub fn new(runs: usize) -> Self {
        let runs = runs.clamp(1, Semaphore::MAX_PERMITS / 2);
        Self {
            entries: Arc::new(Semaphore::new(runs + QUEUED)),
            runs: Arc::new(Semaphore::new(runs)),
            of_patterns: DashMap::new(),
        }
    }

    /// Lets one more run in, if it may at least wait.
    #[must_use]
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.entries.clone().try_acquire_owned().ok()
    }

    /// Waits for a run's turn. `most` is what its pattern says; 0: nothing.
    pub async fn run(&self, pattern: &Arc<str>, most: u32) -> Place {
        let mut held = Vec::with_capacity(2);
        if most > 0 {
            let of_pattern = self.bound(pattern, &"".into(), most);
            held.extend(of_pattern.acquire_owned().await);
        }
        held.extend(self.runs.clone().acquire_owned().await);
        Place(held)
    }

    /// Where steps of a class take their places.
    #[must_use]
    pub fn class(&self, pattern: &Arc<str>, class: &Arc<str>, most: u32) -> Arc<Semaphore> {
        self.bound(pattern, class, most.max(1))
    }

    /// Forgets bounds that nobody holds.
    pub fn tidy(&self) {
        self.of_patterns
            .retain(|_, places| Arc::strong_count(places) > 1);
    }

    fn bound(&self, pattern: &Arc<str>, class: &Arc<str>, most: u32) -> Arc<Semaphore> {
        let bound = Bound {
            pattern: pattern.clone(),
            class: class.clone(),
            most,
        };
        let places = || Arc::new(Semaphore::new(most as usize));
        self.of_patterns.entry(bound).or_insert_with(places).clone()
    }
}
