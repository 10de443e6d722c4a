//! What is to be done next in a run.
//!
//! Decisions that need nothing done come alone: whoever asks writes and applies them and asks again, and only when there are
//! none left are there attempts to begin. So everything that follows from what has happened is decided before anything is begun,
//! and that does not depend on how the answers were batched.

use std::sync::Arc;

use super::super::journal::{Failure, What};
use super::super::state::{RunState, StepState};
use super::state::{Decision, Ending, Run};
use crate::limits::RESULT_BYTES;
use crate::model::{Object, Value};

/// What is to be done, and when to ask again if nothing happens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Next {
    /// In this order; each is applied, by the line that belongs to it, before the run is asked again.
    pub commands: Vec<Command>,
    /// In milliseconds since 1970. `None`: time alone changes nothing.
    pub wake_at: Option<u64>,
}

/// One thing that is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// This is decided: write it.
    Write(What),
    /// Write `StepStarted`, and once everything before is durable, carry the attempt out.
    Start {
        /// The step.
        step: usize,
        /// Which attempt, from 1. After a takeover the same one as before it.
        attempt: u32,
        /// The parameters, filled in.
        parameters: Object,
        /// How long it may take.
        timeout_ms: u64,
        /// By which whoever is called knows a repetition.
        key: Arc<str>,
    },
    /// Write `CompensationStarted`, and once everything before is durable, carry the step's compensation out.
    Undo {
        /// The step.
        step: usize,
        /// Which attempt, from 1.
        attempt: u32,
        /// The parameters, filled in.
        parameters: Object,
        /// How long it may take.
        timeout_ms: u64,
        /// By which whoever is called knows a repetition.
        key: Arc<str>,
    },
    /// Drop the attempt of this step that is under way. What came of it no longer counts; the line follows.
    Cut {
        /// The step.
        step: usize,
    },
}

impl Run {
    /// What is to be done now. Cost: what can be decided or begun; a run that is ending looks at each step once.
    #[must_use]
    pub fn next(&self, now_ms: u64) -> Next {
        self.next_without(now_ms, &|_| false)
    }

    /// The same, but no attempt of a step that is `held` begins, and it takes nobody's room: one that waits for a place of its
    /// class must not keep others from beginning.
    #[must_use]
    pub fn next_without(&self, now_ms: u64, held: &dyn Fn(usize) -> bool) -> Next {
        // A clock that went back does not bring back time that has passed.
        let now_ms = now_ms.max(self.time_ms);
        match (self.state, self.ending(now_ms)) {
            (RunState::Succeeded | RunState::Failed | RunState::Cancelled, _) => Next::default(),
            (RunState::Compensating, ending) => self.undo_next(ending.as_ref(), now_ms),
            (RunState::Queued, None) => Next::default(),
            (RunState::Queued | RunState::Running, Some(ending)) if self.unsettled > 0 => {
                self.drain(&ending, now_ms)
            }
            (RunState::Queued | RunState::Running, Some(ending)) => close(self, &ending),
            (RunState::Running, None) if self.unsettled > 0 => self.go_on(now_ms, held),
            (RunState::Running, None) => self.finish(),
        }
    }

    /// Why it does not go on, if it does not.
    fn ending(&self, now_ms: u64) -> Option<Ending> {
        if self.ending.is_some() {
            return self.ending.clone();
        }
        (self.unsettled > 0 && self.is_out_of_time(now_ms)).then(|| self.out_of_time())
    }

    pub(super) fn out_of_time(&self) -> Ending {
        Ending {
            state: RunState::Failed,
            failure: Failure::new(
                "DEADLINE_EXCEEDED",
                format!("the run took longer than {} ms", self.plan.timeout_ms),
            ),
            step: None,
        }
    }

    pub(super) fn is_out_of_time(&self, now_ms: u64) -> bool {
        self.deadline_ms()
            .is_some_and(|deadline| deadline <= now_ms)
    }

    fn go_on(&self, now_ms: u64, held: &dyn Fn(usize) -> bool) -> Next {
        let mut commands = Vec::new();
        for (rank, decision) in &self.decided {
            let step = self.plan.by_id[*rank];
            match decision {
                Decision::Skip(why) => {
                    let why = why.clone();
                    commands.push(Command::Write(What::StepSkipped { step, why }));
                }
                Decision::Fail(failure) => {
                    let failure = failure.clone();
                    commands.push(Command::Write(What::StepFailed { step, failure }));
                    break;
                }
            }
        }
        if commands.is_empty() {
            commands = self.starts(now_ms, held);
        }
        Next {
            commands,
            wake_at: self.wake_at(now_ms),
        }
    }

    /// Attempts that there is room for: first those that a takeover interrupted, then by id.
    fn starts(&self, now_ms: u64, held: &dyn Fn(usize) -> bool) -> Vec<Command> {
        let room = self.plan.max_parallel.saturating_sub(self.under_way);
        if room == 0 {
            return Vec::new();
        }
        let free = |rank: &usize| !held(self.plan.by_id[*rank]);
        let again = self.again.iter().copied().filter(free);
        let mut ranks: Vec<usize> = again.take(room).collect();
        let ready = self.ready.iter().copied().filter(free).take(room);
        let due = self.due.range(..=(now_ms, usize::MAX));
        let due = due.map(|(_, rank)| *rank).filter(free);
        let mut others: Vec<usize> = ready.chain(due).collect();
        others.sort_unstable();
        others.truncate(room - ranks.len());
        ranks.append(&mut others);
        self.attempts(&ranks, now_ms)
    }

    /// These attempts; or, if one of them cannot be made, that failure alone: it ends the run, and then none of them begins.
    fn attempts(&self, ranks: &[usize], now_ms: u64) -> Vec<Command> {
        let mut commands = Vec::with_capacity(ranks.len());
        for rank in ranks {
            let step = self.plan.by_id[*rank];
            match self.attempt(step, now_ms) {
                Ok(start) => commands.push(start),
                Err(failure) => return vec![Command::Write(What::StepFailed { step, failure })],
            }
        }
        commands
    }

    fn attempt(&self, step: usize, now_ms: u64) -> Result<Command, Failure> {
        let (planned, status) = (&self.plan.steps[step], &self.steps[step]);
        let again = status.state == StepState::Running;
        let step_deadline = self.step_deadline_ms(step);
        if step_deadline.is_some_and(|deadline| deadline <= now_ms) {
            let message = format!("took longer than {} ms in all", planned.total_timeout_ms);
            let late = Failure::new("DEADLINE_EXCEEDED", message);
            // One that waited for another attempt says why its last one failed; one that was under way has not failed yet.
            let last = status.failure.clone().filter(|_| !again);
            return Err(last.unwrap_or(late));
        }
        let parameters = planned
            .call
            .fill(self)
            .map_err(|fault| Failure::new("INVALID_ARGUMENT", fault.to_string()))?;
        let left = |deadline: u64| deadline.saturating_sub(now_ms);
        let bounds = [
            Some(planned.call.timeout_ms).filter(|said| *said > 0),
            step_deadline.map(left),
            planned_total(planned.total_timeout_ms, status.started_ms),
            self.deadline_ms().map(left),
        ];
        Ok(Command::Start {
            step,
            attempt: status.attempts + u32::from(!again),
            parameters,
            // A run that is let finish after its time has a moment for it.
            timeout_ms: bounds
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(u64::MAX)
                .max(1),
            key: self.key(step),
        })
    }

    /// When time alone changes something: an attempt is due, or the run is out of time.
    fn wake_at(&self, now_ms: u64) -> Option<u64> {
        let due = self
            .due
            .range((now_ms.saturating_add(1), 0)..)
            .next()
            .map(|(at_ms, _)| *at_ms);
        due.into_iter().chain(self.deadline_ms()).min()
    }

    /// Ends what has not ended: steps that have not begun are skipped or cancelled, those under way are let finish, or cut.
    fn drain(&self, ending: &Ending, now_ms: u64) -> Next {
        let cut = self.cancelled || self.is_out_of_time(now_ms);
        let mut commands = Vec::new();
        if self.idle > 0 || cut {
            for step in &self.plan.by_id {
                self.drain_step(*step, ending, cut, &mut commands);
            }
        }
        if commands.is_empty() {
            let ranks: Vec<usize> = self.again.iter().copied().collect();
            commands = self.attempts(&ranks, now_ms);
        }
        Next {
            commands,
            wake_at: self.deadline_ms().filter(|deadline| *deadline > now_ms),
        }
    }

    fn drain_step(&self, step: usize, ending: &Ending, cut: bool, commands: &mut Vec<Command>) {
        let status = &self.steps[step];
        match (status.state, ending.step) {
            (StepState::Pending, Some(failed)) => {
                let id = &self.plan.steps[failed].id;
                let why = if self.plan.steps[step].depends_on.contains(&failed) {
                    format!("`{id}`, which it depends on, failed")
                } else {
                    format!("`{id}` failed before it began")
                };
                let why = why.into();
                commands.push(Command::Write(What::StepSkipped { step, why }));
            }
            (StepState::Pending, None) | (StepState::Retrying, _) => {
                commands.push(Command::Write(What::StepCancelled { step }));
            }
            (StepState::Running, _) if cut => {
                if status.under_way {
                    commands.push(Command::Cut { step });
                }
                commands.push(Command::Write(What::StepCancelled { step }));
            }
            _ => {}
        }
    }

    fn finish(&self) -> Next {
        let bounded = |outputs: Object| match Value::Object(outputs.clone()).weight() {
            bytes if bytes > RESULT_BYTES => {
                let message = format!(
                    "the outputs have about {bytes} bytes, at most {RESULT_BYTES} are kept"
                );
                Err(Failure::new("OUT_OF_RANGE", message))
            }
            _ => Ok(outputs),
        };
        let outputs = self.plan.outputs(self);
        let outputs = outputs.map_err(|fault| Failure::new("INVALID_ARGUMENT", fault.to_string()));
        match outputs.and_then(bounded) {
            Ok(outputs) => Next {
                commands: vec![Command::Write(What::RunEnded {
                    state: RunState::Succeeded,
                    failure: None,
                    outputs,
                })],
                wake_at: None,
            },
            Err(failure) => close(
                self,
                &Ending {
                    state: RunState::Failed,
                    failure,
                    step: None,
                },
            ),
        }
    }

    fn undo_next(&self, ending: Option<&Ending>, now_ms: u64) -> Next {
        let (Some(step), Some(ending)) = (self.undo.last().copied(), ending) else {
            return ending.map_or_else(Next::default, ended);
        };
        let status = &self.steps[step];
        if status.under_way {
            return Next::default();
        }
        if let Some(at_ms) = self.undo_at_ms.filter(|at_ms| *at_ms > now_ms) {
            return Next {
                commands: Vec::new(),
                wake_at: Some(at_ms),
            };
        }
        let Some((call, _)) = &self.plan.steps[step].undo else {
            return ended(ending);
        };
        let again = status.state == StepState::Compensating && self.undo_at_ms.is_none();
        let command = match call.fill(self) {
            Ok(parameters) => Command::Undo {
                step,
                attempt: status.undo_attempts + u32::from(!again),
                parameters,
                timeout_ms: call.timeout_ms,
                key: self.undo_key(step),
            },
            Err(fault) => {
                let failure = Failure::new("INVALID_ARGUMENT", fault.to_string());
                Command::Write(What::CompensationFailed { step, failure })
            }
        };
        Next {
            commands: vec![command],
            wake_at: None,
        }
    }
}

/// The bound of all attempts, for the first of them.
fn planned_total(total_ms: u64, started_ms: Option<u64>) -> Option<u64> {
    (total_ms > 0 && started_ms.is_none()).then_some(total_ms)
}

/// All steps have ended, and the run does not succeed.
fn close(run: &Run, ending: &Ending) -> Next {
    if run.undo.is_empty() {
        return ended(ending);
    }
    Next {
        commands: vec![Command::Write(What::CompensationsBegan {
            ending: ending.state,
            failure: ending.failure.clone(),
        })],
        wake_at: None,
    }
}

fn ended(ending: &Ending) -> Next {
    Next {
        commands: vec![Command::Write(What::RunEnded {
            state: ending.state,
            failure: Some(ending.failure.clone()),
            outputs: Object::new(),
        })],
        wake_at: None,
    }
}
