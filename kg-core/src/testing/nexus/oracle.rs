//! What must come of a case, found out one thing after the other and with no regard for cost. Shares no code with the engine:
//! only the words for states.

use std::collections::BTreeMap;

use super::cases::{Argument, Attempt, Case, INPUT, When};
use crate::model::{Retry, Value};
use crate::nexus::{RunState, StepState};

/// What comes of a run. Times are since its beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// How it ended.
    pub state: RunState,
    /// The code of what failed.
    pub code: Option<String>,
    /// When.
    pub ended_ms: u64,
    /// Its steps, by id.
    pub steps: BTreeMap<String, ToldStep>,
    /// What was undone, in order: the step, the attempt, and the sum of what it was called with.
    pub undone: Vec<(String, u32, f64)>,
    /// What it gave back.
    pub outputs: BTreeMap<String, Value>,
}

/// What comes of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldStep {
    /// How it ended.
    pub state: StepState,
    /// How often it was begun.
    pub attempts: u32,
    /// The number that it gave.
    pub number: Option<f64>,
    /// The code of its last failure.
    pub code: Option<String>,
    /// When it was first begun.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// How often undoing it was begun.
    pub undo_attempts: u32,
    /// The code of the last failure to undo it.
    pub undo_code: Option<String>,
}

/// What must come of this case.
#[must_use]
pub fn expected(case: &Case) -> Told {
    let mut by_id: Vec<usize> = (0..case.steps.len()).collect();
    by_id.sort_by_key(|at| case.steps[*at].id.clone());
    let blank = ToldStep {
        state: StepState::Pending,
        attempts: 0,
        number: None,
        code: None,
        started_ms: None,
        ended_ms: None,
        undo_attempts: 0,
        undo_code: None,
    };
    let mut naive = Naive {
        case,
        by_id,
        now: 0,
        steps: vec![blank; case.steps.len()],
        ends: vec![(0, None); case.steps.len()],
        due: vec![0; case.steps.len()],
        successes: Vec::new(),
        cause: None,
        cancelled: false,
    };
    naive.run();
    naive.tell()
}

struct Naive<'a> {
    case: &'a Case,
    by_id: Vec<usize>,
    now: u64,
    steps: Vec<ToldStep>,
    /// Of a running step: when its attempt ends, and with what code.
    ends: Vec<(u64, Option<String>)>,
    /// Of a step that waits: when its next attempt may begin.
    due: Vec<u64>,
    successes: Vec<usize>,
    cause: Option<(RunState, String)>,
    cancelled: bool,
}

impl Naive<'_> {
    fn run(&mut self) {
        loop {
            while self.cause.is_none() && (self.decide() || self.begin()) {}
            if self.steps.iter().all(|step| settled(step.state)) {
                return;
            }
            self.wait();
        }
    }

    fn in_state(&self, state: StepState) -> Vec<usize> {
        let of = |at: &usize| self.steps[*at].state == state;
        self.by_id.iter().copied().filter(of).collect()
    }

    /// One round of decisions about steps that will not run.
    fn decide(&mut self) -> bool {
        let fates: Vec<(usize, Fate)> = self
            .in_state(StepState::Pending)
            .into_iter()
            .map(|at| (at, self.fate(at)))
            .collect();
        let mut decided = false;
        for (at, fate) in fates {
            match fate {
                Fate::Skipped => {
                    self.settle(at, StepState::Skipped);
                    decided = true;
                }
                Fate::Failed => {
                    self.fail(at, "INVALID_ARGUMENT");
                    return true;
                }
                Fate::Open | Fate::Ready => {}
            }
        }
        decided
    }

    fn fate(&self, at: usize) -> Fate {
        let step = &self.case.steps[at];
        let states: Vec<StepState> = step
            .depends_on
            .iter()
            .map(|d| self.steps[*d].state)
            .collect();
        let all = |wanted: StepState| states.iter().all(|state| *state == wanted);
        if !states.iter().all(|state| settled(*state)) {
            return Fate::Open;
        }
        if !step.any && !all(StepState::Succeeded) {
            return Fate::Skipped;
        }
        if step.any && !states.is_empty() && all(StepState::Skipped) {
            return Fate::Skipped;
        }
        let holds = match step.condition {
            When::Always => true,
            When::Never => false,
            When::AtLeast(of, least) => match self.steps[of].number {
                Some(number) => number >= least,
                None => return Fate::Failed,
            },
            When::Succeeded(of) => self.steps[of].state == StepState::Succeeded,
            When::Lacks(of) => self.steps[of].number.is_none(),
        };
        if holds { Fate::Ready } else { Fate::Skipped }
    }

    /// Begins what there is room for.
    fn begin(&mut self) -> bool {
        let running = self.in_state(StepState::Running).len();
        let room = (self.case.max_parallel as usize).saturating_sub(running);
        let may = |at: &usize| match self.steps[*at].state {
            StepState::Pending => matches!(self.fate(*at), Fate::Ready),
            StepState::Retrying => self.due[*at] <= self.now,
            _ => false,
        };
        let chosen: Vec<usize> = self.by_id.iter().copied().filter(may).take(room).collect();
        for at in &chosen {
            let too_late = self.total_left(*at) == Some(0);
            if too_late {
                let code = self.steps[*at].code.clone().unwrap_or_default();
                self.fail(*at, &code);
                return true;
            }
            if self.sum(&self.case.steps[*at].arguments).is_none() {
                self.fail(*at, "INVALID_ARGUMENT");
                return true;
            }
        }
        for at in &chosen {
            self.start(*at);
        }
        !chosen.is_empty()
    }

    fn total_left(&self, at: usize) -> Option<u64> {
        let total = u64::from(self.case.steps[at].total_timeout_ms);
        if total == 0 {
            return None;
        }
        let started = self.steps[at].started_ms.unwrap_or(self.now);
        Some((started + total).saturating_sub(self.now))
    }

    fn start(&mut self, at: usize) {
        let scripted = scripted(&self.case.steps[at].attempts, self.steps[at].attempts);
        let mut lasts = scripted.lasts_ms;
        let mut code = scripted.code.map(str::to_owned);
        let own = u64::from(self.case.steps[at].timeout_ms);
        for bound in [(own > 0).then_some(own), self.total_left(at)]
            .into_iter()
            .flatten()
        {
            if bound < lasts {
                lasts = bound;
                code = Some("DEADLINE_EXCEEDED".to_owned());
            }
        }
        self.ends[at] = (self.now + lasts, code);
        let step = &mut self.steps[at];
        step.state = StepState::Running;
        step.attempts += 1;
        step.started_ms.get_or_insert(self.now);
    }

    /// Lets time pass until something happens.
    fn wait(&mut self) {
        let running = self.in_state(StepState::Running);
        let first = running.iter().copied().min_by_key(|at| self.ends[*at].0);
        let end = first.map(|at| self.ends[at].0);
        let due = self
            .in_state(StepState::Retrying)
            .into_iter()
            .map(|at| self.due[at]);
        let due = due.filter(|at| *at > self.now).min();
        let cancel = self.case.cancel_at.filter(|_| !self.cancelled);
        let deadline = u64::from(self.case.timeout_ms);
        let now = [end, due, cancel, Some(deadline)]
            .into_iter()
            .flatten()
            .min();
        self.now = now.unwrap_or(deadline);
        if self.now >= deadline {
            self.stop((RunState::Failed, "DEADLINE_EXCEEDED".to_owned()));
        } else if Some(self.now) == cancel {
            self.cancelled = true;
            self.stop((RunState::Cancelled, "CANCELLED".to_owned()));
        } else if let (Some(at), true) = (first, end == Some(self.now)) {
            self.end(at);
        }
    }

    /// Everything that has not ended is cancelled.
    fn stop(&mut self, cause: (RunState, String)) {
        self.cause.get_or_insert(cause);
        for at in 0..self.steps.len() {
            if !settled(self.steps[at].state) {
                self.settle(at, StepState::Cancelled);
            }
        }
    }

    fn end(&mut self, at: usize) {
        let step = &self.case.steps[at];
        let Some(code) = self.ends[at].1.clone() else {
            let sum = self.sum(&step.arguments).unwrap_or(f64::NAN);
            self.steps[at].number = Some(step.salt + sum);
            self.steps[at].code = None;
            self.successes.push(at);
            return self.settle(at, StepState::Succeeded);
        };
        let attempt = self.steps[at].attempts;
        let random = scripted(&step.attempts, attempt - 1).random;
        let pause = step
            .retry
            .as_ref()
            .and_then(|r| pause(r, attempt, &code, random));
        let total_left = self.total_left(at);
        match pause {
            Some(pause) if self.cause.is_none() && total_left.is_none_or(|left| pause < left) => {
                self.due[at] = self.now + pause;
                self.steps[at].state = StepState::Retrying;
                self.steps[at].code = Some(code);
            }
            _ => self.fail(at, &code),
        }
    }

    /// The step has failed, and so has the run: nothing begins any more.
    fn fail(&mut self, at: usize, code: &str) {
        self.steps[at].code = Some(code.to_owned());
        self.settle(at, StepState::Failed);
        self.cause
            .get_or_insert((RunState::Failed, code.to_owned()));
        for at in self.in_state(StepState::Pending) {
            self.settle(at, StepState::Skipped);
        }
        for at in self.in_state(StepState::Retrying) {
            self.settle(at, StepState::Cancelled);
        }
    }

    fn settle(&mut self, at: usize, how: StepState) {
        self.steps[at].state = how;
        self.steps[at].ended_ms = Some(self.now);
    }

    /// What the numbers of arguments come to together; nothing, where one of them cannot be.
    fn sum(&self, arguments: &[Argument]) -> Option<f64> {
        let one = |argument: &Argument| match argument {
            Argument::Input => Some(INPUT),
            Argument::Of(at) | Argument::Optional(at) => {
                Some(self.steps[*at].number.unwrap_or(0.0))
            }
            Argument::Required(at) => self.steps[*at].number,
            Argument::Text(at) => self.steps[*at]
                .number
                .map(|n| format!("n={n}").len() as f64),
        };
        arguments.iter().map(one).sum()
    }

    fn tell(mut self) -> Told {
        let outputs = self.outputs();
        if self.cause.is_none() && outputs.is_none() {
            self.cause = Some((RunState::Failed, "INVALID_ARGUMENT".to_owned()));
        }
        let mut undone = Vec::new();
        if self.cause.is_some() {
            for at in self.successes.clone().into_iter().rev() {
                self.undo(at, &mut undone);
            }
        }
        let named = self.case.steps.iter().map(|step| step.id.clone());
        let (state, code) = match self.cause {
            Some((state, code)) => (state, Some(code)),
            None => (RunState::Succeeded, None),
        };
        Told {
            outputs: match state {
                RunState::Succeeded => outputs.unwrap_or_default(),
                _ => BTreeMap::new(),
            },
            state,
            code,
            ended_ms: self.now,
            steps: named.zip(self.steps).collect(),
            undone,
        }
    }

    fn outputs(&self) -> Option<BTreeMap<String, Value>> {
        let mut outputs = BTreeMap::new();
        for (i, argument) in self.case.outputs.iter().enumerate() {
            let value = match argument {
                Argument::Text(at) => Value::string(&format!("n={}", self.steps[*at].number?)),
                Argument::Of(at) | Argument::Optional(at) | Argument::Required(at) => {
                    self.steps[*at].number.map_or(Value::Null, Value::Number)
                }
                Argument::Input => Value::Number(INPUT),
            };
            outputs.insert(format!("o{i}"), value);
        }
        Some(outputs)
    }

    fn undo(&mut self, at: usize, undone: &mut Vec<(String, u32, f64)>) {
        let step = &self.case.steps[at];
        let Some(undo) = &step.undo else {
            return;
        };
        let five = Retry {
            max_attempts: 5,
            ..Retry::default()
        };
        // The references of a compensation are to steps as they had ended.
        let Some(sum) = self.sum(&undo.arguments) else {
            self.steps[at].state = StepState::CompensationFailed;
            self.steps[at].undo_code = Some("INVALID_ARGUMENT".to_owned());
            return;
        };
        loop {
            let attempt = self.steps[at].undo_attempts + 1;
            self.steps[at].undo_attempts = attempt;
            undone.push((step.id.clone(), attempt, sum));
            let scripted = scripted(&undo.attempts, attempt - 1);
            let bound = u64::from(undo.timeout_ms);
            self.now += scripted.lasts_ms.min(bound);
            let code = match scripted.code {
                _ if bound < scripted.lasts_ms => "DEADLINE_EXCEEDED",
                Some(code) => code,
                None => {
                    self.steps[at].undo_code = None;
                    self.steps[at].state = StepState::Compensated;
                    return;
                }
            };
            self.steps[at].undo_code = Some(code.to_owned());
            let retry = undo.retry.as_ref().unwrap_or(&five);
            match pause(retry, attempt, code, scripted.random) {
                Some(pause) => self.now += pause,
                None => {
                    self.steps[at].state = StepState::CompensationFailed;
                    return;
                }
            }
        }
    }
}

enum Fate {
    /// Something that it depends on has not ended.
    Open,
    Ready,
    Skipped,
    Failed,
}

fn settled(state: StepState) -> bool {
    !matches!(
        state,
        StepState::Pending | StepState::Running | StepState::Retrying
    )
}

/// What will come of the attempt after `before` others.
pub(super) fn scripted(attempts: &[Attempt], before: u32) -> &Attempt {
    &attempts[(before as usize).min(attempts.len() - 1)]
}

/// The pause after an attempt that failed, if it is not the last.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and far below 2^53"
)]
fn pause(retry: &Retry, attempt: u32, code: &str, random: f64) -> Option<u64> {
    let usual = [
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "INTERNAL",
    ];
    let worth = match retry.codes.as_slice() {
        [] => usual.contains(&code),
        some => some.iter().any(|one| one == code),
    };
    if !worth || attempt >= retry.max_attempts {
        return None;
    }
    let mut pause = f64::from(retry.backoff_ms);
    for _ in 1..attempt {
        pause *= retry.multiplier;
    }
    pause = pause.min(f64::from(retry.max_backoff_ms));
    Some((pause * (1.0 - retry.jitter * random)) as u64)
}
