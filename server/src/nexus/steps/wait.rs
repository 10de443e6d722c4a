//! `wait`: for a while, or until a time. A while begins with the step's first attempt, so that neither a restart nor another server
//! makes it longer.

use std::time::Duration;

use futures::future::BoxFuture;
use kg_core::error::Fault;
use kg_core::model::{Object, Value, ValueType};
use kg_core::nexus::{Argument, Failure, StepType, Target, Written};
use tokio::time::sleep;

use super::parameters::{given, whole};
use super::result;
use crate::nexus::failure::{fault, invalid};
use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "wait",
    target: Target::None,
    actions: &[],
    free_action: false,
    arguments: &[
        Argument {
            name: "seconds",
            kind: ValueType::Number,
            required: false,
        },
        Argument {
            name: "ms",
            kind: ValueType::Integer,
            required: false,
        },
        Argument {
            name: "until_ms",
            kind: ValueType::Integer,
            required: false,
        },
    ],
    open: false,
    result: ValueType::Object,
    pure: true,
    timeout_ms: 0,
    check,
};

/// The ways to say how long.
const WAYS: [&str; 3] = ["seconds", "ms", "until_ms"];

fn check(call: &Written<'_>) -> Vec<Fault> {
    let given: Vec<&str> = WAYS.into_iter().filter(|way| call.has(way)).collect();
    let [way] = given[..] else {
        let reason = "must have one of seconds, ms and until_ms";
        return vec![Fault::new("parameters", reason)];
    };
    let Some(value @ Value::Number(_)) = call.constant(way) else {
        return Vec::new();
    };
    // A moment that is long past, or a year from now, cannot be told from here.
    let began = if way == "until_ms" { u64::MAX } else { 0 };
    let only = Object::unit(way.into(), value.clone());
    let wrong = until(&only, began).err();
    let wrong = wrong.map(|failure| fault(&format!("parameters.{way}"), way, &failure));
    wrong.into_iter().collect()
}

/// Milliseconds that are slept at once: the wall clock, by which it ends, may be set meanwhile.
const NAP_MS: u64 = 10_000;

/// Milliseconds of the longest while: a year. Whoever means to wait longer waits for an event.
const LONGEST_MS: u64 = 366 * 86_400_000;

/// Steps of type `wait`.
pub struct Wait;

impl StepProvider for Wait {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(async move {
            let until_ms = until(&call.parameters, call.started_ms)?;
            let clock = call.world.graph.clock;
            while let Some(left) = until_ms.checked_sub(clock()).filter(|left| *left > 0) {
                sleep(Duration::from_millis(left.min(NAP_MS))).await;
            }
            let waited = until_ms.saturating_sub(call.started_ms);
            Ok(result::object([
                ("until_ms", result::number(until_ms)),
                ("waited_ms", result::number(waited)),
            ]))
        })
    }
}

/// When a wait that began then ends, in milliseconds since 1970.
fn until(parameters: &Object, started_ms: u64) -> Result<u64, Failure> {
    let ms = whole(parameters, "ms")?;
    let until_ms = whole(parameters, "until_ms")?;
    let seconds = match given(parameters, "seconds") {
        None => None,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and saturating"
        )]
        Some(Value::Number(seconds)) if *seconds >= 0.0 => Some((*seconds * 1_000.0).ceil() as u64),
        Some(_) => return Err(invalid("seconds", "must be a number of 0 or more")),
    };
    let until = match (seconds, ms, until_ms) {
        (Some(while_ms), None, None) | (None, Some(while_ms), None) => {
            started_ms.saturating_add(while_ms)
        }
        (None, None, Some(until_ms)) => until_ms,
        _ => {
            return Err(invalid(
                "parameters",
                "must have one of seconds, ms and until_ms",
            ));
        }
    };
    if until.saturating_sub(started_ms) > LONGEST_MS {
        return Err(invalid("the wait", "is longer than 366 days"));
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<u64, Failure> {
        let parsed = Value::from_json(json.as_bytes()).expect("JSON");
        until(parsed.as_object().expect("an object"), 1_000_000)
    }

    #[test]
    fn a_while_begins_with_the_first_attempt() {
        assert_eq!(of(r#"{"seconds": 1.5}"#), Ok(1_001_500));
        assert_eq!(of(r#"{"ms": 250}"#), Ok(1_000_250));
        assert_eq!(of(r#"{"until_ms": 17}"#), Ok(17));
    }

    #[test]
    fn what_is_no_while_is_refused() {
        for wrong in [
            r"{}",
            r#"{"ms": 1, "seconds": 1}"#,
            r#"{"ms": -1}"#,
            r#"{"ms": 1.5}"#,
            r#"{"seconds": "1"}"#,
            r#"{"seconds": -0.5}"#,
            r#"{"seconds": 1e15}"#,
            r#"{"until_ms": 9007199254740992}"#,
        ] {
            let failure = of(wrong).expect_err(wrong);
            assert_eq!(&*failure.code, "INVALID_ARGUMENT", "{wrong}");
        }
    }
}
