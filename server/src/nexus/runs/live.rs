//! A run that this process has: what it carries out, and how far it is as far as that is durable.

use std::sync::{Arc, Mutex};

use amadeus_proto::v1;
use kg_core::error::{Fault, Refusal};
use kg_core::model::Object;
use kg_core::nexus::{Line, Plan, Run, RunFacts, RunState, StepTypes, WrongLine};
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::super::announcer::News;
use super::super::rows::{About, Cancel, Kept, Progress, RunId, RunKey, RunRow};
use super::lock;
use crate::rpc::{from_proto, to_proto};
use crate::storage::ServerId;

/// A run of this process.
pub struct Live {
    /// Its id.
    pub(super) id: RunId,
    /// Its place in the rows.
    pub(super) key: RunKey,
    /// The epoch under which it is carried out here.
    pub(super) epoch: u32,
    /// What is known of it from its beginning.
    pub(super) about: Arc<About>,
    definition: Arc<v1::Pattern>,
    server: ServerId,
    shown: Mutex<Shown>,
    /// The number of the last line that is shown.
    changed: watch::Sender<u32>,
    cancel: watch::Sender<Option<Cancel>>,
    /// Whether its task has ended.
    left: watch::Sender<bool>,
    task: Mutex<Option<AbortHandle>>,
}

/// What may be told.
struct Shown {
    run: Run,
    lines: Vec<v1::RunLine>,
}

/// What a run is begun with.
pub(super) struct Start {
    pub(super) about: Arc<About>,
    pub(super) definition: v1::Pattern,
    pub(super) inputs: Object,
    plan: Arc<Plan>,
}

/// A run, to be told.
pub struct View {
    /// The run.
    pub run: v1::Run,
    /// Its timeline.
    pub lines: Vec<v1::RunLine>,
    /// What it carries out.
    pub pattern: v1::Pattern,
    /// What is known of it from its beginning.
    pub about: Arc<About>,
}

impl Start {
    /// What a definition comes to: its own faults were told when it was registered.
    pub(super) fn of(
        about: About,
        definition: v1::Pattern,
        types: &StepTypes,
    ) -> Result<Self, String> {
        let spec = from_proto::pattern(&definition).map_err(|fault| fault.to_string())?;
        let plan = Plan::of(&spec, types);
        let plan = plan.map_err(|faults| Refusal::Invalid(faults).to_string())?;
        Ok(Self {
            about: Arc::new(about),
            definition,
            inputs: Object::new(),
            plan: Arc::new(plan),
        })
    }

    /// With what it is given, and defaults for the rest.
    pub(super) fn given(mut self, inputs: &Object) -> Result<Self, Vec<Fault>> {
        self.inputs = self.plan.inputs(inputs)?;
        Ok(self)
    }
}

impl Live {
    pub(super) fn new(
        id: RunId,
        key: RunKey,
        epoch: u32,
        server: ServerId,
        start: Start,
    ) -> Arc<Self> {
        let about = &start.about;
        let facts = RunFacts {
            id: id.0.clone(),
            inputs: start.inputs,
            actor: about.actor.clone(),
            correlation: about.correlation.clone(),
            graph_revision: about.graph_revision,
            started_ms: about.created_ms,
        };
        Arc::new(Self {
            id,
            key,
            epoch,
            about: start.about,
            definition: Arc::new(start.definition),
            server,
            shown: Mutex::new(Shown {
                run: Run::begin(start.plan, facts),
                lines: Vec::new(),
            }),
            changed: watch::Sender::new(0),
            cancel: watch::Sender::new(None),
            left: watch::Sender::new(false),
            task: Mutex::default(),
        })
    }

    /// The fold of what is kept.
    pub(super) fn of(kept: &Kept, types: &StepTypes) -> Result<Arc<Self>, String> {
        let definition = v1::Pattern::decode(&*kept.definition).map_err(|e| e.to_string())?;
        let inputs = prost_types::Struct::decode(&*kept.inputs).map_err(|e| e.to_string())?;
        let inputs = from_proto::object("inputs", Some(&inputs)).map_err(|e| e.to_string())?;
        let row = &kept.row;
        let mut start = Start::of(row.about.clone(), definition, types)?;
        start.inputs = inputs;
        let live = Self::new(row.id.clone(), row.key, row.epoch, row.server, start);
        for line in &kept.lines {
            let line = Line::decode(line).map_err(|e| e.to_string())?;
            live.show(&line).map_err(|e| e.to_string())?;
        }
        live.cancel.send_replace(row.cancel.clone());
        Ok(live)
    }

    /// Takes in a line that is durable.
    pub(super) fn show(&self, line: &Line) -> Result<(), WrongLine> {
        let mut shown = lock(&self.shown);
        shown.run.apply(line)?;
        let told = to_proto::run::line(&shown.run, line);
        shown.lines.push(told);
        drop(shown);
        self.changed.send_replace(line.seq);
        Ok(())
    }

    /// How many runs of its pattern there may be at once; 0: any number.
    pub(super) fn max_runs(&self) -> u32 {
        self.definition.max_runs
    }

    /// How many steps of a class.
    pub(super) fn class_limit(&self, class: &str) -> u32 {
        self.definition.classes.get(class).copied().unwrap_or(1)
    }

    /// Whether its journal says that somebody wants it to end.
    pub(super) fn is_cancelled(&self) -> bool {
        let shown = lock(&self.shown);
        shown
            .lines
            .iter()
            .any(|line| line.what == "run_cancel_asked")
    }

    /// How far it is.
    pub(super) fn fold(&self) -> Run {
        lock(&self.shown).run.clone()
    }

    pub(super) fn phase(&self) -> RunState {
        lock(&self.shown).run.state()
    }

    pub(super) fn view(&self) -> View {
        let shown = lock(&self.shown);
        View {
            run: self.told(&shown, true),
            lines: shown.lines.clone(),
            pattern: (*self.definition).clone(),
            about: self.about.clone(),
        }
    }

    /// The same, of a run that is somebody else's, or nobody's any more.
    pub(super) fn view_at(&self, row: &RunRow) -> View {
        let mut view = self.view();
        view.run.server = to_proto::run::server(row.server, row.ended_ms.is_some());
        view
    }

    /// At most so many lines from a number on, the run after all of them, and whether they reach its end.
    pub(super) fn since(&self, seq: u32, limit: usize) -> (Vec<v1::RunLine>, v1::Run, bool) {
        let shown = lock(&self.shown);
        let first = (seq.saturating_sub(1) as usize).min(shown.lines.len());
        let last = (first + limit).min(shown.lines.len());
        let ended = shown.run.state().has_ended() && last == shown.lines.len();
        (
            shown.lines[first..last].to_vec(),
            self.told(&shown, ended),
            ended,
        )
    }

    fn told(&self, shown: &Shown, whole: bool) -> v1::Run {
        let mut run = to_proto::run::run(&self.about, &shown.run, whole);
        run.epoch = self.epoch;
        run.server = to_proto::run::server(self.server, shown.run.state().has_ended());
        run
    }

    /// How the rows are to say it is doing, after all lines of this fold.
    pub(super) fn progress(run: &Run) -> Progress {
        let failure = run.failure();
        Progress {
            state: run.state(),
            steps_done: run.settled() as u32,
            code: failure.map_or_else(|| "".into(), |failure| failure.code.clone()),
            message: failure.map_or_else(|| "".into(), |failure| failure.message.clone()),
            ended_ms: run.ended_ms(),
        }
    }

    /// Its end, to be announced; `None`: it goes on.
    pub(super) fn end(&self) -> Option<News> {
        let shown = lock(&self.shown);
        let what = match shown.run.state() {
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
            RunState::Queued | RunState::Running | RunState::Compensating => return None,
        };
        Some(News {
            id: self.id.clone(),
            ended: Some(self.key),
            what,
            about: self.about.clone(),
            code: shown
                .run
                .failure()
                .map_or_else(|| "".into(), |failure| failure.code.clone()),
            time_ms: shown.run.ended_ms().unwrap_or_default(),
        })
    }

    /// What turns when somebody wants it to end.
    pub(super) fn cancels(&self) -> watch::Receiver<Option<Cancel>> {
        self.cancel.subscribe()
    }

    pub(super) fn cancel(&self, cancel: Cancel) {
        self.cancel.send_if_modified(|now| {
            let first = now.is_none();
            now.get_or_insert(cancel);
            first
        });
    }

    /// Told with each line that is shown.
    pub(super) fn changes(&self) -> watch::Receiver<u32> {
        self.changed.subscribe()
    }

    pub(super) fn carried_by(&self, task: AbortHandle) {
        *lock(&self.task) = Some(task);
    }

    /// Ends its task where it is.
    pub(super) fn stop(&self) {
        if let Some(task) = &*lock(&self.task) {
            task.abort();
        }
        self.left();
    }

    /// Its task has ended.
    pub(super) fn left(&self) {
        self.left.send_replace(true);
    }

    /// Returns when its task has ended.
    pub(super) async fn gone(&self) {
        // The sender lives in `self`, so that waiting cannot fail before that.
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }
}
