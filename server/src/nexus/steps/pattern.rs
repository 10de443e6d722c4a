//! `pattern`: a run within the run. Its parameters are the inputs, its result the outputs. It is named by the step's key, so that a step
//! that begins again finds the run that it began.

use futures::future::BoxFuture;
use kg_core::model::{Value, ValueType};
use kg_core::nexus::{Failure, StepType, Target, unchecked};

use crate::nexus::failure::invalid;
use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "pattern",
    target: Target::Pattern,
    actions: &[],
    free_action: false,
    arguments: &[],
    open: true,
    result: ValueType::Object,
    pure: false,
    timeout_ms: 0,
    check: unchecked,
};

/// Steps of type `pattern`.
pub struct Pattern;

impl StepProvider for Pattern {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(async move {
            let pattern = call.target.strip_prefix("pattern/").unwrap_or(call.target);
            if pattern.is_empty() {
                return Err(invalid("target", "must name a pattern"));
            }
            let outputs = call.host.child(&call.key, pattern, call.parameters).await?;
            Ok(Value::Object(outputs))
        })
    }
}
