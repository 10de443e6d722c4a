//! The recorder: takes events off the trail and puts them into the audit log, many at a time.
//!
//! While the store cannot be reached events wait, as many as the trail holds. What is left out then is told by an event of
//! its own, and counted. After each write the recorder rests for as long as it took: those who sign in change the same rows.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::Shared;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::trail::{Event, Outcome, Trail};
use crate::metrics::Metrics;
use crate::users::{UserError, UserStore};

/// Events that one transaction takes.
const AT_ONCE: usize = 512;

/// How often it looks for what was counted instead of told.
const LOOK: Duration = Duration::from_secs(1);

/// Between two tries while the store does not take them.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the last events may take when the server ends, all together.
const LAST: Duration = Duration::from_secs(2);

/// Takes events to the audit log.
pub struct Recorder {
    /// Where they go.
    pub users: UserStore,
    /// Knows how many were left out.
    pub trail: Trail,
    /// Where they come from.
    pub events: mpsc::Receiver<Event>,
    /// Where those are counted that were left out.
    pub metrics: Arc<Metrics>,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
}

impl Recorder {
    /// Records until `ended`, and then what waits.
    pub async fn run(self, ended: impl Future<Output = ()>) {
        let users = self.users.clone();
        let append = |events: Vec<Event>| {
            let users = users.clone();
            async move { users.append_events(&events).await }
        };
        self.run_into(append, ended).await;
    }

    async fn run_into<A>(
        mut self,
        append: impl Fn(Vec<Event>) -> A,
        ended: impl Future<Output = ()>,
    ) where
        A: Future<Output = Result<(), UserError>>,
    {
        // Whoever asks again after the end is told again; and all are told the same time by which all must be done.
        let ended = ended.map(|()| Instant::now() + LAST).shared();
        let mut taken = Vec::new();
        self.record(&append, &ended, &mut taken).await;
        self.events.close();
        let by = ended.await;
        loop {
            if taken.is_empty() {
                let now_ms = (self.clock)();
                taken.extend(self.trail.take_all_repeats(now_ms, AT_ONCE));
                self.note_left_out(&mut taken, now_ms);
                self.events.recv_many(&mut taken, AT_ONCE).await;
            }
            if taken.is_empty() {
                return;
            }
            let lost = taken.len() + self.events.len();
            let written = tokio::select! {
                biased;
                () = sleep_until(by) => false,
                written = append(std::mem::take(&mut taken)) => written.is_ok(),
            };
            if !written {
                tracing::error!(events = lost, "events did not reach the audit log");
                return;
            }
        }
    }

    /// Records until the end. What was taken and not written by then is left in `taken`.
    async fn record<A>(
        &mut self,
        append: &impl Fn(Vec<Event>) -> A,
        ended: &Shared<impl Future<Output = Instant>>,
        taken: &mut Vec<Event>,
    ) where
        A: Future<Output = Result<(), UserError>>,
    {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = ended.clone() => return,
                count = self.events.recv_many(taken, AT_ONCE) => if count == 0 { return },
                _ = looks.tick() => {}
            }
            let now_ms = (self.clock)();
            taken.extend(self.trail.take_repeats(now_ms, AT_ONCE));
            self.note_left_out(taken, now_ms);
            while !taken.is_empty() {
                let began = Instant::now();
                // It goes on also when the server ends meanwhile, or they might be written twice.
                let written = tokio::select! {
                    written = append(taken.clone()) => written,
                    () = too_late(ended) => return,
                };
                let rest = match written {
                    Ok(()) => {
                        taken.clear();
                        began.elapsed()
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the audit log cannot be written now");
                        PAUSE
                    }
                };
                tokio::select! {
                    biased;
                    _ = ended.clone() => return,
                    () = sleep(rest) => {}
                }
            }
        }
    }

    fn note_left_out(&self, taken: &mut Vec<Event>, now_ms: u64) {
        let left_out = self.trail.take_left_out();
        if left_out == 0 {
            return;
        }
        self.metrics.events_left_out(left_out);
        taken.push(Event {
            time_ms: now_ms,
            actor: "".into(),
            source: String::new(),
            action: "left_out",
            resource: String::new(),
            outcome: Outcome::Done,
            reason: format!("{left_out} events came faster than they could be recorded"),
        });
    }
}

async fn too_late(ended: &Shared<impl Future<Output = Instant>>) {
    sleep_until(ended.clone().await).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::storage::{OpenOptions, open};

    const NOW: u64 = 1_000_000_000;

    /// A log that can be away.
    #[derive(Default)]
    struct Log {
        is_away: AtomicBool,
        tries: tokio::sync::Notify,
        kept: Mutex<Vec<String>>,
    }

    impl Log {
        fn away() -> Arc<Self> {
            let log = Self::default();
            log.is_away.store(true, Ordering::SeqCst);
            Arc::new(log)
        }

        fn append(&self, events: &[Event]) -> Result<(), UserError> {
            self.tries.notify_one();
            if self.is_away.load(Ordering::SeqCst) {
                return Err(UserError::Unavailable("it is away".into()));
            }
            let mut kept = self.kept.lock().expect("unpoisoned");
            kept.extend(events.iter().map(|event| event.reason.clone()));
            Ok(())
        }
    }

    fn event(reason: &str) -> Event {
        Event {
            time_ms: NOW,
            actor: "alice".into(),
            source: "10.0.0.1".into(),
            action: "denied",
            resource: "amadeus.v1.AdminService/Audit".into(),
            outcome: Outcome::Refused,
            reason: reason.into(),
        }
    }

    /// A recorder into that log: its trail, what ends it, and what it becomes.
    async fn recorder(log: &Arc<Log>) -> (Trail, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let opened = open("memory:", &OpenOptions::default()).await;
        let users = UserStore::open(&opened.expect("it opens")).await;
        let (trail, events) = Trail::new();
        let recorder = Recorder {
            users: users.expect("they open"),
            trail: trail.clone(),
            events,
            metrics: Arc::new(Metrics::new().expect("metrics")),
            clock: || NOW,
        };
        let (end, ended) = oneshot::channel();
        let log = log.clone();
        let append = move |events: Vec<Event>| {
            let log = log.clone();
            async move { log.append(&events) }
        };
        let running = tokio::spawn(recorder.run_into(append, async move {
            let _ = ended.await;
        }));
        (trail, end, running)
    }

    /// It once polled what had told it to end a second time, and forgot what it held.
    #[tokio::test]
    async fn events_that_wait_when_the_server_ends_are_written_when_the_store_comes_back() {
        let log = Log::away();
        let (trail, end, running) = recorder(&log).await;
        trail.tell(event("held"));
        log.tries.notified().await;
        trail.tell(event("waits"));
        log.is_away.store(false, Ordering::SeqCst);
        end.send(()).expect("it runs");
        running.await.expect("it ends in order");
        assert_eq!(*log.kept.lock().expect("unpoisoned"), ["held", "waits"]);
    }

    #[tokio::test]
    async fn a_store_that_stays_away_keeps_the_server_from_nothing() {
        let log = Log::away();
        let (trail, end, running) = recorder(&log).await;
        trail.tell(event("lost"));
        log.tries.notified().await;
        end.send(()).expect("it runs");
        running.await.expect("it ends in order");
    }

    #[tokio::test]
    async fn what_was_counted_is_told_when_the_server_ends() {
        let log = Arc::new(Log::default());
        let (trail, end, running) = recorder(&log).await;
        for _ in 0..5_000 {
            trail.tell_repeatable(event("no"));
        }
        end.send(()).expect("it runs");
        running.await.expect("it ends in order");
        let kept = log.kept.lock().expect("unpoisoned").clone();
        assert_eq!(kept.iter().filter(|reason| *reason == "no").count(), 1);
        assert!(kept.iter().any(|reason| reason.starts_with("4999 more")));
        assert_eq!(kept.len(), 2, "{kept:?}");
    }
}
