//! What is counted of events.
//!
//! # Orderings
//! All of them are Relaxed: counts that order nothing, read by whoever scrapes the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::EventError;

/// Counts of one server, from its start on.
#[derive(Debug, Default)]
pub struct Figures {
    appended: AtomicU64,
    duplicates: AtomicU64,
    lags: AtomicU64,
    dead_letters: AtomicU64,
    subscribers: AtomicU64,
    fails: AtomicBool,
}

/// What a scrape sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    /// Events that this server appended.
    pub appended: u64,
    /// Events that it was given again.
    pub duplicates: u64,
    /// Notices of what subscribers have lost.
    pub lags: u64,
    /// Events that became dead letters.
    pub dead_letters: u64,
    /// Subscribers now.
    pub subscribers: u64,
    /// Whether the last write failed.
    pub fails: bool,
    /// The oldest place that is kept.
    pub oldest: u64,
    /// The place that the next event takes.
    pub next: u64,
    /// Bytes of the events that are kept.
    pub bytes: u64,
    /// Bytes of those that are in memory.
    pub ring_bytes: u64,
    /// How far the groups are behind that this server serves.
    pub group_lags: Vec<(String, u64)>,
}

impl Figures {
    pub(super) fn appended(&self, events: u64) {
        self.appended.fetch_add(events, Ordering::Relaxed);
        self.works();
    }

    pub(super) fn duplicates(&self, events: u64) {
        self.duplicates.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn lag(&self) {
        self.lags.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dead_letter(&self) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more subscriber; how many there were.
    pub(super) fn subscribed(&self) -> u64 {
        self.subscribers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn unsubscribed(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }

    /// The store did what it was asked.
    pub(super) fn works(&self) {
        if self.fails.swap(false, Ordering::Relaxed) {
            tracing::info!("the events can be written again");
        }
    }

    /// It did not; a change is logged once.
    pub(super) fn failed(&self, error: &EventError) {
        if !self.fails.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the events cannot be written or read");
        }
    }

    pub(super) fn read(&self) -> Figure {
        Figure {
            appended: self.appended.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            lags: self.lags.load(Ordering::Relaxed),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            subscribers: self.subscribers.load(Ordering::Relaxed),
            fails: self.fails.load(Ordering::Relaxed),
            ..Figure::default()
        }
    }
}
