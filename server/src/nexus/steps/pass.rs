//! `pass`: its result is its parameters. It names values for later steps, and joins branches.

use futures::future::{BoxFuture, ready};
use kg_core::model::{Value, ValueType};
use kg_core::nexus::{Failure, StepType, Target, unchecked};

use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "pass",
    target: Target::None,
    actions: &[],
    free_action: false,
    arguments: &[],
    open: true,
    result: ValueType::Object,
    pure: true,
    timeout_ms: 30_000,
    check: unchecked,
};

/// Steps of type `pass`.
pub struct Pass;

impl StepProvider for Pass {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(ready(Ok(Value::Object(call.parameters))))
    }
}
