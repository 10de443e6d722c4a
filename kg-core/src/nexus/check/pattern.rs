//! The check of a whole pattern.

use std::collections::BTreeSet;

use super::super::condition::Condition;
use super::super::order::Order;
use super::super::step_type::Target;
use super::super::step_types::StepTypes;
use super::super::template::Template;
use super::arguments::Call;
use super::calls::Calls;
use super::fault::{Found, PatternFault, bad_id};
use super::kinds::{Definition, Scope};
use crate::limits::{
    PARALLEL_STEPS_MAX, PATTERN_ARGUMENTS, PATTERN_DEPENDENCIES, PATTERN_STEPS, STEP_ID_BYTES,
};
use crate::model::path::part;
use crate::model::{PatternBody, PatternSpec, Step, Value};

/// Everything that is wrong with a pattern, held against the types of step that there are, and against the patterns and services
/// of the graph, by their names. What is not in the graph is a warning.
#[must_use]
pub fn check(
    pattern: &PatternSpec,
    types: &StepTypes,
    patterns: &dyn Fn(&str) -> Option<PatternBody>,
    services: &dyn Fn(&str) -> bool,
) -> Vec<PatternFault> {
    let body = &pattern.body;
    let mut found = Found::default();
    found.under("", pattern.faults());
    if !sizes(body, &mut found) {
        return found.0;
    }
    limits(body, &mut found);
    arguments(body, &mut found);
    let definition = Definition {
        body,
        types,
        patterns,
        order: Order::of(&body.steps),
    };
    super::graph::check(&body.steps, &definition.order, &mut found);
    let mut targets = Vec::new();
    for (i, step) in body.steps.iter().enumerate() {
        definition.step(i, step, &mut targets, &mut found);
    }
    let mut calls = Calls::of(pattern.name.as_str(), patterns);
    for (at, kind, target) in targets {
        let name = kind.name_in(target);
        match kind {
            Target::None => {}
            Target::Service if !services(name) => {
                found.warning(
                    at,
                    format!("names the service {name:?}, which is not registered"),
                );
            }
            Target::Service => {}
            Target::Pattern => {
                if let Some(reason) = calls.fault(name) {
                    found.fault(at, reason);
                } else if patterns(name).is_none() {
                    found.warning(
                        at,
                        format!("names the pattern {name:?}, which is not registered"),
                    );
                }
            }
        }
    }
    definition.outputs(&mut found);
    found.0
}

/// What is too large to be looked at any further.
fn sizes(body: &PatternBody, found: &mut Found) -> bool {
    let before = found.0.len();
    let dependencies: usize = body.steps.iter().map(|step| step.depends_on.len()).sum();
    for (path, count, most) in [
        ("steps", body.steps.len(), PATTERN_STEPS),
        ("inputs", body.inputs.len(), PATTERN_ARGUMENTS),
        ("outputs", body.outputs.len(), PATTERN_ARGUMENTS),
        ("classes", body.classes.len(), PATTERN_ARGUMENTS),
    ] {
        if count > most {
            found.fault(
                path,
                format!("has {count} entries, at most {most} are allowed"),
            );
        }
    }
    if dependencies > PATTERN_DEPENDENCIES {
        let reason = format!(
            "have {dependencies} dependencies together, at most {PATTERN_DEPENDENCIES} are allowed"
        );
        found.fault("steps", reason);
    }
    found.0.len() == before
}

fn limits(body: &PatternBody, found: &mut Found) {
    // That a bound is not 0 is asked of every pattern of a graph.
    for name in body.classes.keys() {
        let at = format!("classes.{}", part(name));
        if let Some(reason) = bad_id(name, true, STEP_ID_BYTES) {
            found.fault(at, reason);
        }
    }
    if body.max_parallel > PARALLEL_STEPS_MAX {
        let reason = format!(
            "is {}, at most {PARALLEL_STEPS_MAX} are allowed",
            body.max_parallel
        );
        found.fault("max_parallel", reason);
    }
}

/// Names of inputs and outputs, and the defaults of inputs.
fn arguments(body: &PatternBody, found: &mut Found) {
    let inputs = body.inputs.iter().map(|input| &input.name);
    let outputs = body.outputs.iter().map(|output| &output.name);
    names("inputs", inputs, found);
    names("outputs", outputs, found);
    for (i, input) in body.inputs.iter().enumerate() {
        let at = format!("inputs[{i}].default");
        if matches!(input.default, Value::Null) {
            continue;
        }
        if !input.kind.holds(&input.default) {
            let (is, wanted) = (input.default.type_name(), input.kind.name());
            found.fault(
                &at,
                format!("is {is}, and the input is of the type {wanted}"),
            );
        }
        if let Err(fault) = input.default.check() {
            found.under(&at, [fault]);
        }
    }
}

fn names<'n>(list: &str, names: impl Iterator<Item = &'n String>, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for (i, name) in names.enumerate() {
        let at = format!("{list}[{i}].name");
        if let Some(reason) = bad_id(name, false, STEP_ID_BYTES) {
            found.fault(at, reason);
        } else if !seen.insert(name) {
            found.fault(at, format!("is {name:?}, which is named before"));
        }
    }
}

impl Definition<'_> {
    fn step<'c>(
        &self,
        i: usize,
        step: &'c Step,
        targets: &mut Vec<(String, Target, &'c str)>,
        found: &mut Found,
    ) {
        let at = format!("steps[{i}]");
        let ancestors = self.order.ancestors(i);
        let mut scope = Scope {
            settled: Some(ancestors),
            element: false,
        };
        let call = Call {
            at: at.clone(),
            kind: &step.kind,
            target: &step.target,
            action: &step.action,
            parameters: &step.parameters,
        };
        self.call(&call, &scope, targets, found);
        own_arguments(&at, step, found);
        if let Some(retry) = &step.retry {
            super::retry::check(&format!("{at}.retry"), retry, found);
        }
        let condition_at = format!("{at}.condition");
        match Condition::parse(&step.condition) {
            Ok(condition) => {
                for (inner, reference) in condition.references() {
                    let place = crate::error::Fault::new(inner, "")
                        .under(&condition_at)
                        .field;
                    self.reference(&place, reference, &scope, found);
                }
            }
            Err(faults) => found.under(&condition_at, faults),
        }
        if !step.class.is_empty() && !self.body.classes.contains_key(&step.class) {
            let reason = format!(
                "is {:?}, which is none of the pattern's classes",
                step.class
            );
            found.fault(format!("{at}.concurrency_class"), reason);
        }
        let Some(undo) = &step.compensation else {
            return;
        };
        // It undoes a step that has succeeded, so the step's own result is there.
        if let Some(settled) = &mut scope.settled {
            settled[i] = true;
        }
        let at = format!("{at}.compensation");
        let call = Call {
            at: at.clone(),
            kind: &undo.kind,
            target: &undo.target,
            action: &undo.action,
            parameters: &undo.parameters,
        };
        self.call(&call, &scope, targets, found);
        if let Some(retry) = &undo.retry {
            super::retry::check(&format!("{at}.retry"), retry, found);
        }
    }

    fn outputs(&self, found: &mut Found) {
        let scope = Scope {
            settled: None,
            element: false,
        };
        for (i, output) in self.body.outputs.iter().enumerate() {
            let at = format!("outputs[{i}].value");
            match Template::parse(&output.value) {
                Ok(template) => {
                    for (inner, reference) in template.references() {
                        let place = crate::error::Fault::new(inner, "").under(&at).field;
                        self.reference(&place, reference, &scope, found);
                    }
                    self.fits(&at, &template, output.kind, found);
                }
                Err(faults) => found.under(&at, faults),
            }
        }
    }
}

/// The step's own lists of what it takes.
fn own_arguments(at: &str, step: &Step, found: &mut Found) {
    for (i, name) in step.required.iter().enumerate() {
        if matches!(step.parameters.get(name.as_str()), None | Some(Value::Null)) {
            let reason = format!("is {name:?}, which is missing among the parameters");
            found.fault(format!("{at}.required[{i}]"), reason);
        }
        if step.required[..i].contains(name) {
            found.fault(
                format!("{at}.required[{i}]"),
                format!("is {name:?}, which is named before"),
            );
        }
    }
    for (i, name) in step.optional.iter().enumerate() {
        if step.required.contains(name) || step.optional[..i].contains(name) {
            found.fault(
                format!("{at}.optional[{i}]"),
                format!("is {name:?}, which is named before"),
            );
        }
    }
    if step.required.is_empty() && step.optional.is_empty() {
        return;
    }
    for name in step.parameters.keys() {
        let listed = |list: &[String]| list.iter().any(|one| **one == **name);
        if !listed(&step.required) && !listed(&step.optional) {
            let at = format!("{at}.parameters.{}", part(name));
            found.fault(
                at,
                "is neither required nor optional, and this step lists what it takes",
            );
        }
    }
}
