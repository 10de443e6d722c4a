//! Reclaiming: old versions are freed by a thread of their own.
//!
//! Dropping the last reference to a snapshot of 1,000,000 entities takes 205 ms. A reader that happens to hold that last
//! reference must not pay for it, nor the committer; so both hand it over. The channel is bounded: when the thread is
//! behind, whoever drops frees the version itself, and memory stays bounded too.
//!
//! The thread waits a little once there is something to free, and then frees all that has come: a committer that works
//! without pause would else wake it for each revision, some 40,000 times a second, and each time it would take a core from
//! a reader. On two cores that made the slowest of a thousand reads forty times slower.

use crate::snapshot::Snapshot;
use crossbeam::channel::{Sender, TrySendError, bounded};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// How long the thread waits for more to free.
const GATHERING: Duration = Duration::from_millis(5);

/// Versions that may wait to be freed: of a committer without pause, those of 20 milliseconds and more.
const WAITING: usize = 1_024;

/// The way to the reclaiming thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct Reclaimer<T = Snapshot>(Sender<T>);

impl<T: Send + 'static> Reclaimer<T> {
    /// Starts the thread. Where none can be started, versions are freed by whoever drops them.
    #[must_use]
    pub fn start() -> Self {
        let (sender, receiver) = bounded::<T>(WAITING);
        let run = move || {
            while let Ok(first) = receiver.recv() {
                std::thread::sleep(GATHERING);
                drop(first);
                receiver.try_iter().for_each(drop);
            }
        };
        let _ = std::thread::Builder::new()
            .name("amadeus-reclaim".into())
            .spawn(run);
        Self(sender)
    }

    /// Gives up one reference; if it was the last, the thread frees what it held.
    pub fn release(&self, version: Arc<T>) {
        // Of several that give up the last references at once, `into_inner` gives the value to exactly one. With `try_unwrap`
        // each could find the others still there, and the last of them would free it on its own thread.
        let Some(last) = Arc::into_inner(version) else {
            return;
        };
        match self.0.try_send(last) {
            Ok(()) => {}
            Err(TrySendError::Full(version) | TrySendError::Disconnected(version)) => drop(version),
        }
    }
}

/// A snapshot that is held across waits and streams; its holder never pays for freeing it.
#[derive(Clone, Debug)]
pub struct Held {
    snapshot: Option<Arc<Snapshot>>,
    reclaimer: Reclaimer,
}

impl Held {
    pub(crate) fn new(snapshot: Arc<Snapshot>, reclaimer: Reclaimer) -> Self {
        Self {
            snapshot: Some(snapshot),
            reclaimer,
        }
    }

    /// The shared snapshot itself.
    #[must_use]
    pub fn shared(&self) -> Arc<Snapshot> {
        match &self.snapshot {
            Some(snapshot) => snapshot.clone(),
            None => unreachable!("only `drop` takes it"),
        }
    }
}

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        match &self.snapshot {
            Some(snapshot) => snapshot,
            None => unreachable!("only `drop` takes it"),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            self.reclaimer.release(snapshot);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    /// Tells which thread freed it.
    struct Version(mpsc::Sender<Option<String>>);

    impl Drop for Version {
        fn drop(&mut self) {
            let here = thread::current().name().map(str::to_owned);
            self.0.send(here).expect("the test listens");
        }
    }

    #[test]
    fn the_last_reference_is_freed_by_the_thread_for_it() {
        // As many as may wait, so that nobody has to free one because the thread is behind.
        const ROUNDS: usize = WAITING;
        let reclaimer = Reclaimer::start();
        let (sender, freed) = mpsc::channel();
        for _ in 0..ROUNDS {
            let version = Arc::new(Version(sender.clone()));
            thread::scope(|scope| {
                for _ in 0..3 {
                    let (version, reclaimer) = (version.clone(), &reclaimer);
                    scope.spawn(move || reclaimer.release(version));
                }
                reclaimer.release(version);
            });
        }
        for _ in 0..ROUNDS {
            let by = freed.recv().expect("it is freed");
            assert_eq!(by.as_deref(), Some("amadeus-reclaim"));
        }
        assert!(freed.try_recv().is_err(), "freed twice");
    }
}
