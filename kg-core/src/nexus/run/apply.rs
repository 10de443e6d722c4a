//! What a line changes. A line that cannot be is refused before it has changed anything: a store may be damaged.

use std::sync::Arc;

use super::super::journal::{Failure, Line, What};
use super::super::state::{RunState, StepState};
use super::state::{Decision, Ending, Run};
use crate::model::{Join, Object, Value};

/// A line that cannot follow those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {seq} of the run cannot follow those before it: {reason}")]
pub struct WrongLine {
    /// Its number.
    pub seq: u32,
    /// Why not.
    pub reason: &'static str,
}

impl Run {
    /// Takes in what has happened. Cost: O(dependents of the step) and their conditions; a takeover looks at each step.
    ///
    /// # Errors
    /// A line that cannot follow those before it. It has changed nothing.
    pub fn apply(&mut self, line: &Line) -> Result<(), WrongLine> {
        let wrong = |reason| WrongLine {
            seq: line.seq,
            reason,
        };
        if line.seq != self.seq + 1 {
            return Err(wrong("its number is not the next"));
        }
        if line.time_ms < self.time_ms {
            return Err(wrong("it is older"));
        }
        if line.epoch < self.epoch {
            return Err(wrong("its epoch is over"));
        }
        if self.state.has_ended() {
            return Err(wrong("the run has ended"));
        }
        self.judge(&line.what).map_err(wrong)?;
        self.seq = line.seq;
        self.time_ms = line.time_ms;
        self.epoch = line.epoch;
        self.take(&line.what, line.time_ms);
        Ok(())
    }

    fn judge(&self, what: &What) -> Result<(), &'static str> {
        if let Some(step) = what.step()
            && step >= self.steps.len()
        {
            return Err("there is no such step");
        }
        let state = |step: &usize| self.steps[*step].state;
        let fits = match what {
            What::RunStarted => self.state == RunState::Queued,
            What::TakenOver { .. } | What::CancelAsked { .. } => true,
            What::StepStarted { step, attempt } => return self.judge_start(*step, *attempt),
            What::ItemSucceeded { step, .. } | What::StepSucceeded { step, .. } => {
                state(step) == StepState::Running
            }
            What::StepRetrying { step, attempt, .. } => {
                state(step) == StepState::Running && self.steps[*step].attempts == *attempt
            }
            What::StepFailed { step, .. } | What::StepCancelled { step } => matches!(
                state(step),
                StepState::Pending | StepState::Running | StepState::Retrying
            ),
            What::StepSkipped { step, .. } => state(step) == StepState::Pending,
            What::CompensationsBegan { ending, .. } => {
                self.state != RunState::Compensating
                    && self.unsettled == 0
                    && matches!(ending, RunState::Failed | RunState::Cancelled)
            }
            What::CompensationStarted { step, attempt } => {
                let status = &self.steps[*step];
                let again = status.state == StepState::Compensating
                    && !status.under_way
                    && self.undo_at_ms.is_none();
                let expected = status.undo_attempts + u32::from(!again);
                self.is_undone_next(*step) && !status.under_way && *attempt == expected
            }
            What::CompensationRetrying { step, attempt, .. } => {
                self.is_undone_next(*step)
                    && state(step) == StepState::Compensating
                    && self.steps[*step].undo_attempts == *attempt
            }
            What::CompensationSucceeded { step } => {
                self.is_undone_next(*step) && state(step) == StepState::Compensating
            }
            What::CompensationFailed { step, .. } => self.is_undone_next(*step),
            What::RunEnded { state, .. } => state.has_ended(),
        };
        if fits {
            Ok(())
        } else {
            Err("what it tells cannot happen then")
        }
    }

    fn judge_start(&self, step: usize, attempt: u32) -> Result<(), &'static str> {
        let status = &self.steps[step];
        if self.state != RunState::Running {
            return Err("the run is not running");
        }
        let fits = match status.state {
            StepState::Pending => attempt == 1 && self.ready.contains(&self.plan.steps[step].rank),
            StepState::Retrying => Some(attempt) == status.attempts.checked_add(1),
            StepState::Running => !status.under_way && attempt == status.attempts,
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err("this attempt cannot begin then")
        }
    }

    fn is_undone_next(&self, step: usize) -> bool {
        self.state == RunState::Compensating && self.undo.last() == Some(&step)
    }

    fn take(&mut self, what: &What, time_ms: u64) {
        match what {
            What::RunStarted => self.start(time_ms),
            What::TakenOver { .. } => self.let_go(),
            What::StepStarted { step, attempt } => self.step_started(*step, *attempt, time_ms),
            What::ItemSucceeded {
                step,
                index,
                result,
            } => {
                self.kept_bytes += result.weight();
                let before = self.steps[*step].items.insert(*index, result.clone());
                self.kept_bytes -= before.map_or(0, |before| before.weight());
            }
            What::StepRetrying {
                step,
                failure,
                at_ms,
                ..
            } => {
                self.leave(*step);
                self.idle += 1;
                self.due.insert((*at_ms, self.plan.steps[*step].rank));
                let status = &mut self.steps[*step];
                status.state = StepState::Retrying;
                status.failure = Some(failure.clone());
                status.retry_at_ms = Some(*at_ms);
            }
            What::StepSucceeded { step, result } => {
                self.leave(*step);
                let status = &mut self.steps[*step];
                status.result = Some(result.clone());
                self.kept_bytes += result.weight();
                status.failure = None;
                if self.plan.steps[*step].undo.is_some() {
                    self.undo.push(*step);
                }
                self.settle(*step, StepState::Succeeded, time_ms);
            }
            What::StepFailed { step, failure } => {
                self.leave(*step);
                self.steps[*step].failure = Some(failure.clone());
                let id = &self.plan.steps[*step].id;
                let message = format!("step `{id}` failed: {}", failure.message);
                self.ending.get_or_insert(Ending {
                    state: RunState::Failed,
                    failure: Failure::new(&failure.code, message),
                    step: Some(*step),
                });
                self.settle(*step, StepState::Failed, time_ms);
            }
            What::StepSkipped { step, why } => {
                self.leave(*step);
                self.steps[*step].why = Some(why.clone());
                self.settle(*step, StepState::Skipped, time_ms);
            }
            What::StepCancelled { step } => {
                // Where nobody cancelled it and nothing failed, only the time can be over.
                let out_of_time = self.out_of_time();
                self.ending.get_or_insert(out_of_time);
                self.leave(*step);
                self.settle(*step, StepState::Cancelled, time_ms);
            }
            What::CancelAsked { actor, reason } => self.cancel(actor, reason),
            What::CompensationsBegan { ending, failure } => {
                self.state = RunState::Compensating;
                self.ending = Some(Ending {
                    state: *ending,
                    failure: failure.clone(),
                    step: None,
                });
            }
            What::CompensationStarted { step, attempt } => {
                self.undo_at_ms = None;
                let status = &mut self.steps[*step];
                status.state = StepState::Compensating;
                status.undo_attempts = *attempt;
                status.under_way = true;
            }
            What::CompensationRetrying {
                step,
                failure,
                at_ms,
                ..
            } => {
                self.undo_at_ms = Some(*at_ms);
                let status = &mut self.steps[*step];
                status.undo_failure = Some(failure.clone());
                status.under_way = false;
            }
            What::CompensationSucceeded { step } => {
                self.steps[*step].undo_failure = None;
                self.undone(*step, StepState::Compensated);
            }
            What::CompensationFailed { step, failure } => {
                self.steps[*step].undo_failure = Some(failure.clone());
                self.undone(*step, StepState::CompensationFailed);
            }
            What::RunEnded {
                state,
                failure,
                outputs,
            } => self.end(*state, failure.as_ref(), outputs, time_ms),
        }
    }

    fn start(&mut self, time_ms: u64) {
        self.state = RunState::Running;
        self.began_ms = Some(time_ms);
        for step in 0..self.steps.len() {
            if self.steps[step].waits_for == 0 {
                self.look_at(step);
            }
        }
    }

    /// Whoever had the attempts under way is gone. They are begun again as the same attempts.
    fn let_go(&mut self) {
        for (step, status) in self.steps.iter_mut().enumerate() {
            if std::mem::take(&mut status.under_way) && status.state == StepState::Running {
                self.again.insert(self.plan.steps[step].rank);
            }
        }
        self.under_way = 0;
    }

    fn step_started(&mut self, step: usize, attempt: u32, time_ms: u64) {
        let rank = self.plan.steps[step].rank;
        let status = &mut self.steps[step];
        if status.state != StepState::Running {
            self.idle -= 1;
        }
        self.ready.remove(&rank);
        self.again.remove(&rank);
        if let Some(at_ms) = status.retry_at_ms.take() {
            self.due.remove(&(at_ms, rank));
        }
        status.state = StepState::Running;
        status.attempts = attempt;
        status.started_ms.get_or_insert(time_ms);
        status.under_way = true;
        self.under_way += 1;
    }

    /// Takes a step out of wherever it waits or is under way.
    fn leave(&mut self, step: usize) {
        let rank = self.plan.steps[step].rank;
        let status = &mut self.steps[step];
        if std::mem::take(&mut status.under_way) {
            self.under_way -= 1;
        }
        match status.state {
            StepState::Pending => {
                self.idle -= 1;
                self.ready.remove(&rank);
                self.decided.remove(&rank);
            }
            StepState::Retrying => {
                self.idle -= 1;
                if let Some(at_ms) = status.retry_at_ms.take() {
                    self.due.remove(&(at_ms, rank));
                }
            }
            _ => {
                self.again.remove(&rank);
            }
        }
    }

    /// A step has ended, and those that depend on it may be decided by that.
    fn settle(&mut self, step: usize, how: StepState, time_ms: u64) {
        let status = &mut self.steps[step];
        status.state = how;
        status.ended_ms = Some(time_ms);
        let items = std::mem::take(&mut status.items);
        self.kept_bytes -= items.values().map(Value::weight).sum::<usize>();
        self.unsettled -= 1;
        let plan = self.plan.clone();
        for dependent in &plan.steps[step].dependents {
            let status = &mut self.steps[*dependent];
            status.waits_for -= 1;
            if how == StepState::Succeeded {
                status.succeeded += 1;
            }
            if status.waits_for == 0 && status.state == StepState::Pending && self.ending.is_none()
            {
                self.look_at(*dependent);
            }
        }
    }

    /// Decides whether a step runs. All that it depends on has settled by then, also where one skip is enough to skip it: so
    /// whatever comes behind it can refer to each of its ancestors, and never finds one that is still being carried out.
    fn look_at(&mut self, step: usize) {
        let plan = self.plan.clone();
        let planned = &plan.steps[step];
        let decision = if let Some(why) = self.lacks(step) {
            Decision::Skip(why)
        } else {
            match planned.condition.holds(self) {
                Ok(true) => {
                    self.ready.insert(planned.rank);
                    return;
                }
                Ok(false) => Decision::Skip("its condition does not hold".into()),
                Err(fault) => {
                    let message = fault.under("condition").to_string();
                    Decision::Fail(Failure::new("INVALID_ARGUMENT", message))
                }
            }
        };
        self.decided.insert(planned.rank, decision);
    }

    /// Why what it depends on is not enough for a step.
    fn lacks(&self, step: usize) -> Option<Arc<str>> {
        let planned = &self.plan.steps[step];
        let (of, succeeded) = (planned.depends_on.len(), self.steps[step].succeeded);
        match planned.join {
            Join::Any if succeeded == 0 && of > 0 => {
                Some("nothing that it depends on succeeded".into())
            }
            Join::All if succeeded < of => {
                let skipped = |at: &&usize| self.steps[**at].state == StepState::Skipped;
                let skipped = planned.depends_on.iter().filter(skipped);
                let first = skipped.min_by_key(|at| self.plan.steps[**at].rank);
                let id = first.map_or("", |at| &*self.plan.steps[*at].id);
                Some(format!("`{id}`, which it depends on, was skipped").into())
            }
            Join::Any | Join::All => None,
        }
    }

    fn cancel(&mut self, actor: &Arc<str>, reason: &Arc<str>) {
        self.cancelled = true;
        let why = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        self.ending.get_or_insert(Ending {
            state: RunState::Cancelled,
            failure: Failure::new("CANCELLED", format!("cancelled by {actor}{why}")),
            step: None,
        });
    }

    fn undone(&mut self, step: usize, how: StepState) {
        let status = &mut self.steps[step];
        status.state = how;
        status.under_way = false;
        self.undo.pop();
        self.undo_at_ms = None;
    }

    fn end(&mut self, state: RunState, failure: Option<&Failure>, outputs: &Object, time_ms: u64) {
        self.state = state;
        self.ended_ms = Some(time_ms);
        self.outputs = outputs.clone();
        self.ending = failure.map(|failure| Ending {
            state,
            failure: failure.clone(),
            step: None,
        });
        self.decided.clear();
        self.ready.clear();
        self.again.clear();
        self.due.clear();
        self.under_way = 0;
        for status in &mut self.steps {
            status.under_way = false;
        }
    }
}
