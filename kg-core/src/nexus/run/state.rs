//! Where a run is, and how each of its steps is doing.
//!
//! Steps that can be decided or begun are kept in sets, ordered by their ids, so that neither a line nor a question costs a look
//! at every step. Only a run that is ending is looked through, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::journal::{Failure, Line, What};
use super::super::plan::{Plan, PlannedStep};
use super::super::state::{RunState, StepState};
use crate::model::{Object, Value};

/// What a run is begun with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFacts {
    /// Its id.
    pub id: Arc<str>,
    /// What it was given, with defaults: see [`Plan::inputs`].
    pub inputs: Object,
    /// By whom it was begun.
    pub actor: Arc<str>,
    /// What it and its events are found by.
    pub correlation: Arc<str>,
    /// The revision of the graph at which it was begun.
    pub graph_revision: u64,
    /// When it was begun, in milliseconds since 1970.
    pub started_ms: u64,
}

/// One execution of a plan.
#[derive(Clone, Debug)]
pub struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) facts: RunFacts,
    pub(super) state: RunState,
    pub(super) steps: Vec<StepStatus>,
    /// Of the last line.
    pub(super) seq: u32,
    pub(super) time_ms: u64,
    pub(super) epoch: u32,
    /// When it had a place and its steps began.
    pub(super) began_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    /// Why it does not go on.
    pub(super) ending: Option<Ending>,
    /// Whether somebody wants it to end: what is under way is cut.
    pub(super) cancelled: bool,
    pub(super) outputs: Object,
    /// Bytes of results, and of elements of lists of steps that are under way.
    pub(super) kept_bytes: usize,

    /// Steps that will not run, by rank: lines that are still to be written.
    pub(super) decided: BTreeMap<usize, Decision>,
    /// Steps that only need room, by rank.
    pub(super) ready: BTreeSet<usize>,
    /// Steps whose attempt was under way when the run was taken over, by rank.
    pub(super) again: BTreeSet<usize>,
    /// Steps that are tried again, by when and rank.
    pub(super) due: BTreeSet<(u64, usize)>,
    /// Attempts under way in this epoch.
    pub(super) under_way: usize,
    /// Steps that have neither ended nor an attempt that began and has not ended.
    pub(super) idle: usize,
    /// Steps that have not ended.
    pub(super) unsettled: usize,
    /// Steps that succeeded and can be undone, in the order of their success; what is undone is taken off the end.
    pub(super) undo: Vec<usize>,
    /// When the last of them is tried again.
    pub(super) undo_at_ms: Option<u64>,
}

/// How a step is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepStatus {
    /// In one word.
    pub state: StepState,
    /// Attempts that have begun.
    pub attempts: u32,
    /// What it gave, if it has succeeded.
    pub result: Option<Value>,
    /// Why its last attempt failed.
    pub failure: Option<Failure>,
    /// Why it was skipped.
    pub why: Option<Arc<str>>,
    /// When its first attempt began.
    pub started_ms: Option<u64>,
    /// When it ended, its compensation apart.
    pub ended_ms: Option<u64>,
    /// When the next attempt begins, where one waits.
    pub retry_at_ms: Option<u64>,
    /// Attempts to undo it that have begun.
    pub undo_attempts: u32,
    /// Why the last attempt to undo it failed.
    pub undo_failure: Option<Failure>,
    /// Elements of its list that are done, while it is under way.
    pub items: BTreeMap<u32, Value>,
    /// Whether an attempt of it, or to undo it, is under way in this epoch.
    pub(super) under_way: bool,
    /// Dependencies that have not settled.
    pub(super) waits_for: usize,
    /// Dependencies that have succeeded.
    pub(super) succeeded: usize,
}

/// Why a run does not go on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ending {
    pub(super) state: RunState,
    pub(super) failure: Failure,
    /// The step whose failure it was.
    pub(super) step: Option<usize>,
}

/// What was found out about a step that does not run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    Skip(Arc<str>),
    Fail(Failure),
}

impl Run {
    /// A run that has not begun.
    #[must_use]
    pub fn begin(plan: Arc<Plan>, facts: RunFacts) -> Self {
        let status = |step: &PlannedStep| StepStatus {
            waits_for: step.depends_on.len(),
            ..StepStatus::default()
        };
        let steps: Vec<StepStatus> = plan.steps.iter().map(status).collect();
        Self {
            idle: steps.len(),
            unsettled: steps.len(),
            steps,
            plan,
            facts,
            state: RunState::Queued,
            seq: 0,
            time_ms: 0,
            epoch: 0,
            began_ms: None,
            ended_ms: None,
            ending: None,
            cancelled: false,
            outputs: Object::new(),
            kept_bytes: 0,
            decided: BTreeMap::new(),
            ready: BTreeSet::new(),
            again: BTreeSet::new(),
            due: BTreeSet::new(),
            under_way: 0,
            undo: Vec::new(),
            undo_at_ms: None,
        }
    }

    /// The line that says `what`, as the next of this run. A clock that went back does not take it with it.
    #[must_use]
    pub fn line(&self, epoch: u32, now_ms: u64, what: What) -> Line {
        Line {
            seq: self.seq + 1,
            time_ms: now_ms.max(self.time_ms),
            epoch,
            what,
        }
    }

    /// What it carries out.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What it was begun with.
    #[must_use]
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// How it is doing.
    #[must_use]
    pub fn state(&self) -> RunState {
        self.state
    }

    /// How its steps are doing, by index.
    #[must_use]
    pub fn steps(&self) -> &[StepStatus] {
        &self.steps
    }

    /// How many steps have ended.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.steps.len() - self.unsettled
    }

    /// Attempts of steps that are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Why it failed or was cancelled, or is about to.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.ending.as_ref().map(|ending| &ending.failure)
    }

    /// What it gave back, if it has succeeded.
    #[must_use]
    pub fn outputs(&self) -> &Object {
        &self.outputs
    }

    /// The number of its last line; 0: it has none.
    #[must_use]
    pub fn last_seq(&self) -> u32 {
        self.seq
    }

    /// The epoch of its last line.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// When its steps began.
    #[must_use]
    pub fn began_ms(&self) -> Option<u64> {
        self.began_ms
    }

    /// When it ended.
    #[must_use]
    pub fn ended_ms(&self) -> Option<u64> {
        self.ended_ms
    }

    /// The key by which whoever is called for a step knows a repetition.
    #[must_use]
    pub fn key(&self, step: usize) -> Arc<str> {
        let id = self.plan.steps.get(step).map_or("", |step| &*step.id);
        format!("{}/{id}", self.facts.id).into()
    }

    /// The same, for undoing it.
    #[must_use]
    pub fn undo_key(&self, step: usize) -> Arc<str> {
        format!("{}/undo", self.key(step)).into()
    }

    /// When its time is over.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let began = self.began_ms?;
        Some(began.saturating_add(self.plan.timeout_ms))
    }

    /// When the time of a step that has begun is over.
    pub(super) fn step_deadline_ms(&self, step: usize) -> Option<u64> {
        let total = self.plan.steps[step].total_timeout_ms;
        let started = self.steps[step].started_ms.filter(|_| total > 0)?;
        Some(started.saturating_add(total))
    }
}
