//! The task of a run: asks it what to do, writes that down, does it, and tells the run what came of it.
//!
//! There are two folds of a run. The task's own is ahead: it takes in each line as it is made. The one that others see takes in
//! a line when that is durable. What has happened, or was decided, is durable before anything follows from it; that an attempt
//! begins is handed over before it does, and not waited for. So a chain of steps costs one wait for each of them.
//!
//! A write that finds another epoch ends the task where it is, without a word: the run is somebody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt as _};
use kg_core::model::Object;
use kg_core::nexus::{Command, Failure, Line, Run, RunState, StepState, What};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tonic::Code;

use super::super::failure;
use super::super::places::Place;
use super::super::rows::{Append, Appending, Cancel, Fenced};
use super::super::step::RunInfo;
use super::attempt::{Attempt, Begin, Outcome};
use super::host::Item;
use super::live::Live;
use super::{Runs, random};

/// Elements of lists that may wait to be written.
const ITEMS: usize = 64;

/// How long a class's place is waited for before it is looked whether the step is still to begin.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Why a task ends before its run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The server ends. Whoever has the run next goes on with it.
    Leaving,
    /// Somebody else has it.
    Fenced,
    /// What is kept of it is not what it should be.
    Broken,
}

impl From<Fenced> for Stop {
    fn from(fenced: Fenced) -> Self {
        match fenced {
            Fenced::MovedOn => Self::Fenced,
            Fenced::Closed => Self::Leaving,
            Fenced::Broken => Self::Broken,
        }
    }
}

/// Carries a run out, to its end or as far as it is ours.
pub(super) async fn carry_out(runs: &Runs, live: &Arc<Live>) {
    let mut carrier = Carrier::new(runs, live);
    match carrier.run().await {
        Ok(()) => finish(runs, live).await,
        Err(Stop::Leaving) => {}
        Err(Stop::Fenced) => {
            tracing::info!(run = %live.id, "another server carries this run out now");
            runs.0.metrics.run_fenced();
        }
        Err(Stop::Broken) => tracing::error!(run = %live.id, "a run cannot go on"),
    }
}

/// Ends what a run that has ended left behind, and has its end told.
pub(super) async fn finish(runs: &Runs, live: &Live) {
    let run = live.fold();
    if run.state() != RunState::Succeeded && may_have_children(&run) {
        // Those that cannot be reached now end with their own time.
        let children = runs.0.rows.children(&live.id.0).await;
        for child in children.unwrap_or_default() {
            let cancel = Cancel {
                actor: live.about.actor.clone(),
                reason: format!("the run {} has ended", live.id).into(),
            };
            let _ = runs.cancel(&child, cancel).await;
        }
    }
    runs.announce_end(live);
}

fn may_have_children(run: &Run) -> bool {
    let kinds = ["pattern", "map"];
    run.plan()
        .steps
        .iter()
        .any(|step| kinds.contains(&step.call.kind.name))
}

/// Fails a run whose task had a bug.
pub(super) async fn give_up(runs: &Runs, live: &Arc<Live>) {
    let Ok(Some(kept)) = runs.0.rows.get(&live.id.0).await else {
        return;
    };
    let Ok(now) = Live::of(&kept, &runs.types()) else {
        return;
    };
    if kept.row.epoch != live.epoch || kept.row.ended_ms.is_some() {
        return;
    }
    let ended = What::RunEnded {
        state: RunState::Failed,
        failure: Some(failure::of(
            Code::Internal,
            "a bug ended the run; the server's log tells more",
        )),
        outputs: Object::new(),
    };
    let mut run = now.fold();
    let line = run.line(live.epoch, (runs.0.clock)(), ended);
    if run.apply(&line).is_err() {
        return;
    }
    let append = Append {
        run: live.key,
        epoch: live.epoch,
        seq: line.seq,
        lines: vec![line.encode()],
        now: Live::progress(&run),
    };
    if let Ok(appending) = runs.0.rows.append(append).await
        && appending.durable().await.is_ok()
        && now.show(&line).is_ok()
    {
        finish(runs, &now).await;
    }
}

struct Carrier<'a> {
    runs: &'a Runs,
    live: &'a Arc<Live>,
    info: Arc<RunInfo>,
    run: Run,
    cancels: watch::Receiver<Option<Cancel>>,
    /// Whether a line says so already.
    cancelled: bool,
    ending: watch::Receiver<bool>,
    /// Lines that are made and not handed over.
    made: Vec<Line>,
    /// Lines that are handed over, in their order, and who waits for them.
    writing: FuturesOrdered<BoxFuture<'static, (Result<(), Fenced>, Handed)>>,
    attempts: JoinSet<Outcome>,
    under_way: HashMap<Id, Under>,
    items: (mpsc::Sender<Item>, mpsc::Receiver<Item>),
    /// Steps that wait for a place of their class, and those that have one.
    waiting: FuturesUnordered<BoxFuture<'static, (usize, Option<OwnedSemaphorePermit>)>>,
    asked_for: HashMap<usize, Option<OwnedSemaphorePermit>>,
    wake_at: Option<u64>,
}

/// Who waits for an element of a list to be durable.
type Waiter = oneshot::Sender<Result<(), Failure>>;

#[derive(Default)]
struct Handed {
    lines: Vec<Line>,
    waiters: Vec<Waiter>,
}

/// An attempt that is under way.
struct Under {
    step: usize,
    attempt: u32,
    undo: bool,
    kind: &'static str,
    task: AbortHandle,
    cut: Arc<AtomicBool>,
}

impl<'a> Carrier<'a> {
    fn new(runs: &'a Runs, live: &'a Arc<Live>) -> Self {
        let about = &live.about;
        let info = RunInfo {
            id: live.id.0.clone(),
            pattern: about.pattern.clone(),
            correlation: about.correlation.clone(),
            graph_revision: about.graph_revision,
            event_offset: about.event_offset,
            depth: about.depth,
        };
        Self {
            runs,
            live,
            info: Arc::new(info),
            run: live.fold(),
            cancels: live.cancels(),
            cancelled: live.is_cancelled(),
            ending: runs.0.ending.subscribe(),
            made: Vec::new(),
            writing: FuturesOrdered::new(),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            items: mpsc::channel(ITEMS),
            waiting: FuturesUnordered::new(),
            asked_for: HashMap::new(),
            wake_at: None,
        }
    }

    async fn run(&mut self) -> Result<(), Stop> {
        if self.live.epoch > 1 {
            let server = self.runs.0.me.to_string().into();
            self.make(What::TakenOver { server })?;
        }
        let _place = self.place().await?;
        loop {
            let begins = self.decide()?;
            if begins.is_empty() && self.run.state().has_ended() {
                self.hand_over().await?;
                self.durable().await?;
                self.count_end();
                return Ok(());
            }
            // That an attempt begins need not be durable before it does; what it follows from must be.
            let waits = self.made.iter().any(|line| !is_start(&line.what));
            self.hand_over().await?;
            if waits {
                self.durable().await?;
            }
            for begin in begins {
                self.begin(begin);
            }
            self.wait().await?;
        }
    }

    /// Waits for the run's turn, unless somebody wants it to end.
    async fn place(&mut self) -> Result<Option<Place>, Stop> {
        let mut place = None;
        if self.live.about.depth == 0 {
            self.hand_over().await?;
            let (cancels, ending) = (&mut self.cancels, &mut self.ending);
            let most = self.live.max_runs();
            tokio::select! {
                biased;
                () = begun(ending) => return Err(Stop::Leaving),
                () = asked(cancels) => {}
                got = self.runs.0.places.run(&self.live.about.pattern, most) => place = Some(got),
            }
        }
        self.take_cancel()?;
        if self.run.state() == RunState::Queued && self.run.failure().is_none() {
            self.make(What::RunStarted)?;
        }
        if let Some(began_ms) = self.run.began_ms() {
            self.runs.announce_start(self.live, began_ms);
        }
        Ok(place)
    }

    fn take_cancel(&mut self) -> Result<(), Stop> {
        let cancel = self.cancels.borrow_and_update().clone();
        match cancel {
            Some(cancel) if !self.cancelled && !self.run.state().has_ended() => {
                self.cancelled = true;
                self.make(What::CancelAsked {
                    actor: cancel.actor,
                    reason: cancel.reason,
                })
            }
            _ => Ok(()),
        }
    }

    /// Makes a line, and takes it in.
    fn make(&mut self, what: What) -> Result<(), Stop> {
        let line = self.run.line(self.live.epoch, (self.runs.0.clock)(), what);
        self.run.apply(&line).map_err(|error| {
            tracing::error!(run = %self.live.id, %error, "a run decided what cannot be");
            Stop::Broken
        })?;
        self.made.push(line);
        Ok(())
    }

    /// Decides all that can be decided now, and returns the attempts that are to begin.
    fn decide(&mut self) -> Result<Vec<Begin>, Stop> {
        let mut begins: Vec<Begin> = Vec::new();
        loop {
            // A step that waits for a place of its class keeps no other from beginning.
            let held = |step: usize| matches!(self.asked_for.get(&step), Some(None));
            let next = self.run.next_without((self.runs.0.clock)(), &held);
            let mut took = false;
            for command in next.commands {
                match command {
                    Command::Write(what) => self.make(what)?,
                    Command::Cut { step } => {
                        begins.retain(|begin| begin.step != step);
                        self.cut(step);
                    }
                    Command::Start {
                        step,
                        attempt,
                        parameters,
                        timeout_ms,
                        key,
                    } => {
                        let Some(place) = self.class_place(step) else {
                            continue;
                        };
                        self.make(What::StepStarted { step, attempt })?;
                        begins.push(Begin {
                            step,
                            attempt,
                            undo: false,
                            parameters,
                            timeout_ms,
                            key,
                            place,
                        });
                    }
                    Command::Undo {
                        step,
                        attempt,
                        parameters,
                        timeout_ms,
                        key,
                    } => {
                        self.make(What::CompensationStarted { step, attempt })?;
                        begins.push(Begin {
                            step,
                            attempt,
                            undo: true,
                            parameters,
                            timeout_ms,
                            key,
                            place: None,
                        });
                    }
                }
                took = true;
            }
            if !took {
                self.wake_at = next.wake_at;
                return Ok(begins);
            }
        }
    }

    /// A place of a step's class, if it has one or needs none; otherwise it is waited for.
    fn class_place(&mut self, step: usize) -> Option<Option<OwnedSemaphorePermit>> {
        let Some(class) = self.run.plan().steps[step].class.clone() else {
            return Some(None);
        };
        let most = self.live.class_limit(&class);
        let places = self
            .runs
            .0
            .places
            .class(&self.live.about.pattern, &class, most);
        match self.asked_for.get_mut(&step) {
            Some(place @ Some(_)) => {
                let place = place.take();
                self.asked_for.remove(&step);
                Some(place)
            }
            Some(None) => None,
            None => match places.clone().try_acquire_owned() {
                Ok(place) => Some(Some(place)),
                Err(_) => {
                    self.asked_for.insert(step, None);
                    let waiting = async move { (step, places.acquire_owned().await.ok()) };
                    self.waiting.push(waiting.boxed());
                    None
                }
            },
        }
    }

    /// Hands the lines over that were made.
    async fn hand_over(&mut self) -> Result<(), Stop> {
        let lines = std::mem::take(&mut self.made);
        self.hand(lines, Vec::new()).await
    }

    async fn hand(&mut self, lines: Vec<Line>, waiters: Vec<Waiter>) -> Result<(), Stop> {
        let Some(first) = lines.first() else {
            return Ok(());
        };
        let append = Append {
            run: self.live.key,
            epoch: self.live.epoch,
            seq: first.seq,
            lines: lines.iter().map(Line::encode).collect(),
            now: Live::progress(&self.run),
        };
        let handing = self.runs.0.rows.append(append);
        let appending: Appending = tokio::select! {
            handed = handing => handed.map_err(|_| Stop::Leaving)?,
            () = begun(&mut self.ending) => return Err(Stop::Leaving),
        };
        let handed = Handed { lines, waiters };
        self.writing
            .push_back(async move { (appending.durable().await, handed) }.boxed());
        Ok(())
    }

    /// Waits until all that was handed over is durable, and shows it.
    async fn durable(&mut self) -> Result<(), Stop> {
        while !self.writing.is_empty() {
            tokio::select! {
                Some((written, handed)) = self.writing.next() => self.show(written, handed)?,
                () = begun(&mut self.ending) => return Err(Stop::Leaving),
            }
        }
        Ok(())
    }

    fn show(&self, written: Result<(), Fenced>, handed: Handed) -> Result<(), Stop> {
        written?;
        for line in &handed.lines {
            self.live.show(line).map_err(|error| {
                tracing::error!(run = %self.live.id, %error, "a run was written as it cannot be");
                Stop::Broken
            })?;
        }
        for waiter in handed.waiters {
            let _ = waiter.send(Ok(()));
        }
        Ok(())
    }

    /// Waits until something has happened, and takes it in.
    async fn wait(&mut self) -> Result<(), Stop> {
        let wake = self.wake_at.map(|at_ms| {
            let left = Duration::from_millis(at_ms.saturating_sub((self.runs.0.clock)()));
            Instant::now() + left.min(LONGEST_SLEEP)
        });
        let (cancels, ending) = (&mut self.cancels, &mut self.ending);
        tokio::select! {
            () = begun(ending) => return Err(Stop::Leaving),
            Some(ended) = self.attempts.join_next_with_id() => self.ended(ended)?,
            Some((written, handed)) = self.writing.next() => self.show(written, handed)?,
            Some(item) = self.items.1.recv() => self.item(item).await?,
            Some((step, place)) = self.waiting.next() => {
                self.asked_for.insert(step, place);
            }
            _ = cancels.changed() => self.take_cancel()?,
            () = at(wake) => {}
        }
        // Whatever else has ended meanwhile shares the next write.
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.ended(ended)?;
        }
        self.let_go_of_places();
        Ok(())
    }

    /// Places of a class of steps that have ended before they began.
    fn let_go_of_places(&mut self) {
        if self.asked_for.is_empty() {
            return;
        }
        let steps = self.run.steps();
        let ending = self.run.failure().is_some();
        // A run that is ending begins nothing any more but what was under way when it was taken over.
        let begins = |step: usize| {
            let status = &steps[step];
            status.ended_ms.is_none() && (!ending || status.state == StepState::Running)
        };
        self.asked_for
            .retain(|step, place| place.is_none() || begins(*step));
    }

    async fn item(&mut self, item: Item) -> Result<(), Stop> {
        let status = &self.run.steps()[item.step];
        let counts = status.attempts == item.attempt && status.ended_ms.is_none();
        if !counts || self.run.state() != RunState::Running {
            return Ok(());
        }
        let what = match self.run.item(item.step, item.index, item.result) {
            Ok(what) => what,
            Err(failure) => {
                let _ = item.durable.send(Err(failure));
                return Ok(());
            }
        };
        self.hand_over().await?;
        self.make(what)?;
        let lines = std::mem::take(&mut self.made);
        self.hand(lines, vec![item.durable]).await
    }

    fn begin(&mut self, begin: Begin) {
        let plan = self.run.plan().clone();
        let planned = &plan.steps[begin.step];
        let call = match &planned.undo {
            Some((call, _)) if begin.undo => call,
            _ => &planned.call,
        };
        let (kind, step, attempt, undo) = (call.kind.name, begin.step, begin.attempt, begin.undo);
        let (target, action) = (call.target.clone(), call.action.clone());
        let status = &self.run.steps()[step];
        let now_ms = (self.runs.0.clock)();
        let cut = Arc::new(AtomicBool::new(false));
        let attempted = Attempt {
            runs: self.runs.clone(),
            info: self.info.clone(),
            owner: self.live.about.owner.clone(),
            actor: self.live.about.actor.clone(),
            kind,
            target,
            action,
            step_id: planned.id.clone(),
            started_ms: if undo {
                now_ms
            } else {
                status.started_ms.unwrap_or(now_ms)
            },
            items: if undo {
                Vec::new()
            } else {
                status
                    .items
                    .iter()
                    .map(|(index, item)| (*index, item.clone()))
                    .collect()
            },
            done: self.items.0.clone(),
            cut: cut.clone(),
            begin,
        };
        let task = self.attempts.spawn(attempted.run());
        let under = Under {
            step,
            attempt,
            undo,
            kind,
            task: task.clone(),
            cut,
        };
        self.under_way.insert(task.id(), under);
    }

    fn cut(&mut self, step: usize) {
        for under in self.under_way.values().filter(|under| under.step == step) {
            // Release: pairs with the Acquire of what is dropped with the attempt.
            under.cut.store(true, Ordering::Release);
            under.task.abort();
        }
    }

    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) -> Result<(), Stop> {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) if error.is_panic() => {
                tracing::error!(run = %self.live.id, %error, "a bug ended an attempt of a step");
                let what = "a bug ended the attempt; the server's log tells more";
                (error.id(), Err(failure::of(Code::Internal, what)))
            }
            // It was cut, and its line is made.
            Err(error) => {
                self.under_way.remove(&error.id());
                return Ok(());
            }
        };
        let Some(under) = self.under_way.remove(&id) else {
            return Ok(());
        };
        let told = outcome
            .as_ref()
            .err()
            .map_or("OK", |failure| &*failure.code);
        self.runs
            .0
            .metrics
            .step_ended(under.kind, failure::known(told));
        let now_ms = (self.runs.0.clock)();
        let what = if under.undo {
            self.run
                .undo_outcome(under.step, under.attempt, outcome, now_ms, random())
        } else {
            self.run
                .outcome(under.step, under.attempt, outcome, now_ms, random())
        };
        what.map_or(Ok(()), |what| self.make(what))
    }

    fn count_end(&self) {
        let took = self.run.ended_ms().unwrap_or_default();
        let took = Duration::from_millis(took.saturating_sub(self.live.about.created_ms));
        let state = match self.run.state() {
            RunState::Succeeded => "succeeded",
            RunState::Cancelled => "cancelled",
            _ => "failed",
        };
        self.runs.0.metrics.run_ended(state, took);
    }
}

fn is_start(what: &What) -> bool {
    matches!(
        what,
        What::StepStarted { .. } | What::CompensationStarted { .. }
    )
}

/// Returns when the server ends.
async fn begun(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

/// Returns when somebody wants the run to end.
async fn asked(cancels: &mut watch::Receiver<Option<Cancel>>) {
    let _ = cancels.wait_for(Option::is_some).await;
}

async fn at(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
