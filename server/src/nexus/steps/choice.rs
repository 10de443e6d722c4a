//! `choice`: the value of the first case that holds, and which one that was. The conditions were judged when the parameters were
//! filled in: here each `when` is a boolean.

use futures::future::{BoxFuture, ready};
use kg_core::error::Fault;
use kg_core::model::{Object, Value, ValueType};
use kg_core::nexus::{Argument, Failure, StepType, Target, Written};
use tonic::Code;

use super::{parameters, result};
use crate::nexus::failure::{invalid, of};
use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "choice",
    target: Target::None,
    actions: &[],
    free_action: false,
    arguments: &[
        Argument {
            name: "cases",
            kind: ValueType::List,
            required: true,
        },
        Argument {
            name: "default",
            kind: ValueType::Any,
            required: false,
        },
    ],
    open: false,
    result: ValueType::Object,
    pure: true,
    timeout_ms: 30_000,
    check,
};

fn check(call: &Written<'_>) -> Vec<Fault> {
    let Some(Value::List(cases)) = call.parameters.get("cases") else {
        return Vec::new();
    };
    let cases = cases.iter().enumerate();
    let without =
        cases.filter(|(_, case)| case.as_object().is_some_and(|m| !m.contains_key("when")));
    without
        .map(|(at, _)| {
            Fault::new(
                format!("parameters.cases[{at}].when"),
                "is missing: a case needs it",
            )
        })
        .collect()
}

/// Steps of type `choice`.
pub struct Choice;

impl StepProvider for Choice {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(ready(choose(&call.parameters)))
    }
}

fn choose(parameters: &Object) -> Result<Value, Failure> {
    let cases =
        parameters::list(parameters, "cases")?.ok_or_else(|| parameters::missing("cases"))?;
    for (at, case) in cases.iter().enumerate() {
        let wrong = |why: &str| invalid(&format!("cases[{at}]"), why);
        let case = case
            .as_object()
            .ok_or_else(|| wrong("must be {when, value}"))?;
        let Some(Value::Bool(holds)) = case.get("when") else {
            return Err(wrong("must have a `when` that is true or false"));
        };
        if *holds {
            let value = case.get("value").cloned().unwrap_or_default();
            return Ok(chosen(value, result::number(at as u64)));
        }
    }
    match parameters.get("default") {
        Some(default) => Ok(chosen(default.clone(), Value::string("default"))),
        None => Err(of(
            Code::FailedPrecondition,
            "no case holds, and there is no default",
        )),
    }
}

fn chosen(value: Value, case: Value) -> Value {
    result::object([("value", value), ("case", case)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<String, String> {
        let parameters = Value::from_json(json.as_bytes()).expect("JSON");
        let chosen = choose(parameters.as_object().expect("an object"));
        let told = |failure: Failure| format!("{}: {}", failure.code, failure.message);
        chosen.map(|value| value.to_json()).map_err(told)
    }

    #[test]
    fn the_first_case_that_holds_is_chosen() {
        let cases = r#"{"cases": [
            {"when": false, "value": "a"},
            {"when": true, "value": {"b": 1}},
            {"when": true, "value": "c"}], "default": "d"}"#;
        assert_eq!(of(cases).as_deref(), Ok(r#"{"case":1,"value":{"b":1}}"#));
        let none = r#"{"cases": [{"when": false}], "default": null}"#;
        assert_eq!(
            of(none).as_deref(),
            Ok(r#"{"case":"default","value":null}"#)
        );
    }

    #[test]
    fn without_a_default_one_has_to_hold() {
        let failure = of(r#"{"cases": [{"when": false}]}"#).expect_err("none holds");
        assert!(failure.starts_with("FAILED_PRECONDITION"), "{failure}");
    }

    #[test]
    fn what_is_no_condition_is_named() {
        for wrong in [
            r"{}",
            r#"{"cases": {}}"#,
            r#"{"cases": [1]}"#,
            r#"{"cases": [{"value": 1}]}"#,
            r#"{"cases": [{"when": {"less": [1, 2]}}]}"#,
            r#"{"cases": [{"when": "yes"}]}"#,
        ] {
            let failure = of(wrong).expect_err(wrong);
            assert!(failure.starts_with("INVALID_ARGUMENT: cases"), "{failure}");
        }
    }
}
