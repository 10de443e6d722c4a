//! A type of step as the runner meets it: what it is called with, and what comes of it.

use std::sync::Arc;

use futures::future::BoxFuture;
use kg_core::model::{Object, Value};
use kg_core::nexus::{Failure, StepType};

use crate::auth::Caller;
use crate::events::Events;
use crate::rpc::Context;

/// Carries out the steps of one type. Adding one is one file in `steps/` and a line in its list.
pub trait StepProvider: Send + Sync {
    /// What definitions are held against.
    fn about(&self) -> &'static StepType;

    /// One attempt. Dropping the future ends it: the runner does so at the attempt's timeout, and when the run is cancelled.
    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>>;
}

/// One attempt of a step, or of its compensation.
pub struct StepCall<'a> {
    /// The run.
    pub run: &'a RunInfo,
    /// The id of the step.
    pub step: Arc<str>,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The same for all attempts, also after a restart: by it whoever is called knows a repetition.
    pub key: Arc<str>,
    /// `service/name`, `pattern/name`, or empty.
    pub target: &'a str,
    /// As the step says.
    pub action: &'a str,
    /// The parameters, with their references filled in.
    pub parameters: Object,
    /// Milliseconds that are left of the attempt.
    pub timeout_ms: u64,
    /// When the first attempt began, in milliseconds since 1970.
    pub started_ms: u64,
    /// The run's owner, as they are now.
    pub caller: Caller,
    /// What a step may use.
    pub world: &'a World,
    /// Elements of the step's list that are done already.
    pub items: Vec<(u32, Value)>,
    /// Runs other runs, and keeps what is done of a list.
    pub host: &'a dyn StepHost,
}

/// What is the same for all steps of a run.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// Its id.
    pub id: Arc<str>,
    /// The name of its pattern.
    pub pattern: Arc<str>,
    /// What it and its events are found by.
    pub correlation: Arc<str>,
    /// The revision of the graph at which it began.
    pub graph_revision: u64,
    /// The place of the next event when it began.
    pub event_offset: u64,
    /// How many runs it is within.
    pub depth: u32,
}

/// What steps may use.
#[derive(Clone)]
pub struct World {
    /// The graph: the real one, or a copy where a run is replayed.
    pub graph: Arc<Context>,
    /// The log of events.
    pub events: Events,
}

/// What only the runner can do for a step.
pub trait StepHost: Send + Sync {
    /// The run's owner, as they are at this moment. For a step that takes long; [`StepCall::caller`] is as they were at its start.
    fn owner(&self) -> BoxFuture<'_, Result<Caller, Failure>>;

    /// Makes it durable that an element of the step's list is done.
    fn item_done(&self, index: u32, result: Value) -> BoxFuture<'_, Result<(), Failure>>;

    /// Begins a run within this one, or finds the one that was begun with this name before, and waits for its end. Its outputs.
    fn child<'a>(
        &'a self,
        name: &'a str,
        pattern: &'a str,
        inputs: Object,
    ) -> BoxFuture<'a, Result<Object, Failure>>;

    /// Carries out one element's step of a list: the step as an object of `type`, `target`, `action`, `parameters`.
    fn inner<'a>(
        &'a self,
        index: u32,
        step: &'a Object,
        parameters: Object,
    ) -> BoxFuture<'a, Result<Value, Failure>>;
}
