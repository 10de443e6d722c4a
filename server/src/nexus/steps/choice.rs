//! `choice`: the value of the first case that holds, and which one that was.

use futures::future::{BoxFuture, ready};
use kg_core::model::{Object, Value, ValueType};
use kg_core::nexus::{Argument, Failure, StepType, Target};
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
};

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
        let when = case.get("when").ok_or_else(|| wrong("must have `when`"))?;
        if holds(when).map_err(|why| wrong(&why))? {
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
fn holds(_when: &Value) -> Result<bool, String> {
    Ok(false)
}
