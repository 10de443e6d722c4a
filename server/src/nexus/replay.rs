//! Carries the plan of a run out again on a copy of the graph, to see whether the same would come of it.
//!
//! Nothing is changed and nobody is called: what asks and changes the graph does so on a [`Fork`], what only computes computes, and every
//! other step has the outcome that was recorded. Time is the run's own: a pause is over at once. Attempts that were under way together
//! are carried out one after another, in the order in which they had ended, so that the changes come in the order that they had.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kg_core::commit::Held;
use kg_core::model::{Object, Value};
use kg_core::nexus::{
    Command, Difference, Failure, Line, MAP, Run, RunFacts, StepState, StepStatus, What,
};
use tokio::time::timeout;
use tonic::Code;

use super::failure::of;
use super::fork::Fork;
use super::step::{RunInfo, StepCall, StepHost, World};
use super::steps::StepKinds;
use crate::auth::Caller;
use crate::events::Events;
use crate::rpc::Context;

/// How long one step on the copy may take.
const STEP: Duration = Duration::from_secs(30);

/// The type of steps that ask and change the graph.
const GRAPH: &str = "graph";

/// What a replay needs.
pub struct Replay<'a> {
    /// The types of steps.
    pub kinds: &'a StepKinds,
    /// The graph that is copied.
    pub real: &'a Context,
    /// The log of events, which is only handed on.
    pub events: &'a Events,
    /// The state of the graph to begin with.
    pub at: &'a Held,
    /// The run's owner, as they are now.
    pub caller: &'a Caller,
}

impl Replay<'_> {
    /// The run as it would have been. Whoever no longer waits drops the future, and the copy with it.
    ///
    /// # Errors
    /// PERMISSION_DENIED where what the owner may see hangs on who owns what now, and the state is an older one; INTERNAL where the plan and
    /// what was recorded do not fit.
    pub async fn of(&self, recorded: &Run) -> Result<Run, Failure> {
        let head = self.real.graph.revisions().0;
        if self.caller.sees().asks_for_owners() && self.at.revision() != head {
            let why = "what you may see hangs on who owns it now: replay at the head";
            return Err(of(Code::PermissionDenied, why));
        }
        let fork = Fork::of(self.real, self.at);
        let facts = RunFacts {
            graph_revision: self.at.revision(),
            ..recorded.facts().clone()
        };
        let now_ms = recorded.began_ms().unwrap_or(facts.started_ms);
        let mut again = Again {
            info: RunInfo {
                id: facts.id.clone(),
                pattern: recorded.plan().pattern.clone(),
                correlation: facts.correlation.clone(),
                graph_revision: facts.graph_revision,
                event_offset: 0,
                depth: 0,
            },
            run: Run::begin(recorded.plan().clone(), facts),
            world: World {
                graph: fork.context.clone(),
                events: self.events.clone(),
            },
            replay: self,
            recorded,
            now_ms,
        };
        again.write(What::RunStarted)?;
        again.carry_out().await?;
        Ok(again.run)
    }
}

/// What differs between a run and its replay. At which revisions the copy answered says nothing: it counts on from where it began, and
/// nobody else writes to it.
#[must_use]
pub fn differences(recorded: &Run, replayed: &Run) -> Vec<Difference> {
    let told = kg_core::nexus::differences(recorded, replayed);
    let says_where = |path: &str| {
        path.rsplit_once('.').is_some_and(|(header, member)| {
            header.ends_with(".header") && matches!(member, "revision" | "oldest_revision")
        })
    };
    told.into_iter()
        .filter(|one| !says_where(&one.path))
        .collect()
}

/// A run that is carried out again.
struct Again<'a> {
    replay: &'a Replay<'a>,
    recorded: &'a Run,
    run: Run,
    info: RunInfo,
    world: World,
    /// The run's own time.
    now_ms: u64,
}

/// An attempt that has begun.
struct Begun {
    step: usize,
    attempt: u32,
    parameters: Object,
    key: Arc<str>,
    undo: bool,
}

impl Again<'_> {
    async fn carry_out(&mut self) -> Result<(), Failure> {
        while !self.run.state().has_ended() {
            let next = self.run.next(self.now_ms);
            let idle = next.commands.is_empty();
            let mut begun = Vec::new();
            for command in next.commands {
                begun.extend(self.begin(command)?);
            }
            begun.sort_by_key(|one| (self.recorded.steps()[one.step].ended_ms, one.step));
            for one in begun {
                self.attempt(one).await?;
            }
            if idle {
                // Nothing is under way between two rounds, so only time can bring anything.
                self.now_ms = next
                    .wake_at
                    .ok_or_else(|| of(Code::Internal, "the replay stands still"))?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, command: Command) -> Result<Option<Begun>, Failure> {
        let (begun, what) = match command {
            Command::Write(what) => {
                self.write(what)?;
                return Ok(None);
            }
            // Nothing is under way between two rounds.
            Command::Cut { .. } => return Ok(None),
            Command::Start {
                step,
                attempt,
                parameters,
                key,
                ..
            } => {
                let undo = false;
                let begun = Begun {
                    step,
                    attempt,
                    parameters,
                    key,
                    undo,
                };
                (begun, What::StepStarted { step, attempt })
            }
            Command::Undo {
                step,
                attempt,
                parameters,
                key,
                ..
            } => {
                let undo = true;
                let begun = Begun {
                    step,
                    attempt,
                    parameters,
                    key,
                    undo,
                };
                (begun, What::CompensationStarted { step, attempt })
            }
        };
        self.write(what)?;
        Ok(Some(begun))
    }

    async fn attempt(&mut self, one: Begun) -> Result<(), Failure> {
        let (step, attempt) = (one.step, one.attempt);
        let recorded = &self.recorded.steps()[step];
        let ended = if one.undo { None } else { recorded.ended_ms };
        self.now_ms = self.now_ms.max(ended.unwrap_or_default());
        let result = self.outcome(&one, recorded).await;
        let what = if one.undo {
            self.run
                .undo_outcome(step, attempt, result, self.now_ms, 0.0)
        } else {
            self.run.outcome(step, attempt, result, self.now_ms, 0.0)
        };
        what.map_or(Ok(()), |what| self.write(what))
    }

    /// What comes of an attempt: here, if it stays within the graph, else what came of it then.
    async fn outcome(&self, one: &Begun, recorded: &StepStatus) -> Result<Value, Failure> {
        let planned = &self.run.plan().steps[one.step];
        let call = match (&planned.undo, one.undo) {
            (Some((undo, _)), true) => undo,
            _ => &planned.call,
        };
        if !is_carried_out(call.kind.name, call.kind.pure) {
            return if one.undo {
                undone(recorded)
            } else {
                outcome_of(recorded)
            };
        }
        let host = Recorded {
            again: self,
            step: one.step,
            key: one.key.clone(),
        };
        let (target, action) = (&*call.target, &*call.action);
        host.carry_out(
            call.kind.name,
            target,
            action,
            one.parameters.clone(),
            one.key.clone(),
        )
        .await
    }

    fn write(&mut self, what: What) -> Result<(), Failure> {
        let line: Line = self.run.line(1, self.now_ms, what);
        self.run.apply(&line).map_err(|wrong| {
            let why = format!(
                "the replay cannot go on at line {}: {}",
                wrong.seq, wrong.reason
            );
            of(Code::Internal, why)
        })
    }
}

/// Waiting takes the time that it took, and a list is carried out for the sake of its elements.
fn is_carried_out(kind: &str, pure: bool) -> bool {
    kind == GRAPH || kind == MAP || (pure && kind != "wait")
}

fn outcome_of(recorded: &StepStatus) -> Result<Value, Failure> {
    match (&recorded.result, &recorded.failure) {
        (Some(result), _) => Ok(result.clone()),
        (None, Some(failure)) => Err(failure.clone()),
        (None, None) => Err(unknown()),
    }
}

/// What was never undone would have been, as far as anybody knows.
fn undone(recorded: &StepStatus) -> Result<Value, Failure> {
    match &recorded.undo_failure {
        Some(failure) if recorded.state == StepState::CompensationFailed => Err(failure.clone()),
        _ => Ok(Value::Null),
    }
}

fn unknown() -> Failure {
    let why = "the run did not come so far, and nobody knows what would have come of it";
    of(Code::FailedPrecondition, why)
}

/// What the runner does for a step, from what was recorded.
struct Recorded<'a> {
    again: &'a Again<'a>,
    step: usize,
    key: Arc<str>,
}

impl Recorded<'_> {
    async fn carry_out(
        &self,
        kind: &str,
        target: &str,
        action: &str,
        parameters: Object,
        key: Arc<str>,
    ) -> Result<Value, Failure> {
        let again = self.again;
        let gone = || {
            of(
                Code::Unimplemented,
                format!("there is no type of step {kind:?} any more"),
            )
        };
        let provider = again.replay.kinds.of(kind).ok_or_else(gone)?;
        let call = StepCall {
            run: &again.info,
            step: again.run.plan().steps[self.step].id.clone(),
            attempt: 1,
            // The graph may remember the run's own requests, and would answer that they are done.
            key: format!("replay/{key}").into(),
            target,
            action,
            parameters,
            timeout_ms: u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX),
            started_ms: again.now_ms,
            caller: again.replay.caller.clone(),
            world: &again.world,
            items: Vec::new(),
            host: self,
        };
        let done = timeout(STEP, provider.run(call)).await;
        done.unwrap_or_else(|_| Err(of(Code::DeadlineExceeded, "the step took too long")))
    }

    /// What came of one element of the step's list.
    fn element(&self, index: u32) -> Result<Value, Failure> {
        let recorded = &self.again.recorded.steps()[self.step];
        if let Some(result) = recorded.items.get(&index) {
            return Ok(result.clone());
        }
        let items = recorded.result.as_ref().and_then(Value::as_object);
        let items = items
            .and_then(|result| result.get("items"))
            .and_then(Value::as_list);
        match (
            items.and_then(|items| items.get(index as usize)),
            &recorded.failure,
        ) {
            (Some(result), _) => Ok(result.clone()),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(unknown()),
        }
    }
}

impl StepHost for Recorded<'_> {
    fn owner(&self) -> BoxFuture<'_, Result<Caller, Failure>> {
        let caller = self.again.replay.caller.clone();
        async { Ok(caller) }.boxed()
    }

    fn item_done(&self, _: u32, _: Value) -> BoxFuture<'_, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    /// Never asked: a run within a run is recorded, not carried out.
    fn child<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Object,
    ) -> BoxFuture<'a, Result<Object, Failure>> {
        async { Err(unknown()) }.boxed()
    }

    fn inner<'a>(
        &'a self,
        index: u32,
        step: &'a Object,
        parameters: Object,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        async move {
            let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
            let kind = text("type");
            let pure = self
                .again
                .replay
                .kinds
                .of(kind)
                .is_some_and(|one| one.about().pure);
            if !is_carried_out(kind, pure) || kind == MAP {
                return self.element(index);
            }
            let key = format!("{}/{index}", self.key).into();
            self.carry_out(kind, text("target"), text("action"), parameters, key)
                .await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
