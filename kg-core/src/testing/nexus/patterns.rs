//! Patterns from JSON, and a few types of step.

use crate::model::{
    Compensation, Input, Join, Name, Object, Output, PatternBody, PatternSpec, Retry, Step, Value,
    ValueType,
};
use crate::nexus::{Argument, StepType, StepTypes, Target, unchecked};

const fn argument(name: &'static str, kind: ValueType, required: bool) -> Argument {
    Argument {
        name,
        kind,
        required,
    }
}

const fn step_type(name: &'static str, arguments: &'static [Argument]) -> StepType {
    StepType {
        name,
        target: Target::None,
        actions: &[],
        free_action: false,
        arguments,
        open: false,
        result: ValueType::Any,
        pure: false,
        timeout_ms: 30_000,
        check: unchecked,
    }
}

static PASS: StepType = StepType {
    open: true,
    result: ValueType::Object,
    pure: true,
    ..step_type("pass", &[])
};
static CALL: StepType = StepType {
    target: Target::Service,
    free_action: true,
    ..step_type(
        "grpc",
        &[
            argument("request", ValueType::Object, true),
            argument("endpoint", ValueType::String, false),
        ],
    )
};
static EVENT: StepType = StepType {
    actions: &["emit", "await"],
    result: ValueType::Object,
    timeout_ms: 0,
    ..step_type("event", &[argument("type", ValueType::String, true)])
};
static NESTED: StepType = StepType {
    target: Target::Pattern,
    open: true,
    result: ValueType::Object,
    timeout_ms: 0,
    ..step_type("pattern", &[])
};
static MAPPED: StepType = StepType {
    result: ValueType::Object,
    timeout_ms: 0,
    ..step_type(
        "map",
        &[
            argument("items", ValueType::List, true),
            argument("step", ValueType::Object, true),
            argument("max_parallel", ValueType::Integer, false),
        ],
    )
};
static CHOSEN: StepType = StepType {
    result: ValueType::Object,
    pure: true,
    ..step_type(
        "choice",
        &[
            argument("cases", ValueType::List, true),
            argument("default", ValueType::Any, false),
        ],
    )
};

/// `pass`, `grpc`, `event`, `pattern`, `map`, `choice`, with the arguments that tests need.
#[must_use]
pub fn types() -> StepTypes {
    StepTypes::of([&PASS, &CALL, &EVENT, &NESTED, &MAPPED, &CHOSEN])
}

/// The pattern `flow` of this JSON, whose members are named as in the files of patterns.
///
/// # Panics
/// If it is no JSON.
#[must_use]
#[expect(clippy::expect_used, reason = "a test writes what can be read")]
pub fn pattern(json: &str) -> PatternSpec {
    let value = Value::from_json(json.as_bytes()).expect("JSON");
    let members = object(Some(&value));
    let list = |name: &str| match members.get(name) {
        Some(Value::List(items)) => items.iter().map(|item| object(Some(item))).collect(),
        _ => Vec::new(),
    };
    let body = PatternBody {
        active: true,
        steps: list("steps").iter().map(step).collect(),
        inputs: list("inputs").iter().map(input).collect(),
        outputs: list("outputs").iter().map(output).collect(),
        classes: object(members.get("classes"))
            .iter()
            .map(|(name, bound)| (name.to_string(), whole(Some(bound))))
            .collect(),
        max_parallel: whole(members.get("max_parallel")),
        timeout_ms: whole(members.get("timeout_ms")),
        ..PatternBody::default()
    };
    PatternSpec {
        name: Name::parse("name", "flow").expect("a name"),
        body,
        metadata: Object::new(),
    }
}

fn object(value: Option<&Value>) -> Object {
    value
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn text(of: &Object, name: &str) -> String {
    let text = of.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn texts(of: &Object, name: &str) -> Vec<String> {
    let items = of.get(name).and_then(Value::as_list);
    let text = |item: &Value| item.as_str().map(str::to_owned);
    items.map_or_else(Vec::new, |items| items.iter().filter_map(text).collect())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests write small whole numbers"
)]
fn whole(value: Option<&Value>) -> u32 {
    match value {
        Some(Value::Number(number)) => *number as u32,
        _ => 0,
    }
}

fn number(of: &Object, name: &str, otherwise: f64) -> f64 {
    match of.get(name) {
        Some(Value::Number(number)) => *number,
        _ => otherwise,
    }
}

fn kind(of: &Object) -> ValueType {
    ValueType::of_name(&text(of, "type")).unwrap_or_default()
}

fn input(of: &Object) -> Input {
    Input {
        name: text(of, "name"),
        kind: kind(of),
        required: of.get("required") == Some(&Value::Bool(true)),
        default: of.get("default").cloned().unwrap_or_default(),
        description: String::new(),
    }
}

fn output(of: &Object) -> Output {
    Output {
        name: text(of, "name"),
        kind: kind(of),
        value: of.get("value").cloned().unwrap_or_default(),
        description: String::new(),
    }
}

fn retry(of: &Object) -> Option<Retry> {
    let of = of.get("retry")?.as_object()?;
    let otherwise = Retry::default();
    let whole = |name: &str, otherwise| of.get(name).map_or(otherwise, |n| whole(Some(n)));
    Some(Retry {
        max_attempts: whole("max_attempts", 1),
        backoff_ms: whole("backoff_ms", otherwise.backoff_ms),
        multiplier: number(of, "multiplier", otherwise.multiplier),
        max_backoff_ms: whole("max_backoff_ms", otherwise.max_backoff_ms),
        jitter: number(of, "jitter", otherwise.jitter),
        codes: texts(of, "codes"),
    })
}

fn step(of: &Object) -> Step {
    Step {
        id: text(of, "id"),
        kind: text(of, "type"),
        target: text(of, "target"),
        action: text(of, "action"),
        depends_on: texts(of, "depends_on"),
        join: match text(of, "join").as_str() {
            "any" => Join::Any,
            _ => Join::All,
        },
        parameters: object(of.get("parameters")),
        required: texts(of, "required"),
        optional: texts(of, "optional"),
        retry: retry(of),
        timeout_ms: whole(of.get("timeout_ms")),
        total_timeout_ms: whole(of.get("total_timeout_ms")),
        condition: of.get("condition").cloned().unwrap_or_default(),
        compensation: of.get("compensation").and_then(Value::as_object).map(undo),
        class: text(of, "concurrency_class"),
        description: String::new(),
    }
}

fn undo(of: &Object) -> Compensation {
    Compensation {
        kind: text(of, "type"),
        target: text(of, "target"),
        action: text(of, "action"),
        parameters: object(of.get("parameters")),
        retry: retry(of),
        timeout_ms: whole(of.get("timeout_ms")),
    }
}
