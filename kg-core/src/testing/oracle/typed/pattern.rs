//! Patterns as JSON and back, field by field.

use super::{items, list_of, members, put, put_texts, text, texts};
use crate::model::{
    Compensation, Input, Join, Name, Object, Output, PatternBody, PatternSpec, Retry, Step, Value,
    ValueType,
};
use crate::testing::oracle::No;

pub(in super::super) fn pattern_json(name: &Name, body: &PatternBody, metadata: &Object) -> Object {
    let mut out = Object::new();
    put(&mut out, "name", Value::string(name.as_str()));
    put(&mut out, "category", Value::string(&body.category));
    put_texts(
        &mut out,
        &[
            ("description", &body.description),
            ("version", &body.version),
            ("owner", &body.owner),
            ("origin", &body.origin),
        ],
    );
    if body.active {
        put(&mut out, "active", Value::Bool(true));
    }
    put(
        &mut out,
        "steps",
        Value::list(body.steps.iter().map(step_json)),
    );
    put_list(
        &mut out,
        "inputs",
        body.inputs.iter().map(|i| {
            let mut one = Object::new();
            put_texts(
                &mut one,
                &[("name", &i.name), ("description", &i.description)],
            );
            put_kind(&mut one, i.kind);
            if i.required {
                put(&mut one, "required", Value::Bool(true));
            }
            put_some(&mut one, "default", &i.default);
            Value::Object(one)
        }),
    );
    put_list(
        &mut out,
        "outputs",
        body.outputs.iter().map(|o| {
            let mut one = Object::new();
            put_texts(
                &mut one,
                &[("name", &o.name), ("description", &o.description)],
            );
            put_kind(&mut one, o.kind);
            put_some(&mut one, "value", &o.value);
            Value::Object(one)
        }),
    );
    if !body.classes.is_empty() {
        let mut classes = Object::new();
        for (class, most) in &body.classes {
            put(&mut classes, class, Value::Number(f64::from(*most)));
        }
        put(&mut out, "classes", Value::Object(classes));
    }
    put_counts(
        &mut out,
        &[
            ("max_runs", body.max_runs),
            ("max_parallel", body.max_parallel),
            ("timeout_ms", body.timeout_ms),
        ],
    );
    put(&mut out, "metadata", Value::Object(metadata.clone()));
    out
}

fn step_json(s: &Step) -> Value {
    let mut one = Object::new();
    put_texts(
        &mut one,
        &[
            ("id", &s.id),
            ("type", &s.kind),
            ("target", &s.target),
            ("action", &s.action),
            ("concurrency_class", &s.class),
            ("description", &s.description),
        ],
    );
    for (key, list) in [
        ("depends_on", &s.depends_on),
        ("required", &s.required),
        ("optional", &s.optional),
    ] {
        if !list.is_empty() {
            put(&mut one, key, list_of(list));
        }
    }
    if s.join == Join::Any {
        put(&mut one, "join", Value::string("any"));
    }
    put_members(&mut one, &s.parameters);
    put_retry(&mut one, s.retry.as_ref());
    put_counts(
        &mut one,
        &[
            ("timeout_ms", s.timeout_ms),
            ("total_timeout_ms", s.total_timeout_ms),
        ],
    );
    put_some(&mut one, "condition", &s.condition);
    if let Some(undo) = &s.compensation {
        let mut undone = Object::new();
        put_texts(
            &mut undone,
            &[
                ("type", &undo.kind),
                ("target", &undo.target),
                ("action", &undo.action),
            ],
        );
        put_members(&mut undone, &undo.parameters);
        put_retry(&mut undone, undo.retry.as_ref());
        put_counts(&mut undone, &[("timeout_ms", undo.timeout_ms)]);
        put(&mut one, "compensation", Value::Object(undone));
    }
    Value::Object(one)
}

fn put_list(object: &mut Object, key: &str, items: impl Iterator<Item = Value>) {
    let items: Vec<Value> = items.collect();
    if !items.is_empty() {
        put(object, key, Value::list(items));
    }
}

fn put_kind(object: &mut Object, kind: ValueType) {
    if kind != ValueType::Any {
        put(object, "type", Value::string(kind.name()));
    }
}

fn put_some(object: &mut Object, key: &str, value: &Value) {
    if *value != Value::Null {
        put(object, key, value.clone());
    }
}

fn put_counts(object: &mut Object, counts: &[(&str, u32)]) {
    for (key, count) in counts {
        if *count > 0 {
            put(object, key, Value::Number(f64::from(*count)));
        }
    }
}

fn put_members(object: &mut Object, parameters: &Object) {
    if !parameters.is_empty() {
        put(object, "parameters", Value::Object(parameters.clone()));
    }
}

fn put_retry(object: &mut Object, retry: Option<&Retry>) {
    let Some(retry) = retry else { return };
    let mut out = Object::new();
    put_counts(
        &mut out,
        &[
            ("max_attempts", retry.max_attempts),
            ("backoff_ms", retry.backoff_ms),
            ("max_backoff_ms", retry.max_backoff_ms),
        ],
    );
    put(&mut out, "multiplier", Value::Number(retry.multiplier));
    put(&mut out, "jitter", Value::Number(retry.jitter));
    if !retry.codes.is_empty() {
        put(&mut out, "codes", list_of(&retry.codes));
    }
    put(object, "retry", Value::Object(out));
}

pub(in super::super) fn read_pattern(name: &Name, object: &Object) -> Result<PatternSpec, No> {
    let mut body = PatternBody::default();
    let mut metadata = match object.get("metadata") {
        None => Object::new(),
        Some(value) => members(value)?.clone(),
    };
    for (key, value) in object {
        match key.as_ref() {
            "metadata" => {}
            "name" => {
                let own = value.as_str().ok_or(No::Invalid)?;
                if !own.is_empty() && own != name.as_str() {
                    return Err(No::Invalid);
                }
            }
            "category" => body.category = text(value)?,
            "description" => body.description = text(value)?,
            "version" => body.version = text(value)?,
            "owner" => body.owner = text(value)?,
            "origin" => body.origin = text(value)?,
            "active" => body.active = flag(value)?,
            "steps" => body.steps = each(value, read_step)?,
            "inputs" => body.inputs = each(value, read_input)?,
            "outputs" => body.outputs = each(value, read_output)?,
            "classes" => {
                for (class, most) in members(value)? {
                    body.classes.insert(class.to_string(), count(most)?);
                }
            }
            "max_runs" => body.max_runs = count(value)?,
            "max_parallel" => body.max_parallel = count(value)?,
            "timeout_ms" => body.timeout_ms = count(value)?,
            other => put(&mut metadata, other, value.clone()),
        }
    }
    let name = name.clone();
    Ok(PatternSpec {
        name,
        body,
        metadata,
    })
}

fn read_step(value: &Value) -> Result<Step, No> {
    let mut step = Step::default();
    for (key, value) in members(value)? {
        match key.as_ref() {
            "id" => step.id = text(value)?,
            "type" => step.kind = text(value)?,
            "target" => step.target = text(value)?,
            "action" => step.action = text(value)?,
            "concurrency_class" => step.class = text(value)?,
            "description" => step.description = text(value)?,
            "depends_on" => step.depends_on = texts(value)?,
            "required" => step.required = texts(value)?,
            "optional" => step.optional = texts(value)?,
            "parameters" => step.parameters = members(value)?.clone(),
            "join" => {
                step.join = match text(value)?.to_lowercase().as_str() {
                    "" | "all" => Join::All,
                    "any" => Join::Any,
                    _ => return Err(No::Invalid),
                };
            }
            "retry" => step.retry = Some(read_retry(value)?),
            "timeout_ms" => step.timeout_ms = count(value)?,
            "total_timeout_ms" => step.total_timeout_ms = count(value)?,
            "condition" => step.condition = value.clone(),
            "compensation" => step.compensation = Some(read_compensation(value)?),
            _ => return Err(No::Invalid),
        }
    }
    Ok(step)
}

fn read_compensation(value: &Value) -> Result<Compensation, No> {
    let mut undo = Compensation::default();
    for (key, value) in members(value)? {
        match key.as_ref() {
            "type" => undo.kind = text(value)?,
            "target" => undo.target = text(value)?,
            "action" => undo.action = text(value)?,
            "parameters" => undo.parameters = members(value)?.clone(),
            "retry" => undo.retry = Some(read_retry(value)?),
            "timeout_ms" => undo.timeout_ms = count(value)?,
            _ => return Err(No::Invalid),
        }
    }
    Ok(undo)
}

fn read_retry(value: &Value) -> Result<Retry, No> {
    let mut retry = Retry::default();
    for (key, value) in members(value)? {
        // 0 leaves what is usual; of the jitter it is a jitter.
        match key.as_ref() {
            "codes" => retry.codes = texts(value)?,
            "jitter" => retry.jitter = number(value)?,
            "multiplier" if number(value)? == 0.0 => {}
            "multiplier" => retry.multiplier = number(value)?,
            "max_attempts" | "backoff_ms" | "max_backoff_ms" if count(value)? == 0 => {}
            "max_attempts" => retry.max_attempts = count(value)?,
            "backoff_ms" => retry.backoff_ms = count(value)?,
            "max_backoff_ms" => retry.max_backoff_ms = count(value)?,
            _ => return Err(No::Invalid),
        }
    }
    Ok(retry)
}

fn read_input(value: &Value) -> Result<Input, No> {
    let mut input = Input::default();
    for (key, value) in members(value)? {
        match key.as_ref() {
            "name" => input.name = text(value)?,
            "type" => input.kind = kind(value)?,
            "required" => input.required = flag(value)?,
            "default" => input.default = value.clone(),
            "description" => input.description = text(value)?,
            _ => return Err(No::Invalid),
        }
    }
    Ok(input)
}

fn read_output(value: &Value) -> Result<Output, No> {
    let mut output = Output::default();
    for (key, value) in members(value)? {
        match key.as_ref() {
            "name" => output.name = text(value)?,
            "type" => output.kind = kind(value)?,
            "value" => output.value = value.clone(),
            "description" => output.description = text(value)?,
            _ => return Err(No::Invalid),
        }
    }
    Ok(output)
}

fn each<T>(value: &Value, read: fn(&Value) -> Result<T, No>) -> Result<Vec<T>, No> {
    items(value)?.iter().map(read).collect()
}

fn flag(value: &Value) -> Result<bool, No> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        _ => Err(No::Invalid),
    }
}

fn number(value: &Value) -> Result<f64, No> {
    match value {
        Value::Number(number) => Ok(*number),
        _ => Err(No::Invalid),
    }
}

fn count(value: &Value) -> Result<u32, No> {
    let text = number(value)?.abs().to_string();
    match text.parse::<u32>() {
        Ok(count) if count == 0 || number(value)? > 0.0 => Ok(count),
        _ => Err(No::Invalid),
    }
}

fn kind(value: &Value) -> Result<ValueType, No> {
    let word = text(value)?;
    let known = ValueType::ALL.into_iter().find(|kind| kind.name() == word);
    match word.as_str() {
        "" => Ok(ValueType::Any),
        _ => known.ok_or(No::Invalid),
    }
}
