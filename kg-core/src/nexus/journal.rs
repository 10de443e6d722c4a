//! The journal of a run: what happened in it, line by line. A run is its plan and the fold of its lines.

use std::sync::Arc;

use super::state::RunState;
use crate::model::{Object, Value};

/// Why an attempt, a step or a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one word that decides whether it is tried again, such as `UNAVAILABLE`: the name of a gRPC code.
    pub code: Arc<str>,
    /// For people.
    pub message: Arc<str>,
}

impl Failure {
    /// A failure of this code.
    #[must_use]
    pub fn new(code: &str, message: impl AsRef<str>) -> Self {
        Self {
            code: code.into(),
            message: message.as_ref().into(),
        }
    }
}

/// One line: what happened, when, and under which epoch it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number within the run, from 1, without gaps.
    pub seq: u32,
    /// When, in milliseconds since 1970; never below the line before.
    pub time_ms: u64,
    /// The epoch of whoever carried the run out.
    pub epoch: u32,
    /// What.
    pub what: What,
}

/// What can happen in a run. Steps are named by their index in the plan.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It has a place, and its steps begin.
    RunStarted,
    /// Another server carries it out from here on, or the same one after a restart. Attempts that were under way are begun again.
    TakenOver {
        /// Which, as an opaque word.
        server: Arc<str>,
    },
    /// An attempt begins.
    StepStarted {
        /// The step.
        step: usize,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// One element of a step's list is done. It is not done again.
    ItemSucceeded {
        /// The step.
        step: usize,
        /// Which element, from 0.
        index: u32,
        /// What it gave.
        result: Value,
    },
    /// An attempt failed, and another one begins later.
    StepRetrying {
        /// The step.
        step: usize,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// When the next one begins, in milliseconds since 1970.
        at_ms: u64,
    },
    /// An attempt succeeded.
    StepSucceeded {
        /// The step.
        step: usize,
        /// What it gave.
        result: Value,
    },
    /// The last attempt failed.
    StepFailed {
        /// The step.
        step: usize,
        /// Why.
        failure: Failure,
    },
    /// It does not run.
    StepSkipped {
        /// The step.
        step: usize,
        /// Why: the condition, or the dependency and how that ended.
        why: Arc<str>,
    },
    /// It was under way, or waited, when the run was cancelled, failed or ran out of time.
    StepCancelled {
        /// The step.
        step: usize,
    },
    /// Somebody wants the run to end.
    CancelAsked {
        /// Who.
        actor: Arc<str>,
        /// Why; may be empty.
        reason: Arc<str>,
    },
    /// What had succeeded is undone from here on.
    CompensationsBegan {
        /// How the run will have ended: `Failed` or `Cancelled`.
        ending: RunState,
        /// Why.
        failure: Failure,
    },
    /// An attempt to undo a step begins.
    CompensationStarted {
        /// The step.
        step: usize,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// An attempt to undo a step failed, and another one begins later.
    CompensationRetrying {
        /// The step.
        step: usize,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// When the next one begins, in milliseconds since 1970.
        at_ms: u64,
    },
    /// A step is undone.
    CompensationSucceeded {
        /// The step.
        step: usize,
    },
    /// A step could not be undone. The others still are.
    CompensationFailed {
        /// The step.
        step: usize,
        /// Why.
        failure: Failure,
    },
    /// The run has ended.
    RunEnded {
        /// How.
        state: RunState,
        /// Why, where it failed or was cancelled.
        failure: Option<Failure>,
        /// What it gave back.
        outputs: Object,
    },
}

impl What {
    /// The step that it is about.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        match self {
            Self::StepStarted { step, .. }
            | Self::ItemSucceeded { step, .. }
            | Self::StepRetrying { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepCancelled { step }
            | Self::CompensationStarted { step, .. }
            | Self::CompensationRetrying { step, .. }
            | Self::CompensationSucceeded { step }
            | Self::CompensationFailed { step, .. } => Some(*step),
            Self::RunStarted
            | Self::TakenOver { .. }
            | Self::CancelAsked { .. }
            | Self::CompensationsBegan { .. }
            | Self::RunEnded { .. } => None,
        }
    }

    /// The attempt that it is about.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::StepStarted { attempt, .. }
            | Self::StepRetrying { attempt, .. }
            | Self::CompensationStarted { attempt, .. }
            | Self::CompensationRetrying { attempt, .. } => Some(*attempt),
            _ => None,
        }
    }

    /// Why, where something failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::StepRetrying { failure, .. }
            | Self::StepFailed { failure, .. }
            | Self::CompensationsBegan { failure, .. }
            | Self::CompensationRetrying { failure, .. }
            | Self::CompensationFailed { failure, .. } => Some(failure),
            Self::RunEnded { failure, .. } => failure.as_ref(),
            _ => None,
        }
    }

    /// What happened, in the words of a timeline.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::RunStarted => "run_started",
            Self::TakenOver { .. } => "run_taken_over",
            Self::StepStarted { .. } => "step_started",
            Self::ItemSucceeded { .. } => "item_succeeded",
            Self::StepRetrying { .. } => "step_retrying",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepFailed { .. } => "step_failed",
            Self::StepSkipped { .. } => "step_skipped",
            Self::StepCancelled { .. } => "step_cancelled",
            Self::CancelAsked { .. } => "run_cancel_asked",
            Self::CompensationsBegan { .. } => "run_compensating",
            Self::CompensationStarted { .. } => "compensation_started",
            Self::CompensationRetrying { .. } => "compensation_retrying",
            Self::CompensationSucceeded { .. } => "compensation_succeeded",
            Self::CompensationFailed { .. } => "compensation_failed",
            Self::RunEnded { state, .. } => match state {
                RunState::Succeeded => "run_succeeded",
                RunState::Cancelled => "run_cancelled",
                _ => "run_failed",
            },
        }
    }
}
