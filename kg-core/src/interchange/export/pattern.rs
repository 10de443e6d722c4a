//! A pattern as our own form writes it: field by field, what says nothing left out.

use super::{Json, list, map_unless_empty, text};
use crate::model::value::exact_integer;
use crate::model::{
    Compensation, Entity, Input, Join, Output, PatternBody, Retry, Step, Value, ValueType,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::sync::Arc;

pub(super) struct Pattern<'a>(pub &'a Arc<Entity>, pub &'a PatternBody);

impl Serialize for Pattern<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(entity, body) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", entity.key.name.as_str())?;
        text(&mut map, "category", &body.category)?;
        text(&mut map, "version", &body.version)?;
        text(&mut map, "owner", &body.owner)?;
        text(&mut map, "origin", &body.origin)?;
        text(&mut map, "description", &body.description)?;
        if body.active {
            map.serialize_entry("active", &true)?;
        }
        let inputs: Vec<InputOf> = body.inputs.iter().map(InputOf).collect();
        list(&mut map, "inputs", &inputs)?;
        let steps: Vec<StepOf> = body.steps.iter().map(StepOf).collect();
        list(&mut map, "steps", &steps)?;
        let outputs: Vec<OutputOf> = body.outputs.iter().map(OutputOf).collect();
        list(&mut map, "outputs", &outputs)?;
        if !body.classes.is_empty() {
            map.serialize_entry("classes", &body.classes)?;
        }
        count(&mut map, "max_runs", body.max_runs)?;
        count(&mut map, "max_parallel", body.max_parallel)?;
        count(&mut map, "timeout_ms", body.timeout_ms)?;
        map_unless_empty(&mut map, "metadata", &entity.properties)?;
        map.end()
    }
}

struct StepOf<'a>(&'a Step);

impl Serialize for StepOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let step = self.0;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "id", &step.id)?;
        text(&mut map, "type", &step.kind)?;
        text(&mut map, "target", &step.target)?;
        text(&mut map, "action", &step.action)?;
        text(&mut map, "description", &step.description)?;
        list(&mut map, "depends_on", &step.depends_on)?;
        if step.join == Join::Any {
            text(&mut map, "join", "any")?;
        }
        some(&mut map, "condition", &step.condition)?;
        map_unless_empty(&mut map, "parameters", &step.parameters)?;
        list(&mut map, "required", &step.required)?;
        list(&mut map, "optional", &step.optional)?;
        if let Some(retry) = &step.retry {
            map.serialize_entry("retry", &RetryOf(retry))?;
        }
        count(&mut map, "timeout_ms", step.timeout_ms)?;
        count(&mut map, "total_timeout_ms", step.total_timeout_ms)?;
        text(&mut map, "concurrency_class", &step.class)?;
        if let Some(undo) = &step.compensation {
            map.serialize_entry("compensation", &Undo(undo))?;
        }
        map.end()
    }
}

struct Undo<'a>(&'a Compensation);

impl Serialize for Undo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let undo = self.0;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "type", &undo.kind)?;
        text(&mut map, "target", &undo.target)?;
        text(&mut map, "action", &undo.action)?;
        map_unless_empty(&mut map, "parameters", &undo.parameters)?;
        if let Some(retry) = &undo.retry {
            map.serialize_entry("retry", &RetryOf(retry))?;
        }
        count(&mut map, "timeout_ms", undo.timeout_ms)?;
        map.end()
    }
}

/// All of it, for to the reader 0 stands for what is usual. A jitter of 0 is one.
struct RetryOf<'a>(&'a Retry);

impl Serialize for RetryOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let retry = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("max_attempts", &retry.max_attempts)?;
        map.serialize_entry("backoff_ms", &retry.backoff_ms)?;
        number(&mut map, "multiplier", retry.multiplier)?;
        map.serialize_entry("max_backoff_ms", &retry.max_backoff_ms)?;
        number(&mut map, "jitter", retry.jitter)?;
        list(&mut map, "codes", &retry.codes)?;
        map.end()
    }
}

struct InputOf<'a>(&'a Input);

impl Serialize for InputOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let input = self.0;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "name", &input.name)?;
        kind(&mut map, input.kind)?;
        if input.required {
            map.serialize_entry("required", &true)?;
        }
        some(&mut map, "default", &input.default)?;
        text(&mut map, "description", &input.description)?;
        map.end()
    }
}

struct OutputOf<'a>(&'a Output);

impl Serialize for OutputOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let output = self.0;
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "name", &output.name)?;
        kind(&mut map, output.kind)?;
        some(&mut map, "value", &output.value)?;
        text(&mut map, "description", &output.description)?;
        map.end()
    }
}

fn kind<M: SerializeMap>(map: &mut M, kind: ValueType) -> Result<(), M::Error> {
    match kind {
        ValueType::Any => Ok(()),
        kind => map.serialize_entry("type", kind.name()),
    }
}

fn some<M: SerializeMap>(map: &mut M, key: &str, value: &Value) -> Result<(), M::Error> {
    match value {
        Value::Null => Ok(()),
        value => map.serialize_entry(key, &Json(value)),
    }
}

fn count<M: SerializeMap>(map: &mut M, key: &str, count: u32) -> Result<(), M::Error> {
    if count == 0 {
        return Ok(());
    }
    map.serialize_entry(key, &count)
}

fn number<M: SerializeMap>(map: &mut M, key: &str, number: f64) -> Result<(), M::Error> {
    match exact_integer(number) {
        Some(integer) => map.serialize_entry(key, &integer),
        None => map.serialize_entry(key, &number),
    }
}
