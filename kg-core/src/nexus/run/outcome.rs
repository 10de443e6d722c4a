//! What the end of an attempt means: success, another attempt after a pause, or failure.

use super::super::journal::{Failure, What};
use super::super::state::StepState;
use super::state::Run;
use crate::limits::{RESULT_BYTES, RUN_BYTES, RUN_LINES};
use crate::model::{Retry, Value};

impl Run {
    /// What came of an attempt of a step. `random`, from 0 to below 1, shortens the pause. `None`: that attempt is not under way
    /// any more, and what came of it does not count.
    #[must_use]
    pub fn outcome(
        &self,
        step: usize,
        attempt: u32,
        result: Result<Value, Failure>,
        now_ms: u64,
        random: f64,
    ) -> Option<What> {
        let status = self.steps.get(step)?;
        let counts = status.state == StepState::Running && status.attempts == attempt;
        if !counts || !status.under_way {
            return None;
        }
        let now_ms = now_ms.max(self.time_ms);
        // An attempt is given no more time than its run has. Which of the two clocks rings first must not decide whether
        // the step failed or the run was out of time.
        let out_of_time = self.is_out_of_time(now_ms);
        // What is done of its list is kept in its result from then on.
        let items = status.items.values().map(Value::weight).sum();
        let failure = match result.and_then(|result| self.held(result, items)) {
            Ok(result) => return Some(What::StepSucceeded { step, result }),
            Err(_) if out_of_time => return Some(What::StepCancelled { step }),
            Err(failure) => failure,
        };
        let planned = &self.plan.steps[step];
        // A run that is ending begins nothing any more, and a journal has an end.
        let may = self.ending.is_none() && self.seq < RUN_LINES;
        let at_ms = next_attempt(&planned.retry, attempt, &failure, now_ms, random);
        let in_time = |at_ms: &u64| {
            let deadline = self.step_deadline_ms(step);
            deadline.is_none_or(|deadline| *at_ms < deadline)
        };
        Some(match at_ms.filter(|_| may).filter(in_time) {
            Some(at_ms) => What::StepRetrying {
                step,
                attempt,
                failure,
                at_ms,
            },
            None => What::StepFailed { step, failure },
        })
    }

    /// An element of a step's list is done.
    ///
    /// # Errors
    /// What it gave is more than a line, or the run, can hold.
    pub fn item(&self, step: usize, index: u32, result: Value) -> Result<What, Failure> {
        if self.seq >= RUN_LINES {
            let message = format!("the journal of a run has room for {RUN_LINES} lines");
            return Err(Failure::new("OUT_OF_RANGE", message));
        }
        let result = self.held(result, 0)?;
        Ok(What::ItemSucceeded {
            step,
            index,
            result,
        })
    }

    /// What came of an attempt to undo a step, in the same way.
    #[must_use]
    pub fn undo_outcome(
        &self,
        step: usize,
        attempt: u32,
        result: Result<Value, Failure>,
        now_ms: u64,
        random: f64,
    ) -> Option<What> {
        let status = self.steps.get(step)?;
        let counts = status.state == StepState::Compensating && status.undo_attempts == attempt;
        let (_, retry) = self.plan.steps[step].undo.as_ref()?;
        if !counts || !status.under_way {
            return None;
        }
        let now_ms = now_ms.max(self.time_ms);
        Some(match result {
            Ok(_) => What::CompensationSucceeded { step },
            Err(failure) => match next_attempt(retry, attempt, &failure, now_ms, random)
                .filter(|_| self.seq < RUN_LINES)
            {
                Some(at_ms) => What::CompensationRetrying {
                    step,
                    attempt,
                    failure,
                    at_ms,
                },
                None => What::CompensationFailed { step, failure },
            },
        })
    }

    /// A result that a line can hold, and the run besides all that it holds already. `freed` are bytes of that which it stands for.
    fn held(&self, result: Value, freed: usize) -> Result<Value, Failure> {
        let result = held(result)?;
        let bytes = (self.kept_bytes + result.weight()).saturating_sub(freed);
        if bytes > RUN_BYTES {
            let message = format!(
                "the results of the run would have about {bytes} bytes, at most {RUN_BYTES} are kept"
            );
            return Err(Failure::new("OUT_OF_RANGE", message));
        }
        Ok(result)
    }
}

/// A result that a line can hold.
fn held(result: Value) -> Result<Value, Failure> {
    let bytes = result.weight();
    if bytes > RESULT_BYTES {
        let message =
            format!("what it gave has about {bytes} bytes, at most {RESULT_BYTES} are kept");
        return Err(Failure::new("OUT_OF_RANGE", message));
    }
    match result.check() {
        Ok(()) => Ok(result),
        Err(fault) => {
            let message = fault.under("result").to_string();
            Err(Failure::new("OUT_OF_RANGE", message))
        }
    }
}

/// When it is tried again, if the policy tries it again.
fn next_attempt(
    retry: &Retry,
    attempt: u32,
    failure: &Failure,
    now_ms: u64,
    random: f64,
) -> Option<u64> {
    let worth = if retry.codes.is_empty() {
        Retry::CODES.contains(&&*failure.code)
    } else {
        retry.codes.iter().any(|code| **code == *failure.code)
    };
    let more = attempt < retry.max_attempts;
    (worth && more).then(|| now_ms.saturating_add(pause_ms(retry, attempt, random)))
}

/// The pause after an attempt: `backoff * multiplier^(attempt - 1)`, at most the longest, less up to a share of `jitter`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and a u32, or NaN, which becomes 0"
)]
fn pause_ms(retry: &Retry, attempt: u32, random: f64) -> u64 {
    let longest = f64::from(retry.max_backoff_ms);
    let exponent = f64::from(attempt.saturating_sub(1));
    let pause = f64::from(retry.backoff_ms) * retry.multiplier.max(1.0).powf(exponent);
    let jitter = retry.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0);
    (pause.min(longest) * (1.0 - jitter)) as u64
}
