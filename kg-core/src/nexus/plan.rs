//! A pattern, prepared to be run: dependencies as indexes, templates parsed, policies with their defaults.
//!
//! Steps are known by their index in the definition, and lines of a journal name them so. Where the order of two steps is free,
//! their ids decide, so that the order in which a definition lists them makes no difference to a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::Condition;
use super::order::Order;
use super::parameters::Parameters;
use super::reference::Lookup;
use super::step_type::StepType;
use super::step_types::StepTypes;
use super::template::Template;
use crate::error::Fault;
use crate::limits::{PARALLEL_STEPS, PARALLEL_STEPS_MAX, RUN_MS, UNDO_ATTEMPTS, UNDO_MS};
use crate::model::path::part;
use crate::model::{Input, Join, Object, Output, PatternSpec, Retry, Step, Value};

/// A pattern, prepared to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name of the pattern.
    pub pattern: Arc<str>,
    /// Its steps, by index.
    pub steps: Vec<PlannedStep>,
    /// The indexes of the steps, by id.
    pub by_id: Vec<usize>,
    /// How many steps of a run may be under way at once.
    pub max_parallel: usize,
    /// How long a run may take from its start, without compensations, in milliseconds.
    pub timeout_ms: u64,
    inputs: Vec<Input>,
    outputs: Vec<(Output, Template)>,
    places: BTreeMap<Arc<str>, usize>,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// Its id.
    pub id: Arc<str>,
    /// Its place among all ids.
    pub rank: usize,
    /// What it waits for, by index.
    pub depends_on: Vec<usize>,
    /// What waits for it, by index.
    pub dependents: Vec<usize>,
    /// Which of its dependencies have to succeed.
    pub join: Join,
    /// When it runs.
    pub condition: Condition,
    /// What it does.
    pub call: Call,
    /// How it is tried again.
    pub retry: Retry,
    /// How long its attempts and the pauses may take together, in milliseconds; 0: as long as the run.
    pub total_timeout_ms: u64,
    /// What undoes it, and how that is tried again.
    pub undo: Option<(Call, Retry)>,
    /// Its concurrency class.
    pub class: Option<Arc<str>>,
}

/// What a step or its compensation does.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its type.
    pub kind: &'static StepType,
    /// What it acts on; may be empty.
    pub target: Arc<str>,
    /// What it does; may be empty.
    pub action: Arc<str>,
    /// How long one attempt may take, in milliseconds; 0: as long as the run.
    pub timeout_ms: u64,
    parameters: Parameters,
    required: Vec<Arc<str>>,
    optional: Vec<Arc<str>>,
}

impl Plan {
    /// Prepares a pattern, which [`super::check`] found nothing wrong with.
    ///
    /// # Errors
    /// What makes it impossible to run: the types of step may have changed since it was registered.
    pub fn of(pattern: &PatternSpec, types: &StepTypes) -> Result<Self, Vec<Fault>> {
        let body = &pattern.body;
        let mut faults = Vec::new();
        let order = Order::of(&body.steps);
        for cycle in order.cycles() {
            let at = format!("steps[{}].depends_on", cycle[0]);
            faults.push(Fault::new(at, "is part of a cycle"));
        }
        let mut places = BTreeMap::new();
        for (i, step) in body.steps.iter().enumerate() {
            if places.insert(Arc::from(step.id.as_str()), i).is_some() {
                faults.push(Fault::new(format!("steps[{i}].id"), "is named before"));
            }
        }
        let mut steps = Vec::with_capacity(body.steps.len());
        for (i, step) in body.steps.iter().enumerate() {
            let unknown = |id: &&String| !places.contains_key(id.as_str());
            if let Some(id) = step.depends_on.iter().find(unknown) {
                let reason = format!("holds {id:?}, and there is no step of that id");
                faults.push(Fault::new(format!("steps[{i}].depends_on"), reason));
            }
            match planned(step, order.depends_on[i].clone(), types) {
                Ok(step) => steps.push(step),
                Err(found) => {
                    let at = format!("steps[{i}]");
                    faults.extend(found.into_iter().map(|fault| fault.under(&at)));
                }
            }
        }
        let mut outputs = Vec::with_capacity(body.outputs.len());
        for (i, output) in body.outputs.iter().enumerate() {
            match Template::parse(&output.value) {
                Ok(template) => outputs.push((output.clone(), template)),
                Err(found) => {
                    let at = format!("outputs[{i}].value");
                    faults.extend(found.into_iter().map(|fault| fault.under(&at)));
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let by_id: Vec<usize> = places.values().copied().collect();
        for (rank, at) in by_id.iter().enumerate() {
            steps[*at].rank = rank;
        }
        for i in 0..steps.len() {
            for at in steps[i].depends_on.clone() {
                steps[at].dependents.push(i);
            }
        }
        Ok(Self {
            pattern: pattern.name.shared(),
            steps,
            by_id,
            max_parallel: match body.max_parallel {
                0 => PARALLEL_STEPS,
                said => said.min(PARALLEL_STEPS_MAX),
            } as usize,
            timeout_ms: match body.timeout_ms {
                0 => RUN_MS,
                said => u64::from(said),
            },
            inputs: body.inputs.clone(),
            outputs,
            places,
        })
    }

    /// The index of the step of this id.
    #[must_use]
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// What a run is given, with defaults, from what whoever begins it gives.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path, such as `inputs.order`.
    pub fn inputs(&self, given: &Object) -> Result<Object, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut inputs = Object::new();
        let at = |name: &str| format!("inputs.{}", part(name));
        for input in &self.inputs {
            let value = match given.get(input.name.as_str()) {
                None | Some(Value::Null) if input.required && input.default == Value::Null => {
                    faults.push(Fault::new(at(&input.name), "is missing, and required"));
                    continue;
                }
                None | Some(Value::Null) => &input.default,
                Some(value) if !input.kind.holds(value) => {
                    let (is, wanted) = (value.type_name(), input.kind.name());
                    let reason = format!("is {is}, and the input is of the type {wanted}");
                    faults.push(Fault::new(at(&input.name), reason));
                    continue;
                }
                Some(value) => value,
            };
            if let Err(fault) = value.check() {
                faults.push(fault.under(&at(&input.name)));
            }
            inputs.insert(input.name.as_str().into(), value.clone());
        }
        for name in given.keys() {
            if !self.inputs.iter().any(|input| *input.name == **name) {
                faults.push(Fault::new(at(name), "is no input of the pattern"));
            }
        }
        if faults.is_empty() {
            Ok(inputs)
        } else {
            Err(faults)
        }
    }

    /// What a run gives back. What comes to nothing is null, for a step that was skipped gave nothing.
    ///
    /// # Errors
    /// What cannot be filled in, or is of another type than the pattern says.
    pub fn outputs(&self, lookup: &dyn Lookup) -> Result<Object, Fault> {
        let mut outputs = Object::new();
        for (output, template) in &self.outputs {
            let at = format!("outputs.{}", part(&output.name));
            let value = template.fill(lookup).map_err(|fault| fault.under(&at))?;
            if !matches!(value, Value::Null) && !output.kind.holds(&value) {
                let (is, wanted) = (value.type_name(), output.kind.name());
                let reason = format!("is {is}, and the output is of the type {wanted}");
                return Err(Fault::new(at, reason));
            }
            outputs.insert(output.name.as_str().into(), value);
        }
        Ok(outputs)
    }
}

impl Call {
    /// What it is called with. A parameter that may be left out and comes to nothing is.
    ///
    /// # Errors
    /// What cannot be filled in; one that is required and comes to nothing.
    pub fn fill(&self, lookup: &dyn Lookup) -> Result<Object, Fault> {
        let under = |fault: Fault| fault.under("parameters");
        let mut filled = self.parameters.fill(lookup).map_err(under)?;
        for name in &self.required {
            if matches!(filled.get(name), None | Some(Value::Null)) {
                return Err(under(Fault::new(
                    part(name),
                    "is required, and comes to nothing",
                )));
            }
        }
        for name in &self.optional {
            if matches!(filled.get(name), Some(Value::Null)) {
                filled.remove(name);
            }
        }
        Ok(filled)
    }
}

fn planned(
    step: &Step,
    depends_on: Vec<usize>,
    types: &StepTypes,
) -> Result<PlannedStep, Vec<Fault>> {
    let said = |list: &[String]| list.iter().map(|name| name.as_str().into()).collect();
    let mut call = call(
        &step.kind,
        &step.target,
        &step.action,
        &step.parameters,
        types,
    )?;
    let own: Vec<Arc<str>> = said(&step.required);
    call.required.extend(own);
    let own: Vec<Arc<str>> = said(&step.optional);
    call.optional.extend(own);
    if step.timeout_ms > 0 {
        call.timeout_ms = u64::from(step.timeout_ms);
    }
    let under = |at: &'static str| {
        move |faults: Vec<Fault>| -> Vec<Fault> {
            faults.into_iter().map(|fault| fault.under(at)).collect()
        }
    };
    let condition = Condition::parse(&step.condition).map_err(under("condition"))?;
    let undo = match &step.compensation {
        None => None,
        Some(undo) => {
            let (kind, target, action) = (&undo.kind, &undo.target, &undo.action);
            let mut call = self::call(kind, target, action, &undo.parameters, types)
                .map_err(under("compensation"))?;
            match (undo.timeout_ms, call.timeout_ms) {
                (0, 0) => call.timeout_ms = UNDO_MS,
                (0, _) => {}
                (said, _) => call.timeout_ms = u64::from(said),
            }
            let often = Retry {
                max_attempts: UNDO_ATTEMPTS,
                ..Retry::default()
            };
            Some((call, undo.retry.clone().unwrap_or(often)))
        }
    };
    Ok(PlannedStep {
        id: step.id.as_str().into(),
        rank: 0,
        depends_on,
        dependents: Vec::new(),
        join: step.join,
        condition,
        call,
        retry: step.retry.clone().unwrap_or_default(),
        total_timeout_ms: u64::from(step.total_timeout_ms),
        undo,
        class: (!step.class.is_empty()).then(|| step.class.as_str().into()),
    })
}

fn call(
    kind: &str,
    target: &str,
    action: &str,
    parameters: &Object,
    types: &StepTypes,
) -> Result<Call, Vec<Fault>> {
    let named = types.get(kind);
    let named = named.ok_or_else(|| {
        let reason = format!("is {kind:?}, and there is no type of step of that name");
        vec![Fault::new("type", reason)]
    })?;
    let parameters = Parameters::parse(kind, parameters).map_err(|faults| {
        let under = |fault: Fault| fault.under("parameters");
        faults.into_iter().map(under).collect::<Vec<_>>()
    })?;
    let arguments = |required: bool| {
        let those = named
            .arguments
            .iter()
            .filter(move |one| one.required == required);
        those.map(|argument| argument.name.into()).collect()
    };
    Ok(Call {
        kind: named,
        target: target.into(),
        action: action.into(),
        timeout_ms: u64::from(named.timeout_ms),
        parameters,
        required: arguments(true),
        optional: arguments(false),
    })
}
