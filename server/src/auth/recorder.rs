//! The recorder: takes events off the trail and puts them into the audit log, many at a time.
//!
//! While the store cannot be reached events wait, as many as the trail holds. What is left out then is told by an event of
//! its own, and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::trail::{Event, Outcome, Trail};
use crate::metrics::Metrics;
use crate::users::UserStore;

/// Events that one transaction takes.
const AT_ONCE: usize = 512;

/// Between two tries while the store does not take them.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the last events may take when the server ends.
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
    pub async fn run(mut self, ended: impl Future<Output = ()>) {
        tokio::pin!(ended);
        let mut taken = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = self.events.recv_many(&mut taken, AT_ONCE) => if count == 0 { return },
                () = &mut ended => break,
            }
            self.note_left_out(&mut taken);
            loop {
                match self.users.append_events(&taken).await {
                    Ok(()) => break,
                    Err(error) => tracing::warn!(%error, "the audit log cannot be written now"),
                }
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = &mut ended => break,
                }
            }
            taken.clear();
        }
        self.events.close();
        while self.events.recv_many(&mut taken, AT_ONCE).await > 0 {
            self.note_left_out(&mut taken);
            let written = timeout(LAST, self.users.append_events(&taken)).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::error!(events = taken.len(), "events did not reach the audit log");
                return;
            }
            taken.clear();
        }
    }

    fn note_left_out(&self, taken: &mut Vec<Event>) {
        let left_out = self.trail.take_left_out();
        if left_out == 0 {
            return;
        }
        self.metrics.events_left_out(left_out);
        taken.push(Event {
            time_ms: (self.clock)(),
            actor: "".into(),
            source: String::new(),
            action: "left_out",
            resource: String::new(),
            outcome: Outcome::Done,
            reason: format!("{left_out} events came faster than they could be recorded"),
        });
    }
}
