//! Patterns from the wire.
//!
//! 0 stands for what is usual, as the contract says. Whoever registers a pattern is told everything that is wrong with it at once, so
//! that what cannot be parsed is noted, and the rest is read on.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::model::shape::no_type;
use kg_core::model::{
    Compensation, Input, Join, Name, Object, Output, PatternBody, PatternSpec, Retry, Step, Value,
    ValueType,
};
use prost_types::{Struct, Value as Wire};

/// A pattern. Fields are named from the pattern on.
///
/// # Errors
/// The first fault of what cannot be parsed; the rules of a pattern as a whole are checked by `plan`.
pub fn pattern(given: &v1::Pattern) -> Result<PatternSpec, Fault> {
    let mut parser = Parser::default();
    let spec = parser.pattern(given);
    match (spec, parser.faults.into_iter().next()) {
        (Some(spec), None) => Ok(spec),
        (_, Some(fault)) => Err(fault),
        (None, None) => Err(Fault::new("name", "is required")),
    }
}

/// As much of a pattern as can be read, and every field that cannot, named from the pattern on. Those stand empty in what was read,
/// and a pattern without a name has one that means nothing: so the rest can be judged all the same.
pub fn read_pattern(given: &v1::Pattern) -> (PatternSpec, Vec<Fault>) {
    let mut parser = Parser::default();
    let read = parser.pattern(given);
    let spec = read.unwrap_or_else(|| {
        let named = v1::Pattern {
            name: "unnamed".to_owned(),
            ..given.clone()
        };
        // The faults of this second reading are those of the first.
        Parser::default()
            .pattern(&named)
            .expect("a pattern with a name is read")
    });
    (spec, parser.faults)
}

#[derive(Default)]
struct Parser {
    faults: Vec<Fault>,
}

impl Parser {
    /// None without a name.
    fn pattern(&mut self, given: &v1::Pattern) -> Option<PatternSpec> {
        let name = self.keep(Name::parse("name", &given.name));
        let steps = given.steps.iter().enumerate();
        let inputs = given.inputs.iter().enumerate();
        let outputs = given.outputs.iter().enumerate();
        let body = PatternBody {
            description: given.description.clone(),
            version: given.version.clone(),
            category: given.category.clone(),
            owner: given.owner.clone(),
            origin: given.origin.clone(),
            active: given.active,
            steps: steps
                .map(|(i, step)| self.step(&format!("steps[{i}]"), step))
                .collect(),
            inputs: inputs
                .map(|(i, input)| self.input(&format!("inputs[{i}]"), input))
                .collect(),
            outputs: outputs
                .map(|(i, output)| self.output(&format!("outputs[{i}]"), output))
                .collect(),
            classes: given
                .classes
                .iter()
                .map(|(class, most)| (class.clone(), *most))
                .collect(),
            max_runs: given.max_runs,
            max_parallel: given.max_parallel,
            timeout_ms: given.timeout_ms,
        };
        let metadata = self.object("metadata", given.metadata.as_ref());
        name.map(|name| PatternSpec {
            name,
            body,
            metadata,
        })
    }

    fn step(&mut self, at: &str, given: &v1::PatternStep) -> Step {
        Step {
            id: given.id.clone(),
            kind: given.r#type.clone(),
            target: given.target.clone(),
            action: given.action.clone(),
            depends_on: given.depends_on.clone(),
            join: self.join(&format!("{at}.join"), given.join),
            parameters: self.object(&format!("{at}.parameters"), given.parameters.as_ref()),
            required: given.required.clone(),
            optional: given.optional.clone(),
            retry: given.retry.as_ref().map(retry),
            timeout_ms: given.timeout_ms,
            total_timeout_ms: given.total_timeout_ms,
            condition: self.value(&format!("{at}.condition"), given.condition.as_ref()),
            compensation: given
                .compensation
                .as_ref()
                .map(|undo| self.compensation(&format!("{at}.compensation"), undo)),
            class: given.concurrency_class.clone(),
            description: given.description.clone(),
        }
    }

    fn compensation(&mut self, at: &str, given: &v1::Compensation) -> Compensation {
        Compensation {
            kind: given.r#type.clone(),
            target: given.target.clone(),
            action: given.action.clone(),
            parameters: self.object(&format!("{at}.parameters"), given.parameters.as_ref()),
            retry: given.retry.as_ref().map(retry),
            timeout_ms: given.timeout_ms,
        }
    }

    fn input(&mut self, at: &str, given: &v1::PatternInput) -> Input {
        Input {
            name: given.name.clone(),
            kind: self.kind(&format!("{at}.type"), &given.r#type),
            required: given.required,
            default: self.value(&format!("{at}.default"), given.default.as_ref()),
            description: given.description.clone(),
        }
    }

    fn output(&mut self, at: &str, given: &v1::PatternOutput) -> Output {
        Output {
            name: given.name.clone(),
            kind: self.kind(&format!("{at}.type"), &given.r#type),
            value: self.value(&format!("{at}.value"), given.value.as_ref()),
            description: given.description.clone(),
        }
    }

    fn join(&mut self, field: &str, number: i32) -> Join {
        match self.keep(super::number_of::<v1::pattern_step::Join>(field, number)) {
            Some(v1::pattern_step::Join::Any) => Join::Any,
            Some(v1::pattern_step::Join::All) | None => Join::All,
        }
    }

    fn kind(&mut self, field: &str, word: &str) -> ValueType {
        ValueType::of_name(word).unwrap_or_else(|| {
            self.faults.push(Fault::new(field, no_type(word)));
            ValueType::Any
        })
    }

    fn object(&mut self, field: &str, given: Option<&Struct>) -> Object {
        self.keep(super::object(field, given)).unwrap_or_default()
    }

    /// Null where there is none.
    fn value(&mut self, field: &str, given: Option<&Wire>) -> Value {
        let value = given.map(|given| super::value(field, Some(given)));
        value
            .and_then(|value| self.keep(value))
            .unwrap_or(Value::Null)
    }

    fn keep<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.faults.push(fault)).ok()
    }
}

/// A policy with its numbers as they are meant.
fn retry(given: &v1::RetryPolicy) -> Retry {
    let usual = Retry::default();
    let or = |given, usual| if given == 0 { usual } else { given };
    Retry {
        max_attempts: or(given.max_attempts, usual.max_attempts),
        backoff_ms: or(given.backoff_ms, usual.backoff_ms),
        multiplier: if given.multiplier == 0.0 {
            usual.multiplier
        } else {
            given.multiplier
        },
        max_backoff_ms: or(given.max_backoff_ms, usual.max_backoff_ms),
        jitter: given.jitter.unwrap_or(usual.jitter),
        codes: given.codes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(faults: Vec<Fault>) -> Vec<String> {
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn zeros_of_a_retry_policy_are_what_is_usual_but_a_jitter_of_zero_is_none() {
        assert_eq!(retry(&v1::RetryPolicy::default()), Retry::default());
        let still = v1::RetryPolicy {
            jitter: Some(0.0),
            ..v1::RetryPolicy::default()
        };
        assert_eq!(retry(&still).jitter, 0.0);
    }

    #[test]
    fn everything_that_is_wrong_with_a_pattern_is_told_at_once() {
        let wrong = v1::Pattern {
            name: "p".into(),
            steps: vec![v1::PatternStep {
                join: 7,
                condition: Some(Wire { kind: None }),
                retry: Some(v1::RetryPolicy {
                    multiplier: -1.0,
                    ..v1::RetryPolicy::default()
                }),
                ..v1::PatternStep::default()
            }],
            inputs: vec![v1::PatternInput {
                name: "x".into(),
                r#type: "text".into(),
                ..v1::PatternInput::default()
            }],
            ..v1::Pattern::default()
        };
        assert_eq!(
            fields(read_pattern(&wrong).1),
            ["steps[0].join", "steps[0].condition", "inputs[0].type"]
        );
        assert_eq!(
            pattern(&wrong).expect_err("it is wrong").field,
            "steps[0].join"
        );
    }
}
