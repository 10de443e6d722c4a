//! Carries a run out in time that does not pass, and loses it again and again: what is left then is the bytes of its lines, and
//! the world, which knows by their keys what it was asked for before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cases::{Case, types};
use super::oracle::{Told, ToldStep, scripted};
use crate::model::{Object, Value};
use crate::nexus::{Command, Failure, Line, Plan, Run, RunFacts, What};
use crate::testing::generate::Rng;

/// When runs begin.
const BEGIN_MS: u64 = 1_700_000_000_000;

/// What came of a run, and what it cost.
#[derive(Clone, Debug)]
pub struct Driven {
    /// What came of it.
    pub told: Told,
    /// The run as it ended.
    pub run: Run,
    /// The most attempts of steps that were under way at once.
    pub most_under_way: usize,
    /// How often it was lost.
    pub crashes: u32,
    /// Its lines.
    pub lines: Vec<Vec<u8>>,
}

/// Carries out a run of a case whose steps are listed in this order. With `crashes`, before every line it may be lost.
///
/// # Panics
/// If the run does something that it must not: that is what it is for.
#[must_use]
pub fn drive(case: &Case, listing: &[usize], crashes: Option<Rng>) -> Driven {
    let mut driver = Driver::new(case, listing, crashes);
    driver.write(What::RunStarted);
    while !driver.run.state().has_ended() {
        driver.turn();
    }
    driver.finish()
}

struct Driver<'a> {
    case: &'a Case,
    plan: Arc<Plan>,
    run: Run,
    now: u64,
    epoch: u32,
    crashes: Option<Rng>,
    lost: u32,
    lines: Vec<Vec<u8>>,
    /// What this process waits for: when it ends, by whether it undoes, and the step.
    live: BTreeMap<(bool, usize), Attempt>,
    /// What the world was asked for, by key and attempt, and what comes of it. This outlives a crash.
    asked: BTreeMap<(Arc<str>, u32), Attempt>,
    undone: Vec<(String, u32, f64)>,
    most_under_way: usize,
    cancelled: bool,
}

#[derive(Clone, Debug)]
struct Attempt {
    attempt: u32,
    ends_ms: u64,
    result: Result<Value, Failure>,
    random: f64,
}

impl<'a> Driver<'a> {
    #[expect(clippy::expect_used, reason = "a random case can be planned")]
    fn new(case: &'a Case, listing: &[usize], crashes: Option<Rng>) -> Self {
        let plan = Plan::of(&case.pattern(listing), &types()).expect("a plan");
        let plan = Arc::new(plan);
        Self {
            case,
            run: Run::begin(plan.clone(), facts(&plan)),
            plan,
            now: BEGIN_MS,
            epoch: 1,
            crashes,
            lost: 0,
            lines: Vec::new(),
            live: BTreeMap::new(),
            asked: BTreeMap::new(),
            undone: Vec::new(),
            most_under_way: 0,
            cancelled: false,
        }
    }

    /// Does what is to be done, or lets time pass until something is.
    fn turn(&mut self) {
        let next = self.run.next(self.now);
        if !next.commands.is_empty() {
            for command in next.commands {
                if self.may_crash() {
                    return self.crash();
                }
                self.obey(command);
            }
            return;
        }
        let end = self.live.iter().min_by_key(|(_, attempt)| attempt.ends_ms);
        let end = end.map(|(which, attempt)| (attempt.ends_ms, *which));
        let cancel = self.case.cancel_at.map(|at| BEGIN_MS + at);
        let cancel = cancel.filter(|_| !self.cancelled);
        let times = [end.map(|(at, _)| at), next.wake_at, cancel];
        let Some(at) = times.into_iter().flatten().min() else {
            panic!("the run waits for nothing: {:#?}", self.run);
        };
        assert!(at >= self.now, "the run wants to be asked in the past");
        self.now = at;
        if self.may_crash() {
            return self.crash();
        }
        if cancel == Some(at) {
            self.cancelled = true;
            self.write(What::CancelAsked {
                actor: "tester".into(),
                reason: "".into(),
            });
        } else if let Some((_, which)) = end.filter(|(ends, _)| *ends == at) {
            self.end(which);
        }
    }

    fn end(&mut self, which: (bool, usize)) {
        let Some(attempt) = self.live.remove(&which) else {
            return;
        };
        let (undoes, step) = which;
        let decide = if undoes {
            Run::undo_outcome
        } else {
            Run::outcome
        };
        let Attempt { result, random, .. } = attempt;
        let what = decide(&self.run, step, attempt.attempt, result, self.now, random);
        let Some(what) = what else {
            panic!("an attempt that was not cut counts");
        };
        self.write(what);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Write(what) => self.write(what),
            Command::Cut { step } => {
                let cut = self.live.remove(&(false, step));
                assert!(cut.is_some(), "only what is under way is cut");
            }
            Command::Start {
                step,
                attempt,
                parameters,
                timeout_ms,
                key,
            } => {
                self.write(What::StepStarted { step, attempt });
                self.ask((false, step), attempt, &parameters, timeout_ms, key);
                let under_way = self.live.keys().filter(|(undoes, _)| !undoes).count();
                assert_eq!(under_way, self.run.under_way());
                assert!(under_way <= self.plan.max_parallel, "more than the bound");
                self.most_under_way = self.most_under_way.max(under_way);
            }
            Command::Undo {
                step,
                attempt,
                parameters,
                timeout_ms,
                key,
            } => {
                self.write(What::CompensationStarted { step, attempt });
                if !self.asked.contains_key(&(key.clone(), attempt)) {
                    let id = self.plan.steps[step].id.to_string();
                    self.undone.push((id, attempt, sum(&parameters)));
                }
                self.ask((true, step), attempt, &parameters, timeout_ms, key);
            }
        }
    }

    fn ask(
        &mut self,
        which: (bool, usize),
        attempt: u32,
        parameters: &Object,
        timeout_ms: u64,
        key: Arc<str>,
    ) {
        let id = &self.plan.steps[which.1].id;
        let Some(step) = self.case.steps.iter().find(|step| *step.id == **id) else {
            panic!("{id} is no step of the case");
        };
        let attempts = match (&step.undo, which.0) {
            (Some(undo), true) => &undo.attempts,
            _ => &step.attempts,
        };
        let scripted = scripted(attempts, attempt - 1);
        let number = Value::Number(step.salt + sum(parameters));
        let result = match scripted.code {
            _ if timeout_ms < scripted.lasts_ms => Err(Failure::new("DEADLINE_EXCEEDED", "late")),
            Some(code) => Err(Failure::new(code, "scripted")),
            None => Ok(Value::Object(Object::unit("n".into(), number))),
        };
        let attempt = Attempt {
            attempt,
            ends_ms: self.now + scripted.lasts_ms.min(timeout_ms),
            result,
            random: scripted.random,
        };
        // Whoever is asked again knows the key, and goes on with what it does already.
        let key = (key, attempt.attempt);
        let attempt = self.asked.entry(key).or_insert(attempt).clone();
        let before = self.live.insert(which, attempt);
        assert!(before.is_none(), "{id} is begun while it is under way");
    }

    fn may_crash(&mut self) -> bool {
        self.crashes.as_mut().is_some_and(|rng| rng.once_in(12))
    }

    /// The process is gone. Another one reads the lines and goes on.
    #[expect(clippy::expect_used, reason = "what was written can be read")]
    fn crash(&mut self) {
        self.lost += 1;
        self.live.clear();
        self.run = Run::begin(self.plan.clone(), facts(&self.plan));
        for bytes in &self.lines {
            let line = Line::decode(bytes).expect("a line");
            self.run.apply(&line).expect("the next line");
        }
        self.epoch += 1;
        self.write(What::TakenOver {
            server: "another".into(),
        });
    }

    #[expect(clippy::expect_used, reason = "a run takes what it asked for")]
    fn write(&mut self, what: What) {
        let line = self.run.line(self.epoch, self.now, what);
        self.run.apply(&line).expect("a line that can follow");
        self.lines.push(line.encode());
    }

    fn finish(self) -> Driven {
        let since = |at: u64| at - BEGIN_MS;
        let code = |failure: &Option<Failure>| failure.as_ref().map(|f| f.code.to_string());
        let steps = self.plan.steps.iter().zip(self.run.steps());
        let steps = steps.map(|(planned, status)| {
            let number = match status.result.as_ref().and_then(|r| r.as_object()?.get("n")) {
                Some(Value::Number(number)) => Some(*number),
                _ => None,
            };
            let told = ToldStep {
                state: status.state,
                attempts: status.attempts,
                number,
                code: code(&status.failure),
                started_ms: status.started_ms.map(since),
                ended_ms: status.ended_ms.map(since),
                undo_attempts: status.undo_attempts,
                undo_code: code(&status.undo_failure),
            };
            (planned.id.to_string(), told)
        });
        let outputs = self.run.outputs().iter();
        Driven {
            told: Told {
                state: self.run.state(),
                code: self.run.failure().map(|failure| failure.code.to_string()),
                ended_ms: self.run.ended_ms().map_or(0, since),
                steps: steps.collect(),
                undone: self.undone.clone(),
                outputs: outputs
                    .map(|(name, value)| (name.to_string(), value.clone()))
                    .collect(),
            },
            most_under_way: self.most_under_way,
            crashes: self.lost,
            lines: self.lines,
            run: self.run,
        }
    }
}

#[expect(clippy::expect_used, reason = "the input has a default")]
fn facts(plan: &Plan) -> RunFacts {
    RunFacts {
        id: "run".into(),
        inputs: plan.inputs(&Object::new()).expect("inputs"),
        actor: "tester".into(),
        started_ms: BEGIN_MS,
        ..RunFacts::default()
    }
}

/// What a step makes of what it is called with: numbers count as they are, texts by their length.
fn sum(parameters: &Object) -> f64 {
    let one = |value: &Value| match value {
        Value::Number(number) => *number,
        Value::String(text) => text.len() as f64,
        _ => 0.0,
    };
    parameters.values().map(one).sum()
}
