//! Patterns: multi-step workflows that run across services. Here only what they say; running them is not the graph's.

mod faults;

use super::name::Name;
use super::value::{Object, Value};
use std::collections::BTreeMap;

/// One node of a pattern's graph of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Its id within the pattern.
    pub id: String,
    /// What kind of step it is, such as `grpc`.
    pub kind: String,
    /// What it acts on: `service/name`, `pattern/name`; may be empty.
    pub target: String,
    /// What it does to it: a method, a query, `emit`; may be empty.
    pub action: String,
    /// Ids of the steps that must have succeeded before it.
    pub depends_on: Vec<String>,
    /// Which of those it waits for.
    pub join: Join,
    /// Its arguments, with references.
    pub parameters: Object,
    /// Parameters that must be there, and come to something.
    pub required: Vec<String>,
    /// Parameters that may be there.
    pub optional: Vec<String>,
    /// How it is tried again; `None`: it is not.
    pub retry: Option<Retry>,
    /// How long one attempt may take; 0: what its type says.
    pub timeout_ms: u32,
    /// How long all attempts and the pauses between them may take; 0: as long as the run.
    pub total_timeout_ms: u32,
    /// Only if it holds is the step run; `Null`: always.
    pub condition: Value,
    /// What undoes it.
    pub compensation: Option<Compensation>,
    /// Its class among the pattern's; empty: none.
    pub class: String,
    /// For people.
    pub description: String,
}

/// Which of its dependencies a step waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// All have to succeed; one that was skipped skips it.
    #[default]
    All,
    /// One has to succeed, and none may fail.
    Any,
}

/// How a step is tried again. The pause before attempt n + 1 is `backoff_ms * multiplier^(n - 1)`, at most `max_backoff_ms`, less
/// a random share of it of up to `jitter`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub max_attempts: u32,
    /// The first pause, in milliseconds.
    pub backoff_ms: u32,
    /// By what a pause is longer than the one before; at least 1.
    pub multiplier: f64,
    /// The longest pause, in milliseconds.
    pub max_backoff_ms: u32,
    /// Between 0 and 1.
    pub jitter: f64,
    /// Codes that are worth another attempt; empty: [`Retry::CODES`].
    pub codes: Vec<String>,
}

impl Retry {
    /// The codes that are worth another attempt where a policy names none.
    pub const CODES: [&str; 5] = [
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "INTERNAL",
    ];
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff_ms: 100,
            multiplier: 2.0,
            max_backoff_ms: 30_000,
            jitter: 0.5,
            codes: Vec::new(),
        }
    }
}

/// What undoes a step that has succeeded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compensation {
    /// As of a step.
    pub kind: String,
    /// As of a step.
    pub target: String,
    /// As of a step.
    pub action: String,
    /// As of a step.
    pub parameters: Object,
    /// How it is tried again; `None`: five attempts.
    pub retry: Option<Retry>,
    /// How long one attempt may take; 0: what its type says.
    pub timeout_ms: u32,
}

/// What kind of value something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueType {
    /// Whatever it is.
    #[default]
    Any,
    /// Text.
    String,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
}

impl ValueType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Any,
        Self::String,
        Self::Number,
        Self::Integer,
        Self::Boolean,
        Self::List,
        Self::Object,
    ];

    /// Its name, as definitions write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Object => "object",
        }
    }

    /// The type of this name; of none, `any`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        if name.is_empty() {
            return Some(Self::Any);
        }
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a value is of it.
    #[must_use]
    pub fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _)
            | (Self::String, Value::String(_))
            | (Self::Number, Value::Number(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::List, Value::List(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => number.fract() == 0.0,
            _ => false,
        }
    }

    /// Whether something of the type `other` may stand where this is asked for.
    #[must_use]
    pub fn takes(self, other: Self) -> bool {
        self == other
            || self == Self::Any
            || other == Self::Any
            || matches!(
                (self, other),
                (Self::Number, Self::Integer) | (Self::Integer, Self::Number)
            )
    }
}

/// Something that a run is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// What it has to be.
    pub kind: ValueType,
    /// Whether a run without it is refused.
    pub required: bool,
    /// What it is where a run is not given it.
    pub default: Value,
    /// For people.
    pub description: String,
}

/// Something that a run gives back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What it has to be.
    pub kind: ValueType,
    /// What it is, with references.
    pub value: Value,
    /// For people.
    pub description: String,
}

/// The typed body of a pattern.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatternBody {
    /// What it is for.
    pub description: String,
    /// Its version, free text.
    pub version: String,
    /// A group of patterns.
    pub category: String,
    /// Who answers for it.
    pub owner: String,
    /// Where it comes from: `system` or `user`, free text.
    pub origin: String,
    /// Whether it may be run.
    pub active: bool,
    /// Its steps, in the order given.
    pub steps: Vec<Step>,
    /// What a run is given.
    pub inputs: Vec<Input>,
    /// What a run gives back.
    pub outputs: Vec<Output>,
    /// How many steps of a class may be under way at once.
    pub classes: BTreeMap<String, u32>,
    /// How many runs may be under way at once; 0: as many as the server allows.
    pub max_runs: u32,
    /// How many steps of one run may be under way at once; 0: 16.
    pub max_parallel: u32,
    /// How long a run may take, without its compensations; 0: a day.
    pub timeout_ms: u32,
}

/// Everything that a pattern's definition says.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternSpec {
    /// Its name.
    pub name: Name,
    /// Its typed body.
    pub body: PatternBody,
    /// Anything else.
    pub metadata: Object,
}
