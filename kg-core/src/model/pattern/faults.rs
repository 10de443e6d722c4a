//! What is wrong with a definition by itself: sizes, texts, numbers. Whoever writes a pattern, by whatever way, passes here.
//!
//! Whether its steps can be carried out (types, arguments, references, cycles) is another question, which `nexus::check` answers
//! when a pattern is registered: a graph may hold descriptions of workflows that nobody runs, such as those of an imported file.

use super::super::service::Faults;
use super::super::value::{Object, Value};
use super::{Compensation, PatternBody, PatternSpec, Retry, Step};
use crate::error::Fault;
use crate::limits::{
    LIST_ENTRIES, PATTERN_ARGUMENTS, PATTERN_VALUE_DEPTH, PROPERTIES_BYTES, RETRY_MULTIPLIER,
    RETRY_PAUSE_MS, STEP_ATTEMPTS,
};
use crate::model::path::part;
use crate::model::relation::check_properties;

impl PatternSpec {
    /// Everything that is wrong with it by itself.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        let body = &self.body;
        for (field, text) in [
            ("description", &body.description),
            ("version", &body.version),
            ("category", &body.category),
            ("owner", &body.owner),
            ("origin", &body.origin),
        ] {
            faults.text(field, text);
        }
        faults.count("steps", body.steps.len(), LIST_ENTRIES);
        for (i, step) in body.steps.iter().enumerate() {
            step_faults(&format!("steps[{i}]"), step, &mut faults);
        }
        body_faults(body, &mut faults);
        faults.keep(check_properties("metadata", &self.metadata));
        faults.list
    }
}

fn step_faults(at: &str, step: &Step, faults: &mut Faults) {
    let at = |field: &str| format!("{at}.{field}");
    filled(&at("id"), &step.id, faults);
    faults.text(&at("type"), &step.kind);
    faults.text(&at("target"), &step.target);
    faults.texts(&at("depends_on"), &step.depends_on);
    members(&at("parameters"), &step.parameters, faults);
    faults.text(&at("action"), &step.action);
    faults.texts(&at("required"), &step.required);
    faults.texts(&at("optional"), &step.optional);
    if let Some(retry) = &step.retry {
        retry_faults(&at("retry"), retry, faults);
    }
    value(&at("condition"), &step.condition, faults);
    if let Some(undo) = &step.compensation {
        compensation_faults(&at("compensation"), undo, faults);
    }
    faults.text(&at("concurrency_class"), &step.class);
    faults.text(&at("description"), &step.description);
}

fn compensation_faults(at: &str, undo: &Compensation, faults: &mut Faults) {
    let at = |field: &str| format!("{at}.{field}");
    filled(&at("type"), &undo.kind, faults);
    faults.text(&at("target"), &undo.target);
    faults.text(&at("action"), &undo.action);
    members(&at("parameters"), &undo.parameters, faults);
    if let Some(retry) = &undo.retry {
        retry_faults(&at("retry"), retry, faults);
    }
}

fn retry_faults(at: &str, retry: &Retry, faults: &mut Faults) {
    let mut add = |field: &str, reason: String| {
        faults
            .list
            .push(Fault::new(format!("{at}.{field}"), reason));
    };
    if !(1..=STEP_ATTEMPTS).contains(&retry.max_attempts) {
        let found = retry.max_attempts;
        add(
            "max_attempts",
            format!("is {found}, must be from 1 to {STEP_ATTEMPTS}"),
        );
    }
    for (field, pause) in [
        ("backoff_ms", retry.backoff_ms),
        ("max_backoff_ms", retry.max_backoff_ms),
    ] {
        if !(1..=RETRY_PAUSE_MS).contains(&pause) {
            add(
                field,
                format!("is {pause}, must be from 1 to {RETRY_PAUSE_MS}"),
            );
        }
    }
    if !(1.0..=RETRY_MULTIPLIER).contains(&retry.multiplier) {
        let found = retry.multiplier;
        add(
            "multiplier",
            format!("is {found}, must be from 1 to {RETRY_MULTIPLIER}"),
        );
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        add(
            "jitter",
            format!("is {}, must be from 0 to 1", retry.jitter),
        );
    }
    faults.texts(&format!("{at}.codes"), &retry.codes);
}

fn body_faults(body: &PatternBody, faults: &mut Faults) {
    faults.count("inputs", body.inputs.len(), PATTERN_ARGUMENTS);
    for (i, input) in body.inputs.iter().enumerate() {
        let at = |field: &str| format!("inputs[{i}].{field}");
        filled(&at("name"), &input.name, faults);
        value(&at("default"), &input.default, faults);
        faults.text(&at("description"), &input.description);
    }
    faults.count("outputs", body.outputs.len(), PATTERN_ARGUMENTS);
    for (i, output) in body.outputs.iter().enumerate() {
        let at = |field: &str| format!("outputs[{i}].{field}");
        filled(&at("name"), &output.name, faults);
        value(&at("value"), &output.value, faults);
        faults.text(&at("description"), &output.description);
    }
    faults.count("classes", body.classes.len(), PATTERN_ARGUMENTS);
    for (class, most) in &body.classes {
        let at = format!("classes.{}", part(class));
        filled(&at, class, faults);
        if *most == 0 {
            let reason = "is 0: no step of the class could ever begin";
            faults.list.push(Fault::new(at, reason));
        }
    }
}

fn filled(field: &str, text: &str, faults: &mut Faults) {
    if text.is_empty() {
        faults.list.push(Fault::new(field, "must not be empty"));
    }
    faults.text(field, text);
}

fn members(field: &str, members: &Object, faults: &mut Faults) {
    if !members.is_empty() {
        value(field, &Value::Object(members.clone()), faults);
    }
}

/// As properties are checked, but a value of any type, and within fewer levels.
fn value(field: &str, value: &Value, faults: &mut Faults) {
    let checked = value.check().map_err(|fault| fault.under(field));
    if checked.is_err() {
        faults.keep(checked);
        return;
    }
    let levels = value.depth();
    if levels > PATTERN_VALUE_DEPTH {
        let reason = format!("is {levels} levels deep, at most {PATTERN_VALUE_DEPTH} are allowed");
        faults.list.push(Fault::new(field, reason));
    }
    let bytes = value.json_len();
    if bytes > PROPERTIES_BYTES {
        let reason = format!("has {bytes} bytes of JSON, at most {PROPERTIES_BYTES} are allowed");
        faults.list.push(Fault::new(field, reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Input, Name};

    fn spec(body: PatternBody) -> PatternSpec {
        PatternSpec {
            name: Name::parse("name", "p").expect("a name"),
            body,
            metadata: Object::new(),
        }
    }

    fn fields(body: PatternBody) -> Vec<String> {
        let faults = spec(body).faults();
        faults.into_iter().map(|fault| fault.field).collect()
    }

    fn retried(retry: Retry) -> Vec<String> {
        let step = Step {
            id: "a".into(),
            retry: Some(retry),
            ..Step::default()
        };
        fields(PatternBody {
            steps: vec![step],
            ..PatternBody::default()
        })
    }

    #[test]
    fn every_fault_of_a_retry_policy_is_told_with_its_path() {
        assert!(retried(Retry::default()).is_empty());
        let worst = Retry {
            max_attempts: STEP_ATTEMPTS + 1,
            backoff_ms: RETRY_PAUSE_MS + 1,
            multiplier: f64::NAN,
            max_backoff_ms: RETRY_PAUSE_MS + 1,
            jitter: 1.5,
            codes: vec!["\u{7}".into()],
        };
        let told = [
            "max_attempts",
            "backoff_ms",
            "max_backoff_ms",
            "multiplier",
            "jitter",
            "codes[0]",
        ];
        assert_eq!(
            retried(worst),
            told.map(|field| format!("steps[0].retry.{field}"))
        );
    }

    #[test]
    fn values_inside_a_pattern_leave_room_for_the_pattern_around_them() {
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::list([inner]));
        let with = |default| PatternBody {
            inputs: vec![Input {
                name: "x".into(),
                default,
                ..Input::default()
            }],
            ..PatternBody::default()
        };
        assert!(fields(with(nested(PATTERN_VALUE_DEPTH))).is_empty());
        assert_eq!(
            fields(with(nested(PATTERN_VALUE_DEPTH + 1))),
            ["inputs[0].default"]
        );
    }

    #[test]
    fn what_has_no_name_and_a_class_without_room_are_faults() {
        let body = PatternBody {
            inputs: vec![Input::default()],
            outputs: vec![Default::default()],
            classes: [("slow".into(), 0), (String::new(), 1)].into(),
            steps: vec![Step {
                id: "a".into(),
                compensation: Some(Compensation::default()),
                ..Step::default()
            }],
            ..PatternBody::default()
        };
        assert_eq!(
            fields(body),
            [
                "steps[0].compensation.type",
                "inputs[0].name",
                "outputs[0].name",
                "classes.\"\"",
                "classes.slow"
            ]
        );
    }
}
