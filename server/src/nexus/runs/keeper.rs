//! The second's tick: says that this server lives, goes on with runs that nobody carries out, and forgets old ones.

use std::time::Duration;

use kg_core::nexus::RunState;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::rows::{AT_ONCE, LEASE, RunId, RunRowsError};
use super::live::Live;
use super::{Runs, carry, lock};

/// How often a server says that it lives, and looks for runs that nobody carries out.
const BEAT: Duration = Duration::from_secs(1);

/// How often it looks for its own runs that no task has, and for those that are kept no longer.
const TIDY: Duration = Duration::from_secs(10);

impl Runs {
    /// Keeps doing so.
    pub(super) async fn keep(self) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tidied = Instant::now();
        loop {
            beat.tick().await;
            let mut done = self.beat().await;
            if done.is_ok() && tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                done = self.tidy().await;
            }
            let fault = done.err().map(|error| error.to_string());
            if let Some(error) = &fault {
                tracing::debug!(error, "the runs of others are not known now");
            }
            self.0.metrics.degraded("runs", fault.is_some());
            *lock(&self.0.fault) = fault;
            self.count();
        }
    }

    async fn beat(&self) -> Result<(), RunRowsError> {
        let rows = &self.0.rows;
        for (key, cancel) in rows.beat(self.0.me).await?.cancels {
            let all = self.0.live.iter();
            let live = all
                .map(|live| live.value().clone())
                .find(|live| live.key == key);
            if let Some(live) = live {
                live.cancel(cancel);
            }
        }
        loop {
            let adopted = rows.adopt(self.0.me, LEASE).await?;
            for id in &adopted {
                self.resume(id).await?;
            }
            self.0.metrics.runs_adopted(adopted.len());
            if adopted.len() < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Goes on with a run that is mine, or has its end told.
    async fn resume(&self, id: &RunId) -> Result<(), RunRowsError> {
        let Some(kept) = self.0.rows.get(&id.0).await? else {
            return Ok(());
        };
        let row = &kept.row;
        if row.server != self.0.me || row.told {
            return Ok(());
        }
        match Live::of(&kept, &self.types()) {
            Ok(live) if row.ended_ms.is_some() => carry::finish(self, &live).await,
            Ok(live) => self.launch(live, None),
            Err(error) => {
                tracing::error!(run = %id, error, "a run cannot be read, and is left as it is");
            }
        }
        Ok(())
    }

    async fn tidy(&self) -> Result<(), RunRowsError> {
        self.0.places.tidy();
        let rows = &self.0.rows;
        for id in rows.mine(self.0.me).await? {
            if self.live(&id.0).is_some() {
                continue;
            }
            let Some(row) = rows.row(&id.0).await? else {
                continue;
            };
            // It may have ended since, or begun just now. Whoever carries it out all the same is fenced by the new epoch.
            let orphan = row.ended_ms.is_none() && self.live(&id.0).is_none();
            if !orphan || rows.retake(&id, row.epoch, self.0.me).await? {
                self.resume(&id).await?;
            }
        }
        let before_ms = (self.0.clock)().saturating_sub(self.0.kept.1.as_millis() as u64);
        while rows.trim(before_ms, self.0.kept.0).await? == AT_ONCE {}
        Ok(())
    }

    fn count(&self) {
        let mut states = [0_usize; 3];
        for live in &self.0.live {
            match live.phase() {
                RunState::Queued => states[0] += 1,
                RunState::Running => states[1] += 1,
                RunState::Compensating => states[2] += 1,
                RunState::Succeeded | RunState::Failed | RunState::Cancelled => {}
            }
        }
        self.0.metrics.runs(states);
    }
}
