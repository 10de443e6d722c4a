//! A pattern of our own form.

use super::super::faults::Faults;
use super::super::fields::Fields;
use crate::model::path::part;
use crate::model::shape::{as_count, no_count, no_type};
use crate::model::{
    Compensation, Input, Join, Name, Output, PatternBody, PatternSpec, Retry, Step, Value,
    ValueType,
};
use std::collections::BTreeMap;

pub(super) fn pattern(at: &str, value: &Value, faults: &mut Faults) -> Option<PatternSpec> {
    const KNOWN: [&str; 15] = [
        "name",
        "category",
        "version",
        "owner",
        "origin",
        "description",
        "active",
        "steps",
        "inputs",
        "outputs",
        "classes",
        "max_runs",
        "max_parallel",
        "timeout_ms",
        "metadata",
    ];
    let fields = Fields::open(at.to_owned(), value, "a pattern", &KNOWN, faults)?;
    let name = Name::parse(&fields.path("name"), fields.text("name", faults));
    let name = faults.keep(name);
    let body = PatternBody {
        description: fields.owned("description", faults),
        version: fields.owned("version", faults),
        category: fields.owned("category", faults),
        owner: fields.owned("owner", faults),
        origin: fields.owned("origin", faults),
        active: fields.flag("active", faults),
        steps: fields.each("steps", faults, step),
        inputs: fields.each("inputs", faults, input),
        outputs: fields.each("outputs", faults, output),
        classes: classes(&fields, faults),
        max_runs: fields.count("max_runs", faults),
        max_parallel: fields.count("max_parallel", faults),
        timeout_ms: fields.count("timeout_ms", faults),
    };
    let metadata = fields.object("metadata", faults);
    Some(PatternSpec {
        name: name?,
        body,
        metadata,
    })
}

fn step(at: String, value: &Value, faults: &mut Faults) -> Option<Step> {
    const KNOWN: [&str; 16] = [
        "id",
        "type",
        "target",
        "action",
        "depends_on",
        "join",
        "parameters",
        "required",
        "optional",
        "retry",
        "timeout_ms",
        "total_timeout_ms",
        "condition",
        "compensation",
        "concurrency_class",
        "description",
    ];
    let fields = Fields::open(at, value, "a step", &KNOWN, faults)?;
    Some(Step {
        id: fields.owned("id", faults),
        kind: fields.owned("type", faults),
        target: fields.owned("target", faults),
        action: fields.owned("action", faults),
        depends_on: fields.texts("depends_on", faults),
        join: join(&fields, faults),
        parameters: fields.object("parameters", faults),
        required: fields.texts("required", faults),
        optional: fields.texts("optional", faults),
        retry: retry(&fields, faults),
        timeout_ms: fields.count("timeout_ms", faults),
        total_timeout_ms: fields.count("total_timeout_ms", faults),
        condition: any(&fields, "condition"),
        compensation: fields
            .get("compensation")
            .and_then(|value| compensation(fields.path("compensation"), value, faults)),
        class: fields.owned("concurrency_class", faults),
        description: fields.owned("description", faults),
    })
}

fn compensation(at: String, value: &Value, faults: &mut Faults) -> Option<Compensation> {
    let known = [
        "type",
        "target",
        "action",
        "parameters",
        "retry",
        "timeout_ms",
    ];
    let fields = Fields::open(at, value, "a compensation", &known, faults)?;
    Some(Compensation {
        kind: fields.owned("type", faults),
        target: fields.owned("target", faults),
        action: fields.owned("action", faults),
        parameters: fields.object("parameters", faults),
        retry: retry(&fields, faults),
        timeout_ms: fields.count("timeout_ms", faults),
    })
}

/// The policy of what these are the fields of. 0 stands for what is usual, as it does on the wire.
fn retry(of: &Fields<'_>, faults: &mut Faults) -> Option<Retry> {
    let known = [
        "max_attempts",
        "backoff_ms",
        "multiplier",
        "max_backoff_ms",
        "jitter",
        "codes",
    ];
    let value = of.get("retry")?;
    let fields = Fields::open(of.path("retry"), value, "a retry policy", &known, faults)?;
    let usual = Retry::default();
    let or = |count, usual| if count == 0 { usual } else { count };
    let multiplier = fields.number("multiplier", 0.0, faults);
    Some(Retry {
        max_attempts: or(fields.count("max_attempts", faults), usual.max_attempts),
        backoff_ms: or(fields.count("backoff_ms", faults), usual.backoff_ms),
        multiplier: if multiplier == 0.0 {
            usual.multiplier
        } else {
            multiplier
        },
        max_backoff_ms: or(fields.count("max_backoff_ms", faults), usual.max_backoff_ms),
        jitter: fields.number("jitter", usual.jitter, faults),
        codes: fields.texts("codes", faults),
    })
}

fn input(at: String, value: &Value, faults: &mut Faults) -> Option<Input> {
    let known = ["name", "type", "required", "default", "description"];
    let fields = Fields::open(at, value, "an input", &known, faults)?;
    Some(Input {
        name: fields.owned("name", faults),
        kind: kind(&fields, faults),
        required: fields.flag("required", faults),
        default: any(&fields, "default"),
        description: fields.owned("description", faults),
    })
}

fn output(at: String, value: &Value, faults: &mut Faults) -> Option<Output> {
    let known = ["name", "type", "value", "description"];
    let fields = Fields::open(at, value, "an output", &known, faults)?;
    Some(Output {
        name: fields.owned("name", faults),
        kind: kind(&fields, faults),
        value: any(&fields, "value"),
        description: fields.owned("description", faults),
    })
}

fn classes(pattern: &Fields<'_>, faults: &mut Faults) -> BTreeMap<String, u32> {
    let mut classes = BTreeMap::new();
    for (class, value) in &pattern.object("classes", faults) {
        let at = format!("{}.{}", pattern.path("classes"), part(class));
        match value {
            Value::Number(most) => match as_count(*most) {
                Some(most) => drop(classes.insert(class.to_string(), most)),
                None => faults.add(at, no_count(*most)),
            },
            other => faults.add(at, format!("must be a number, not {}", other.type_name())),
        }
    }
    classes
}

fn join(step: &Fields<'_>, faults: &mut Faults) -> Join {
    match step.text("join", faults) {
        "" | "all" | "ALL" => Join::All,
        "any" | "ANY" => Join::Any,
        other => {
            let reason = format!("is {other:?}, must be all or any");
            faults.add(step.path("join"), reason);
            Join::All
        }
    }
}

fn kind(of: &Fields<'_>, faults: &mut Faults) -> ValueType {
    let word = of.text("type", faults);
    ValueType::of_name(word).unwrap_or_else(|| {
        faults.add(of.path("type"), no_type(word));
        ValueType::Any
    })
}

fn any(of: &Fields<'_>, key: &str) -> Value {
    of.get(key).cloned().unwrap_or_default()
}
