//! `map`: the same step for each element of a list, several at once. Its result is the list of theirs, in the order of the elements.
//!
//! What is done is durable before it counts, and is not done again: neither by another attempt nor after a restart. The first element that
//! fails keeps others from beginning; those under way end, so that what they did is known.

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use kg_core::error::Fault;
use kg_core::limits::RESULT_BYTES;
use kg_core::model::{Object, Value, ValueType};
use kg_core::nexus::{Argument, Element, Failure, Parameters, StepType, Target, Written};
use tonic::Code;

use super::{parameters, result};
use crate::nexus::failure::{fault, invalid, of};
use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "map",
    target: Target::None,
    actions: &[],
    free_action: false,
    arguments: &[
        Argument {
            name: "items",
            kind: ValueType::List,
            required: true,
        },
        Argument {
            name: "step",
            kind: ValueType::Object,
            required: true,
        },
        Argument {
            name: "max_parallel",
            kind: ValueType::Integer,
            required: false,
        },
    ],
    open: false,
    result: ValueType::Object,
    pure: false,
    timeout_ms: 0,
    check,
};

/// Elements of one list. Each is a line in the journal; more belong into several steps, or into a service that takes lists.
const ITEMS: usize = 10_000;

/// Elements under way at once, where the step does not say.
const PARALLEL: u64 = 8;

/// The most that it may say.
const PARALLEL_MOST: u64 = 64;

fn check(call: &Written<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(Value::List(items)) = call.constant("items") {
        let wrong = few_enough(items.len()).err();
        faults.extend(wrong.map(|failure| fault("parameters.items", "items", &failure)));
    }
    if let Some(value @ Value::Number(_)) = call.constant("max_parallel") {
        let only = Object::unit("max_parallel".into(), value.clone());
        let wrong = parallel(&only).err();
        faults.extend(
            wrong.map(|failure| fault("parameters.max_parallel", "max_parallel", &failure)),
        );
    }
    faults
}

/// Steps of type `map`.
pub struct Map;

impl StepProvider for Map {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(carry_out(call))
    }
}

fn few_enough(items: usize) -> Result<(), Failure> {
    if items > ITEMS {
        let reason = format!("has {items} elements, at most {ITEMS} are taken");
        return Err(invalid("items", reason));
    }
    Ok(())
}

fn parallel(given: &Object) -> Result<u64, Failure> {
    let parallel = parameters::whole(given, "max_parallel")?.unwrap_or(PARALLEL);
    if !(1..=PARALLEL_MOST).contains(&parallel) {
        let reason = format!("must be 1 to {PARALLEL_MOST}");
        return Err(invalid("max_parallel", reason));
    }
    Ok(parallel)
}

async fn carry_out(call: StepCall<'_>) -> Result<Value, Failure> {
    let missing = parameters::missing;
    let items = parameters::list(&call.parameters, "items")?.ok_or_else(|| missing("items"))?;
    let step = parameters::object(&call.parameters, "step")?.ok_or_else(|| missing("step"))?;
    let parallel = parallel(&call.parameters)?;
    few_enough(items.len())?;
    let mut bytes: usize = call.items.iter().map(|(_, done)| done.weight()).sum();
    let mut results: Vec<Option<Value>> = vec![None; items.len()];
    for (index, done) in &call.items {
        if let Some(place) = results.get_mut(*index as usize) {
            *place = Some(done.clone());
        }
    }
    let undone: Vec<u32> = (0_u32..)
        .zip(&results)
        .filter(|(_, result)| result.is_none())
        .map(|(index, _)| index)
        .collect();

    let one = async |index: u32| {
        let done = async {
            let given = filled(step, &items[index as usize], index)?;
            let result = call.host.inner(index, step, given).await?;
            call.host.item_done(index, result.clone()).await?;
            Ok(result)
        };
        (index, done.await)
    };
    let mut waiting = undone.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut failed: Option<(u32, Failure)> = None;
    loop {
        while failed.is_none() && (under_way.len() as u64) < parallel {
            let Some(index) = waiting.next() else { break };
            under_way.push(one(index));
        }
        match under_way.next().await {
            None => break,
            Some((index, Ok(result))) => {
                bytes += result.weight();
                results[index as usize] = Some(result);
                if bytes > RESULT_BYTES && failed.is_none() {
                    let why = format!("the results have more than {RESULT_BYTES} bytes so far");
                    failed = Some((index, of(Code::OutOfRange, why)));
                }
            }
            // Of several the first in the list, so that what is told does not hang on who was quicker.
            Some((index, Err(failure))) => match &failed {
                Some((first, _)) if *first < index => {}
                _ => failed = Some((index, failure)),
            },
        }
    }
    if let Some((index, mut failure)) = failed {
        failure.message = format!("items[{index}]: {}", failure.message).into();
        return Err(failure);
    }
    let results = Value::list(results.into_iter().map(Option::unwrap_or_default));
    result::bounded(result::object([("items", results)]))
}

/// What the step of one element is called with: `${item}` and `${index}` are filled in here, all else was before and stands for itself.
fn filled(step: &Object, item: &Value, index: u32) -> Result<Object, Failure> {
    let wrong = |fault: Fault| invalid("step.parameters", fault.to_string());
    let kind = step.get("type").and_then(Value::as_str).unwrap_or_default();
    let given = parameters::object(step, "parameters")?.cloned();
    let parsed = Parameters::parse(kind, &given.unwrap_or_default()).map_err(|faults| {
        let first = faults.into_iter().next();
        wrong(first.unwrap_or_else(|| Fault::new("", "cannot be read")))
    })?;
    parsed.fill(&Element { item, index }).map_err(wrong)
}
