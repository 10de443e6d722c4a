//! What a server does for its runs besides carrying them out: it says once a second that it lives, goes on with runs that nobody
//! carries out, lets go of those that are somebody else's by now, and forgets old ones.
//!
//! Saying that it lives is a task of its own: to take over ten thousand runs takes longer than others wait for a word.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kg_core::nexus::RunState;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::rows::{AT_ONCE, LEASE, RunId, RunKey, RunRowsError};
use super::live::Live;
use super::{Runs, carry, lock};

/// How often a server says that it lives, and looks for runs that nobody carries out.
const BEAT: Duration = Duration::from_secs(1);

/// How often it compares the runs that it has with those that are its own, and looks for those that are kept no longer.
const TIDY: Duration = Duration::from_secs(10);

/// Runs of this server that cannot be read, and why: told once, and not taken up again by this process.
type Damaged = HashMap<RunId, RunRowsError>;

/// Both tasks of the keeper, each of which may find that the rows cannot be reached.
#[derive(Clone, Copy)]
enum Part {
    Living,
    Looking,
}

impl Runs {
    /// Keeps doing so.
    pub(super) async fn keep(self) {
        // Once before anything is taken over: from whoever has not said that they live others take it at once.
        self.note(Part::Living, self.beat().await);
        tokio::join!(self.say_that_it_lives(), self.look_after_runs());
    }

    async fn say_that_it_lives(&self) {
        let mut beat = ticks();
        loop {
            beat.tick().await;
            self.note(Part::Living, self.beat().await);
            self.count();
        }
    }

    async fn look_after_runs(&self) {
        let mut beat = ticks();
        let mut tidied = Instant::now();
        let mut damaged = Damaged::new();
        loop {
            beat.tick().await;
            let mut done = self.adopt(&mut damaged).await;
            if done.is_ok() && tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                done = self.tidy(&mut damaged).await;
            }
            self.0.metrics.runs_damaged(damaged.len());
            let damage = damaged.values().next().cloned();
            self.note(
                Part::Looking,
                done.and_then(|()| damage.map_or(Ok(()), Err)),
            );
        }
    }

    fn note(&self, part: Part, done: Result<(), RunRowsError>) {
        let fault = done.err().map(|error| error.to_string());
        if let Some(error) = &fault {
            tracing::debug!(error, "the runs of others are not known now");
        }
        let mut faults = lock(&self.0.faults);
        faults[part as usize] = fault;
        let fails = faults.iter().any(Option::is_some);
        drop(faults);
        self.0.metrics.degraded("runs", fails);
    }

    async fn beat(&self) -> Result<(), RunRowsError> {
        let cancels = self.0.rows.beat(self.0.me).await?.cancels;
        if cancels.is_empty() {
            return Ok(());
        }
        let all: HashMap<RunKey, Arc<Live>> = self
            .carried_now()
            .into_iter()
            .map(|live| (live.key, live))
            .collect();
        for (key, cancel) in cancels {
            if let Some(live) = all.get(&key) {
                live.cancel(cancel);
            }
        }
        Ok(())
    }

    async fn adopt(&self, damaged: &mut Damaged) -> Result<(), RunRowsError> {
        loop {
            let adopted = self.0.rows.adopt(self.0.me, LEASE).await?;
            self.0.metrics.runs_adopted(adopted.len());
            self.resume_all(&adopted, damaged).await?;
            if adopted.len() < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Goes on with each of these. One that is damaged keeps no other from that.
    async fn resume_all(&self, ids: &[RunId], damaged: &mut Damaged) -> Result<(), RunRowsError> {
        for id in ids {
            match self.resume(id).await {
                Err(error @ RunRowsError::Broken(_)) => {
                    tracing::error!(run = %id, %error, "a run cannot be read, and is left as it is");
                    damaged.insert(id.clone(), error);
                }
                resumed => resumed?,
            }
        }
        Ok(())
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
            Err(error) => return Err(RunRowsError::Broken(error)),
        }
        Ok(())
    }

    /// Goes on with runs of mine that no task has, and ends tasks whose run is not mine any more.
    async fn tidy(&self, damaged: &mut Damaged) -> Result<(), RunRowsError> {
        self.0.places.tidy();
        let rows = &self.0.rows;
        let mine = rows.mine(self.0.me).await?;
        let known: HashSet<&RunId> = mine.iter().collect();
        damaged.retain(|id, _| known.contains(id));
        for live in self.carried_now() {
            if !known.contains(&live.id) {
                self.let_go_of(&live).await?;
            }
        }
        let mut orphans = Vec::new();
        for id in &mine {
            if damaged.contains_key(id) || self.live(&id.0).is_some() {
                continue;
            }
            let Some(row) = rows.row(&id.0).await? else {
                continue;
            };
            // It may have ended since, or begun just now. Whoever carries it out all the same is fenced by the new epoch.
            let orphan = row.ended_ms.is_none() && self.live(&id.0).is_none();
            if !orphan || rows.retake(id, row.epoch, self.0.me).await? {
                orphans.push(id.clone());
            }
        }
        self.resume_all(&orphans, damaged).await?;
        let before_ms = (self.0.clock)().saturating_sub(self.0.kept.1.as_millis() as u64);
        while rows.trim(before_ms, self.0.kept.0).await? == AT_ONCE {}
        Ok(())
    }

    /// Ends the task of a run that another server has taken over. Its next write would end it too; but one that waits for an event
    /// may not write for days, would show what is long past, and keep a place.
    async fn let_go_of(&self, live: &Arc<Live>) -> Result<(), RunRowsError> {
        let row = self.0.rows.row(&live.id.0).await?;
        if row.is_some_and(|row| row.server == self.0.me && row.epoch <= live.epoch) {
            return Ok(());
        }
        let this = |_: &RunId, now: &Arc<Live>| now.epoch == live.epoch;
        // Out of the table first: whoever follows it looks there when they are told that its task has ended.
        if self.0.live.remove_if(&live.id, this).is_some() {
            tracing::info!(run = %live.id, "another server carries this run out now");
            self.0.metrics.run_fenced();
            live.stop();
        }
        Ok(())
    }

    /// Copied out: no guard of the table is held while the rows are asked.
    fn carried_now(&self) -> Vec<Arc<Live>> {
        let all = self.0.live.iter();
        all.map(|live| live.value().clone()).collect()
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

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
