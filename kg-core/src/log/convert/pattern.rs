//! Patterns between their type and their message.
//!
//! The bytes are hashed, so equal definitions give equal bytes; and what an old log says without the later fields encodes to what it
//! was.

use super::{json, object, value};
use crate::log::wire;
use crate::model::{Compensation, Input, Join, Output, PatternBody, Retry, Step, Value, ValueType};

impl From<&PatternBody> for wire::Pattern {
    fn from(body: &PatternBody) -> Self {
        let class = |(name, most): (&String, &u32)| wire::Class {
            name: name.clone(),
            most: *most,
        };
        Self {
            description: body.description.clone(),
            version: body.version.clone(),
            category: body.category.clone(),
            owner: body.owner.clone(),
            origin: body.origin.clone(),
            active: body.active,
            steps: body.steps.iter().map(wire::Step::from).collect(),
            inputs: body.inputs.iter().map(wire::Input::from).collect(),
            outputs: body.outputs.iter().map(wire::Output::from).collect(),
            classes: body.classes.iter().map(class).collect(),
            max_runs: body.max_runs,
            max_parallel: body.max_parallel,
            timeout_ms: body.timeout_ms,
        }
    }
}

impl From<&Step> for wire::Step {
    fn from(step: &Step) -> Self {
        Self {
            id: step.id.clone(),
            kind: step.kind.clone(),
            target: step.target.clone(),
            depends_on: step.depends_on.clone(),
            parameters: json(&step.parameters),
            action: step.action.clone(),
            join_any: step.join == Join::Any,
            required: step.required.clone(),
            optional: step.optional.clone(),
            retry: step.retry.as_ref().map(wire::Retry::from),
            timeout_ms: step.timeout_ms,
            total_timeout_ms: step.total_timeout_ms,
            condition: any_json(&step.condition),
            compensation: step.compensation.as_ref().map(wire::Compensation::from),
            class: step.class.clone(),
            description: step.description.clone(),
        }
    }
}

impl From<&Retry> for wire::Retry {
    fn from(retry: &Retry) -> Self {
        Self {
            max_attempts: retry.max_attempts,
            backoff_ms: retry.backoff_ms,
            multiplier: retry.multiplier,
            max_backoff_ms: retry.max_backoff_ms,
            jitter: retry.jitter,
            codes: retry.codes.clone(),
        }
    }
}

impl From<&Compensation> for wire::Compensation {
    fn from(undo: &Compensation) -> Self {
        Self {
            kind: undo.kind.clone(),
            target: undo.target.clone(),
            action: undo.action.clone(),
            parameters: json(&undo.parameters),
            retry: undo.retry.as_ref().map(wire::Retry::from),
            timeout_ms: undo.timeout_ms,
        }
    }
}

impl From<&Input> for wire::Input {
    fn from(input: &Input) -> Self {
        Self {
            name: input.name.clone(),
            kind: kind_word(input.kind),
            required: input.required,
            default: any_json(&input.default),
            description: input.description.clone(),
        }
    }
}

impl From<&Output> for wire::Output {
    fn from(output: &Output) -> Self {
        Self {
            name: output.name.clone(),
            kind: kind_word(output.kind),
            value: any_json(&output.value),
            description: output.description.clone(),
        }
    }
}

/// Nothing for whatever it is.
fn kind_word(kind: ValueType) -> String {
    match kind {
        ValueType::Any => String::new(),
        kind => kind.name().to_owned(),
    }
}

/// Canonical JSON, with nothing for null.
fn any_json(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => value.to_json(),
    }
}

impl TryFrom<wire::Pattern> for PatternBody {
    type Error = String;

    fn try_from(body: wire::Pattern) -> Result<Self, String> {
        Ok(Self {
            description: body.description,
            version: body.version,
            category: body.category,
            owner: body.owner,
            origin: body.origin,
            active: body.active,
            steps: each(body.steps)?,
            inputs: each(body.inputs)?,
            outputs: each(body.outputs)?,
            classes: body.classes.into_iter().map(|c| (c.name, c.most)).collect(),
            max_runs: body.max_runs,
            max_parallel: body.max_parallel,
            timeout_ms: body.timeout_ms,
        })
    }
}

impl TryFrom<wire::Step> for Step {
    type Error = String;

    fn try_from(step: wire::Step) -> Result<Self, String> {
        Ok(Self {
            id: step.id,
            kind: step.kind,
            target: step.target,
            action: step.action,
            depends_on: step.depends_on,
            join: if step.join_any { Join::Any } else { Join::All },
            parameters: object(&step.parameters)?,
            required: step.required,
            optional: step.optional,
            retry: step.retry.map(Retry::from),
            timeout_ms: step.timeout_ms,
            total_timeout_ms: step.total_timeout_ms,
            condition: any(&step.condition)?,
            compensation: step.compensation.map(Compensation::try_from).transpose()?,
            class: step.class,
            description: step.description,
        })
    }
}

impl From<wire::Retry> for Retry {
    fn from(retry: wire::Retry) -> Self {
        Self {
            max_attempts: retry.max_attempts,
            backoff_ms: retry.backoff_ms,
            multiplier: retry.multiplier,
            max_backoff_ms: retry.max_backoff_ms,
            jitter: retry.jitter,
            codes: retry.codes,
        }
    }
}

impl TryFrom<wire::Compensation> for Compensation {
    type Error = String;

    fn try_from(undo: wire::Compensation) -> Result<Self, String> {
        Ok(Self {
            kind: undo.kind,
            target: undo.target,
            action: undo.action,
            parameters: object(&undo.parameters)?,
            retry: undo.retry.map(Retry::from),
            timeout_ms: undo.timeout_ms,
        })
    }
}

impl TryFrom<wire::Input> for Input {
    type Error = String;

    fn try_from(input: wire::Input) -> Result<Self, String> {
        Ok(Self {
            name: input.name,
            kind: kind(&input.kind)?,
            required: input.required,
            default: any(&input.default)?,
            description: input.description,
        })
    }
}

impl TryFrom<wire::Output> for Output {
    type Error = String;

    fn try_from(output: wire::Output) -> Result<Self, String> {
        Ok(Self {
            name: output.name,
            kind: kind(&output.kind)?,
            value: any(&output.value)?,
            description: output.description,
        })
    }
}

fn each<M, T: TryFrom<M, Error = String>>(messages: Vec<M>) -> Result<Vec<T>, String> {
    messages.into_iter().map(T::try_from).collect()
}

fn kind(word: &str) -> Result<ValueType, String> {
    ValueType::of_name(word).ok_or_else(|| format!("unknown type of value {word:?}"))
}

fn any(text: &str) -> Result<Value, String> {
    match text {
        "" => Ok(Value::Null),
        text => value(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// A pattern as records held it before patterns ran.
    #[derive(Clone, PartialEq, Message)]
    struct Old {
        #[prost(string, tag = "1")]
        description: String,
        #[prost(bool, tag = "6")]
        active: bool,
        #[prost(message, repeated, tag = "7")]
        steps: Vec<OldStep>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct OldStep {
        #[prost(string, tag = "1")]
        id: String,
        #[prost(string, repeated, tag = "4")]
        depends_on: Vec<String>,
        #[prost(string, tag = "5")]
        parameters: String,
    }

    #[test]
    fn a_pattern_of_an_old_log_is_read_and_has_the_bytes_that_it_had() {
        let old = Old {
            description: "sells".into(),
            active: true,
            steps: vec![OldStep {
                id: "pay".into(),
                depends_on: vec!["pick".into()],
                parameters: r#"{"amount":1}"#.into(),
            }],
        };
        let bytes = old.encode_to_vec();
        let message = wire::Pattern::decode(bytes.as_slice()).expect("a message");
        let body = PatternBody::try_from(message).expect("a pattern");
        assert_eq!(body.steps[0].depends_on, ["pick"]);
        assert_eq!(wire::Pattern::from(&body).encode_to_vec(), bytes);
    }
}
