//! Random patterns, together with everything that will happen to their steps: how long each attempt takes and how it ends.
//!
//! Times are drawn from so wide a range that no two things happen at the same millisecond: what a run does then depends on
//! nothing but the case.

use std::sync::Arc;

use crate::model::{
    Compensation, Join, Name, Object, Output, PatternBody, PatternSpec, Retry, Step, Value,
    ValueType,
};
use crate::nexus::{StepType, StepTypes, Target, unchecked};
use crate::testing::generate::Rng;

/// How long an attempt may take at most.
const LONGEST_MS: usize = 1 << 26;

/// The codes that attempts fail with: two that are tried again by themselves, and two that are not.
const CODES: [&str; 4] = ["UNAVAILABLE", "INTERNAL", "NOT_FOUND", "ALREADY_EXISTS"];

/// What the input `n` of a run is.
pub const INPUT: f64 = 5.0;

/// A pattern, and what will happen in a run of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Each depends only on those before it.
    pub steps: Vec<CaseStep>,
    /// How many steps may be under way at once.
    pub max_parallel: u32,
    /// How long a run may take.
    pub timeout_ms: u32,
    /// When somebody cancels it, after its beginning.
    pub cancel_at: Option<u64>,
    /// What it gives back: the number of a step, or a text with it.
    pub outputs: Vec<Argument>,
}

/// A step, and what will happen to it.
#[derive(Clone, Debug)]
pub struct CaseStep {
    /// Its id.
    pub id: String,
    /// What it depends on.
    pub depends_on: Vec<usize>,
    /// Whether one success is enough.
    pub any: bool,
    /// When it runs.
    pub condition: When,
    /// What it is called with.
    pub arguments: Vec<Argument>,
    /// A number of its own in its result.
    pub salt: f64,
    /// How it is tried again.
    pub retry: Option<Retry>,
    /// How long an attempt may take; 0: as long as it wants.
    pub timeout_ms: u32,
    /// How long all of them may take; 0: as long as they want.
    pub total_timeout_ms: u32,
    /// What will come of each attempt, the last of all that follow.
    pub attempts: Vec<Attempt>,
    /// What undoes it.
    pub undo: Option<Undo>,
}

/// What undoes a step, and what will come of it.
#[derive(Clone, Debug)]
pub struct Undo {
    /// How it is tried again; `None`: five attempts.
    pub retry: Option<Retry>,
    /// How long an attempt may take.
    pub timeout_ms: u32,
    /// What it is called with.
    pub arguments: Vec<Argument>,
    /// What will come of each attempt.
    pub attempts: Vec<Attempt>,
}

/// What will come of an attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// After how long.
    pub lasts_ms: u64,
    /// The code that it fails with.
    pub code: Option<&'static str>,
    /// By how much the pause after it is shortened.
    pub random: f64,
}

/// When a step runs.
#[derive(Clone, Debug)]
pub enum When {
    /// Always.
    Always,
    /// Never.
    Never,
    /// When the number of a step is not below this; an error where it has none.
    AtLeast(usize, f64),
    /// When a step succeeded.
    Succeeded(usize),
    /// When a step has no number.
    Lacks(usize),
}

/// What a step is called with.
#[derive(Clone, Debug)]
pub enum Argument {
    /// The input.
    Input,
    /// The number of a step, or null.
    Of(usize),
    /// The number of a step, or it is left out.
    Optional(usize),
    /// The number of a step, or the step fails.
    Required(usize),
    /// A text with the number of a step; an error where it has none.
    Text(usize),
}

static WORK: StepType = StepType {
    name: "work",
    target: Target::None,
    actions: &[],
    free_action: false,
    arguments: &[],
    open: true,
    result: ValueType::Object,
    pure: false,
    timeout_ms: 0,
    check: unchecked,
};

/// The type of all steps of a case.
#[must_use]
pub fn types() -> StepTypes {
    StepTypes::of([&WORK])
}

impl Case {
    /// A random case of 1 to 12 steps.
    #[must_use]
    pub fn random(rng: &mut Rng) -> Self {
        let count = 1 + rng.below(12);
        let mut ids: Vec<String> = (0..count).map(|i| format!("s{i:02}")).collect();
        shuffle(&mut ids, rng);
        let mut ancestors: Vec<Vec<usize>> = Vec::with_capacity(count);
        let mut steps = Vec::with_capacity(count);
        // In some cases nothing fails, or there would be few that go far.
        let calm = rng.once_in(3);
        for (i, id) in ids.into_iter().enumerate() {
            let before: Vec<usize> = (0..i).collect();
            let depends_on = rng.some(&before, 3);
            let mut known: Vec<usize> = depends_on.clone();
            for at in &depends_on {
                known.extend(&ancestors[*at]);
            }
            known.sort_unstable();
            known.dedup();
            steps.push(step(rng, id, depends_on, &known, calm));
            ancestors.push(known);
        }
        let all: Vec<usize> = (0..count).collect();
        Self {
            steps,
            max_parallel: number(1 + rng.below(4)),
            timeout_ms: match rng.below(5) {
                0 => number(1 + rng.below(4 * LONGEST_MS)),
                _ => u32::MAX,
            },
            cancel_at: rng.once_in(5).then(|| 1 + rng.below(4 * LONGEST_MS) as u64),
            outputs: rng
                .some(&all, 2)
                .into_iter()
                .map(|of| match rng.below(8) {
                    0 => Argument::Text(of),
                    _ => Argument::Of(of),
                })
                .collect(),
        }
    }

    /// The steps in a random order, by index.
    #[must_use]
    pub fn listing(&self, rng: &mut Rng) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        shuffle(&mut order, rng);
        order
    }

    /// The pattern, which lists its steps in this order.
    ///
    /// # Panics
    /// Never: its name is valid.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the name is a constant")]
    pub fn pattern(&self, listing: &[usize]) -> PatternSpec {
        let output = |(i, argument): (usize, &Argument)| Output {
            name: format!("o{i}"),
            value: self.template(argument),
            ..Output::default()
        };
        PatternSpec {
            name: Name::parse("name", "case").expect("a name"),
            body: PatternBody {
                active: true,
                steps: listing.iter().map(|at| self.step(*at)).collect(),
                outputs: self.outputs.iter().enumerate().map(output).collect(),
                inputs: vec![crate::model::Input {
                    name: "n".into(),
                    kind: ValueType::Integer,
                    default: Value::Number(INPUT),
                    ..crate::model::Input::default()
                }],
                max_parallel: self.max_parallel,
                timeout_ms: self.timeout_ms,
                ..PatternBody::default()
            },
            metadata: Object::new(),
        }
    }

    fn step(&self, at: usize) -> Step {
        let step = &self.steps[at];
        let listed = |wanted: fn(&Argument) -> bool| {
            let names = step.arguments.iter().enumerate();
            let those = names.filter(move |(_, argument)| wanted(argument));
            those.map(|(i, _)| format!("a{i}")).collect::<Vec<_>>()
        };
        let required = listed(|argument| matches!(argument, Argument::Required(_)));
        // Where either list is given, they have to name every parameter.
        let lists =
            |argument: &Argument| matches!(argument, Argument::Required(_) | Argument::Optional(_));
        let optional = if step.arguments.iter().any(lists) {
            listed(|argument| !matches!(argument, Argument::Required(_)))
        } else {
            Vec::new()
        };
        Step {
            id: step.id.clone(),
            kind: "work".into(),
            depends_on: step
                .depends_on
                .iter()
                .map(|d| self.steps[*d].id.clone())
                .collect(),
            join: if step.any { Join::Any } else { Join::All },
            parameters: self.parameters(&step.arguments),
            required,
            optional,
            retry: step.retry.clone(),
            timeout_ms: step.timeout_ms,
            total_timeout_ms: step.total_timeout_ms,
            condition: self.condition(&step.condition),
            compensation: step.undo.as_ref().map(|undo| Compensation {
                kind: "work".into(),
                parameters: self.parameters(&undo.arguments),
                retry: undo.retry.clone(),
                timeout_ms: undo.timeout_ms,
                ..Compensation::default()
            }),
            ..Step::default()
        }
    }

    fn parameters(&self, arguments: &[Argument]) -> Object {
        let member = |(i, argument): (usize, &Argument)| {
            let name: Arc<str> = format!("a{i}").into();
            (name, self.template(argument))
        };
        arguments.iter().enumerate().map(member).collect()
    }

    fn template(&self, argument: &Argument) -> Value {
        let of = |at: usize| format!("${{steps.{}.result.n}}", self.steps[at].id);
        Value::string(&match argument {
            Argument::Input => "${inputs.n}".to_owned(),
            Argument::Of(at) | Argument::Optional(at) | Argument::Required(at) => of(*at),
            Argument::Text(at) => format!("n={}", of(*at)),
        })
    }

    fn condition(&self, when: &When) -> Value {
        let id = |at: &usize| &self.steps[*at].id;
        let text = match when {
            When::Always => "null".to_owned(),
            When::Never => "false".to_owned(),
            When::AtLeast(at, least) => format!(
                r#"{{"greater_or_equal":["${{steps.{}.result.n}}",{least}]}}"#,
                id(at)
            ),
            When::Succeeded(at) => format!(
                r#"{{"equals":["${{steps.{}.state}}","succeeded"]}}"#,
                id(at)
            ),
            When::Lacks(at) => {
                format!(r#"{{"not":{{"exists":"${{steps.{}.result.n}}"}}}}"#, id(at))
            }
        };
        Value::from_json(text.as_bytes()).unwrap_or_default()
    }
}

fn step(
    rng: &mut Rng,
    id: String,
    depends_on: Vec<usize>,
    known: &[usize],
    calm: bool,
) -> CaseStep {
    let some_step = |rng: &mut Rng| *rng.pick(known);
    let condition = match rng.below(16) {
        0 => When::Never,
        1 if !known.is_empty() => When::AtLeast(some_step(rng), rng.below(800) as f64),
        2 if !known.is_empty() => When::Succeeded(some_step(rng)),
        3 if !known.is_empty() => When::Lacks(some_step(rng)),
        _ => When::Always,
    };
    CaseStep {
        id,
        any: rng.once_in(3),
        depends_on,
        condition,
        arguments: arguments(rng, known, 4),
        salt: rng.below(1_000) as f64,
        retry: (!rng.once_in(4)).then(|| retry(rng)),
        timeout_ms: match rng.below(12) {
            0 if !calm => number(1 + rng.below(LONGEST_MS)),
            _ => 0,
        },
        total_timeout_ms: match rng.below(12) {
            0 if !calm => number(1 + rng.below(3 * LONGEST_MS)),
            _ => 0,
        },
        attempts: attempts(rng, if calm { 0 } else { 3 }),
        undo: rng.once_in(2).then(|| Undo {
            retry: rng.once_in(2).then(|| retry(rng)),
            timeout_ms: match rng.below(4) {
                0 => number(1 + rng.below(LONGEST_MS)),
                _ => u32::MAX,
            },
            // A compensation has no list of what it requires.
            arguments: arguments(rng, known, 2)
                .into_iter()
                .filter(|argument| !matches!(argument, Argument::Required(_)))
                .collect(),
            attempts: attempts(rng, 2),
        }),
    }
}

fn arguments(rng: &mut Rng, known: &[usize], most: usize) -> Vec<Argument> {
    (0..rng.below(most + 1))
        .map(|_| match rng.below(16) {
            0..5 if !known.is_empty() => Argument::Of(*rng.pick(known)),
            5..9 if !known.is_empty() => Argument::Optional(*rng.pick(known)),
            9 if !known.is_empty() => Argument::Required(*rng.pick(known)),
            10 if !known.is_empty() => Argument::Text(*rng.pick(known)),
            _ => Argument::Input,
        })
        .collect()
}

/// Up to `failing` attempts that mostly fail, and one that mostly succeeds.
fn attempts(rng: &mut Rng, failing: usize) -> Vec<Attempt> {
    let attempt = |rng: &mut Rng, fails: bool| {
        let codes = &CODES[..if rng.once_in(8) { 4 } else { 2 }];
        Attempt {
            lasts_ms: 1 + rng.below(LONGEST_MS) as u64,
            code: fails.then(|| *rng.pick(codes)),
            random: rng.below(1_000) as f64 / 1_000.0,
        }
    };
    let failing = rng.below(failing + 1).saturating_sub(1);
    let mut attempts: Vec<Attempt> = (0..failing).map(|_| attempt(rng, true)).collect();
    let fails = failing > 0 && rng.once_in(12);
    attempts.push(attempt(rng, fails));
    attempts
}

fn retry(rng: &mut Rng) -> Retry {
    let backoff_ms = number(rng.below(LONGEST_MS / 4));
    Retry {
        max_attempts: number(1 + rng.below(5)),
        backoff_ms,
        multiplier: *rng.pick(&[1.0, 2.0, 3.0]),
        max_backoff_ms: backoff_ms + number(rng.below(LONGEST_MS / 2)),
        jitter: *rng.pick(&[0.0, 0.5, 1.0]),
        codes: match rng.below(4) {
            0 => vec![
                "INTERNAL".into(),
                "NOT_FOUND".into(),
                "DEADLINE_EXCEEDED".into(),
            ],
            _ => Vec::new(),
        },
    }
}

fn shuffle<T>(list: &mut [T], rng: &mut Rng) {
    for i in (1..list.len()).rev() {
        list.swap(i, rng.below(i + 1));
    }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
