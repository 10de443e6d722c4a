//! A pattern as one object: in a dot path, and in the original's files.
//!
//! Fields are named as on the wire. What says nothing is left out; a retry policy shows what it comes to. A field of a pattern that
//! has no place goes into its metadata; one of a step is a fault, for a misspelt `retry` would otherwise never be tried again.

use super::{Reader, Writer, texts};
use crate::error::Fault;
use crate::model::path::part;
use crate::model::{
    Compensation, Input, Join, Name, Object, Output, PatternBody, PatternSpec, Retry, Step, Value,
    ValueType,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A pattern as one object.
#[must_use]
pub fn pattern_object(spec: &PatternSpec) -> Object {
    let body = &spec.body;
    let mut top = Writer::default();
    top.put("name", Value::string(spec.name.as_str()));
    top.put("category", Value::string(&body.category));
    top.text("description", &body.description);
    top.text("version", &body.version);
    top.text("owner", &body.owner);
    top.text("origin", &body.origin);
    if body.active {
        top.put("active", Value::Bool(true));
    }
    top.put("steps", Value::list(body.steps.iter().map(step_value)));
    if !body.inputs.is_empty() {
        top.put("inputs", Value::list(body.inputs.iter().map(input_value)));
    }
    if !body.outputs.is_empty() {
        let outputs = body.outputs.iter().map(output_value);
        top.put("outputs", Value::list(outputs));
    }
    if !body.classes.is_empty() {
        let class = |(class, most): (&String, &u32)| (Arc::from(class.as_str()), count(*most));
        let classes = body.classes.iter().map(class).collect();
        top.put("classes", Value::Object(classes));
    }
    top.count("max_runs", body.max_runs);
    top.count("max_parallel", body.max_parallel);
    top.count("timeout_ms", body.timeout_ms);
    top.put("metadata", Value::Object(spec.metadata.clone()));
    top.0
}

fn step_value(step: &Step) -> Value {
    let mut out = Writer::default();
    out.text("id", &step.id);
    out.text("type", &step.kind);
    out.text("target", &step.target);
    out.text("action", &step.action);
    out.list("depends_on", &step.depends_on);
    if step.join == Join::Any {
        out.text("join", "any");
    }
    out.members("parameters", &step.parameters);
    out.list("required", &step.required);
    out.list("optional", &step.optional);
    out.retry(step.retry.as_ref());
    out.count("timeout_ms", step.timeout_ms);
    out.count("total_timeout_ms", step.total_timeout_ms);
    out.some("condition", &step.condition);
    if let Some(undo) = &step.compensation {
        out.put("compensation", compensation_value(undo));
    }
    out.text("concurrency_class", &step.class);
    out.text("description", &step.description);
    Value::Object(out.0)
}

fn compensation_value(undo: &Compensation) -> Value {
    let mut out = Writer::default();
    out.text("type", &undo.kind);
    out.text("target", &undo.target);
    out.text("action", &undo.action);
    out.members("parameters", &undo.parameters);
    out.retry(undo.retry.as_ref());
    out.count("timeout_ms", undo.timeout_ms);
    Value::Object(out.0)
}

fn input_value(input: &Input) -> Value {
    let mut out = Writer::default();
    out.text("name", &input.name);
    out.kind(input.kind);
    if input.required {
        out.put("required", Value::Bool(true));
    }
    out.some("default", &input.default);
    out.text("description", &input.description);
    Value::Object(out.0)
}

fn output_value(output: &Output) -> Value {
    let mut out = Writer::default();
    out.text("name", &output.name);
    out.kind(output.kind);
    out.some("value", &output.value);
    out.text("description", &output.description);
    Value::Object(out.0)
}

fn count(number: u32) -> Value {
    Value::Number(f64::from(number))
}

impl Writer {
    fn count(&mut self, key: &str, number: u32) {
        if number != 0 {
            self.put(key, count(number));
        }
    }

    fn list(&mut self, key: &str, items: &[String]) {
        if !items.is_empty() {
            self.put(key, texts(items));
        }
    }

    fn members(&mut self, key: &str, members: &Object) {
        if !members.is_empty() {
            self.put(key, Value::Object(members.clone()));
        }
    }

    fn some(&mut self, key: &str, value: &Value) {
        if *value != Value::Null {
            self.put(key, value.clone());
        }
    }

    fn kind(&mut self, kind: ValueType) {
        if kind != ValueType::Any {
            self.text("type", kind.name());
        }
    }

    fn retry(&mut self, retry: Option<&Retry>) {
        let Some(retry) = retry else {
            return;
        };
        let mut out = Writer::default();
        out.count("max_attempts", retry.max_attempts);
        out.count("backoff_ms", retry.backoff_ms);
        out.put("multiplier", Value::Number(retry.multiplier));
        out.count("max_backoff_ms", retry.max_backoff_ms);
        out.put("jitter", Value::Number(retry.jitter));
        out.list("codes", &retry.codes);
        self.put("retry", Value::Object(out.0));
    }
}

/// Reads a pattern from its shape.
///
/// # Errors
/// Every fault, with the path of its field.
pub fn pattern_from_object(name: &Name, object: &Object) -> Result<PatternSpec, Vec<Fault>> {
    let mut reader = Reader::default();
    let mut body = PatternBody::default();
    let mut metadata = Object::new();
    for (key, value) in object {
        match key.as_ref() {
            "name" if matches!(value.as_str(), Some(own) if own.is_empty() || own == name.as_str()) =>
                {}
            "name" => reader.fault("name", format!("differs from the key {name:?}")),
            "category" => body.category = reader.text("category", value),
            "description" => body.description = reader.text("description", value),
            "version" => body.version = reader.text("version", value),
            "owner" => body.owner = reader.text("owner", value),
            "origin" => body.origin = reader.text("origin", value),
            "active" => match value {
                Value::Bool(active) => body.active = *active,
                other => reader.wrong("active", "a boolean", other),
            },
            "steps" => body.steps = reader.each("steps", value, Reader::step),
            "inputs" => body.inputs = reader.each("inputs", value, Reader::input),
            "outputs" => body.outputs = reader.each("outputs", value, Reader::output),
            "classes" => body.classes = reader.classes("classes", value),
            "max_runs" => body.max_runs = reader.count("max_runs", value),
            "max_parallel" => body.max_parallel = reader.count("max_parallel", value),
            "timeout_ms" => body.timeout_ms = reader.count("timeout_ms", value),
            "metadata" => match value {
                Value::Object(members) => {
                    // What stands at the top wins, whichever is read first.
                    metadata = metadata.union(members.clone());
                }
                other => reader.wrong("metadata", "an object", other),
            },
            _ => drop(metadata.insert(key.clone(), value.clone())),
        }
    }
    let spec = PatternSpec {
        name: name.clone(),
        body,
        metadata,
    };
    reader.faults.extend(spec.faults());
    if reader.faults.is_empty() {
        Ok(spec)
    } else {
        Err(reader.faults)
    }
}

impl Reader {
    fn step(&mut self, at: &str, value: &Value) -> Option<Step> {
        let members = self.object(at, value)?;
        let mut step = Step::default();
        for (key, value) in members {
            let field = format!("{at}.{}", part(key));
            match key.as_ref() {
                "id" => step.id = self.text(&field, value),
                "type" => step.kind = self.text(&field, value),
                "target" => step.target = self.text(&field, value),
                "action" => step.action = self.text(&field, value),
                "depends_on" => step.depends_on = self.texts(&field, value),
                "join" => step.join = self.join(&field, value),
                "parameters" => step.parameters = self.members(&field, value),
                "required" => step.required = self.texts(&field, value),
                "optional" => step.optional = self.texts(&field, value),
                "retry" => step.retry = self.retry(&field, value),
                "timeout_ms" => step.timeout_ms = self.count(&field, value),
                "total_timeout_ms" => step.total_timeout_ms = self.count(&field, value),
                "condition" => step.condition = value.clone(),
                "compensation" => step.compensation = self.compensation(&field, value),
                "concurrency_class" => step.class = self.text(&field, value),
                "description" => step.description = self.text(&field, value),
                _ => self.no_field(
                    &field,
                    "a step (id, type, target, action, depends_on, join, parameters, required, optional, retry, \
                     timeout_ms, total_timeout_ms, condition, compensation, concurrency_class, description)",
                ),
            }
        }
        Some(step)
    }

    fn compensation(&mut self, at: &str, value: &Value) -> Option<Compensation> {
        let members = self.object(at, value)?;
        let mut undo = Compensation::default();
        for (key, value) in members {
            let field = format!("{at}.{}", part(key));
            match key.as_ref() {
                "type" => undo.kind = self.text(&field, value),
                "target" => undo.target = self.text(&field, value),
                "action" => undo.action = self.text(&field, value),
                "parameters" => undo.parameters = self.members(&field, value),
                "retry" => undo.retry = self.retry(&field, value),
                "timeout_ms" => undo.timeout_ms = self.count(&field, value),
                _ => self.no_field(
                    &field,
                    "a compensation (type, target, action, parameters, retry, timeout_ms)",
                ),
            }
        }
        Some(undo)
    }

    /// A policy in which 0 stands for what is usual, as it does on the wire.
    fn retry(&mut self, at: &str, value: &Value) -> Option<Retry> {
        let members = self.object(at, value)?;
        let mut retry = Retry::default();
        for (key, value) in members {
            let field = format!("{at}.{}", part(key));
            match key.as_ref() {
                "max_attempts" => retry.max_attempts = self.usual(&field, value, 1),
                "backoff_ms" => retry.backoff_ms = self.usual(&field, value, retry.backoff_ms),
                "max_backoff_ms" => {
                    retry.max_backoff_ms = self.usual(&field, value, retry.max_backoff_ms);
                }
                "multiplier" => match self.number(&field, value) {
                    0.0 => {}
                    multiplier => retry.multiplier = multiplier,
                },
                "jitter" => retry.jitter = self.number(&field, value),
                "codes" => retry.codes = self.texts(&field, value),
                _ => self.no_field(
                    &field,
                    "a retry policy (max_attempts, backoff_ms, multiplier, max_backoff_ms, jitter, codes)",
                ),
            }
        }
        Some(retry)
    }

    fn input(&mut self, at: &str, value: &Value) -> Option<Input> {
        let members = self.object(at, value)?;
        let mut input = Input::default();
        for (key, value) in members {
            let field = format!("{at}.{}", part(key));
            match (key.as_ref(), value) {
                ("name", value) => input.name = self.text(&field, value),
                ("type", value) => input.kind = self.kind(&field, value),
                ("required", Value::Bool(required)) => input.required = *required,
                ("required", other) => self.wrong(&field, "a boolean", other),
                ("default", value) => input.default = value.clone(),
                ("description", value) => input.description = self.text(&field, value),
                _ => self.no_field(
                    &field,
                    "an input (name, type, required, default, description)",
                ),
            }
        }
        Some(input)
    }

    fn output(&mut self, at: &str, value: &Value) -> Option<Output> {
        let members = self.object(at, value)?;
        let mut output = Output::default();
        for (key, value) in members {
            let field = format!("{at}.{}", part(key));
            match key.as_ref() {
                "name" => output.name = self.text(&field, value),
                "type" => output.kind = self.kind(&field, value),
                "value" => output.value = value.clone(),
                "description" => output.description = self.text(&field, value),
                _ => self.no_field(&field, "an output (name, type, value, description)"),
            }
        }
        Some(output)
    }

    fn classes(&mut self, at: &str, value: &Value) -> BTreeMap<String, u32> {
        let members = self.members(at, value);
        let class = |(key, value): (&Arc<str>, &Value)| {
            let most = self.count(&format!("{at}.{}", part(key)), value);
            (key.to_string(), most)
        };
        members.iter().map(class).collect()
    }

    fn join(&mut self, field: &str, value: &Value) -> Join {
        match self.text(field, value).as_str() {
            "" | "all" | "ALL" => Join::All,
            "any" | "ANY" => Join::Any,
            other => {
                self.fault(field, format!("is {other:?}, must be all or any"));
                Join::All
            }
        }
    }

    fn kind(&mut self, field: &str, value: &Value) -> ValueType {
        let word = self.text(field, value);
        ValueType::of_name(&word).unwrap_or_else(|| {
            self.fault(field, no_type(&word));
            ValueType::Any
        })
    }

    fn members(&mut self, field: &str, value: &Value) -> Object {
        self.object(field, value).cloned().unwrap_or_default()
    }

    fn number(&mut self, field: &str, value: &Value) -> f64 {
        match value {
            Value::Number(number) => *number,
            other => {
                self.wrong(field, "a number", other);
                0.0
            }
        }
    }

    fn count(&mut self, field: &str, value: &Value) -> u32 {
        match value {
            Value::Number(number) => as_count(*number).unwrap_or_else(|| {
                self.fault(field, no_count(*number));
                0
            }),
            other => {
                self.wrong(field, "a number", other);
                0
            }
        }
    }

    fn usual(&mut self, field: &str, value: &Value, usual: u32) -> u32 {
        match self.count(field, value) {
            0 => usual,
            count => count,
        }
    }

    fn no_field(&mut self, field: &str, of: &str) {
        self.fault(field, format!("is no field of {of}"));
    }
}

/// A number that is a count, as every reader of definitions takes it.
#[must_use]
pub fn as_count(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a whole number within the range"
    )]
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number))
        .then_some(number as u32)
}

/// What is wrong with a number that is no count.
#[must_use]
pub fn no_count(number: f64) -> String {
    format!("is {number}, must be a whole number from 0 to {}", u32::MAX)
}

/// What is wrong with a word that names no type of value.
#[must_use]
pub fn no_type(word: &str) -> String {
    let all = ValueType::ALL.map(ValueType::name).join(", ");
    format!("is {word:?}, must be one of {all}")
}
