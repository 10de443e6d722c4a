//! Patterns as the wire's messages. A retry policy shows what it comes to, not what was left out.

use amadeus_proto::v1;
use kg_core::model::{
    Compensation, Entity, Input, Join, Output, PatternBody, Retry, Step, Value, ValueType,
};

use super::{properties, value};

/// A pattern as a read shows it.
#[must_use]
pub fn pattern(entity: &Entity, body: &PatternBody) -> v1::Pattern {
    let class = |(class, most): (&String, &u32)| (class.clone(), *most);
    v1::Pattern {
        name: entity.key.name.to_string(),
        description: body.description.clone(),
        version: body.version.clone(),
        category: body.category.clone(),
        owner: body.owner.clone(),
        origin: body.origin.clone(),
        active: body.active,
        steps: body.steps.iter().map(step).collect(),
        metadata: properties(&entity.properties),
        inputs: body.inputs.iter().map(input).collect(),
        outputs: body.outputs.iter().map(output).collect(),
        classes: body.classes.iter().map(class).collect(),
        max_runs: body.max_runs,
        max_parallel: body.max_parallel,
        timeout_ms: body.timeout_ms,
    }
}

fn step(step: &Step) -> v1::PatternStep {
    let join = match step.join {
        Join::All => v1::pattern_step::Join::All,
        Join::Any => v1::pattern_step::Join::Any,
    };
    v1::PatternStep {
        id: step.id.clone(),
        r#type: step.kind.clone(),
        target: step.target.clone(),
        parameters: properties(&step.parameters),
        depends_on: step.depends_on.clone(),
        action: step.action.clone(),
        required: step.required.clone(),
        optional: step.optional.clone(),
        retry: step.retry.as_ref().map(retry),
        timeout_ms: step.timeout_ms,
        total_timeout_ms: step.total_timeout_ms,
        condition: unless_null(&step.condition),
        compensation: step.compensation.as_ref().map(compensation),
        concurrency_class: step.class.clone(),
        join: join.into(),
        description: step.description.clone(),
    }
}

fn compensation(undo: &Compensation) -> v1::Compensation {
    v1::Compensation {
        r#type: undo.kind.clone(),
        target: undo.target.clone(),
        action: undo.action.clone(),
        parameters: properties(&undo.parameters),
        retry: undo.retry.as_ref().map(retry),
        timeout_ms: undo.timeout_ms,
    }
}

fn retry(retry: &Retry) -> v1::RetryPolicy {
    v1::RetryPolicy {
        max_attempts: retry.max_attempts,
        backoff_ms: retry.backoff_ms,
        multiplier: retry.multiplier,
        max_backoff_ms: retry.max_backoff_ms,
        jitter: Some(retry.jitter),
        codes: retry.codes.clone(),
    }
}

fn input(input: &Input) -> v1::PatternInput {
    v1::PatternInput {
        name: input.name.clone(),
        r#type: word(input.kind),
        required: input.required,
        default: unless_null(&input.default),
        description: input.description.clone(),
    }
}

fn output(output: &Output) -> v1::PatternOutput {
    v1::PatternOutput {
        name: output.name.clone(),
        r#type: word(output.kind),
        value: unless_null(&output.value),
        description: output.description.clone(),
    }
}

fn word(kind: ValueType) -> String {
    match kind {
        ValueType::Any => String::new(),
        kind => kind.name().to_owned(),
    }
}

fn unless_null(given: &Value) -> Option<prost_types::Value> {
    match given {
        Value::Null => None,
        given => Some(value(given)),
    }
}
