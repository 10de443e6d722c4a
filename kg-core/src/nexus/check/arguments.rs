//! What is wrong with one call: of a step, of its compensation, or of the step of a `map`.

use super::super::parameters::Parameters;
use super::super::step_type::{CHOICE, MAP, StepType, Target};
use super::super::written::Written;
use super::fault::Found;
use super::kinds::{Definition, Scope};
use crate::model::path::part;
use crate::model::{Name, Object, Value};

/// A call, where it stands.
pub(super) struct Call<'a> {
    /// Where, such as `steps[2].compensation`.
    pub(super) at: String,
    pub(super) kind: &'a str,
    pub(super) target: &'a str,
    pub(super) action: &'a str,
    pub(super) parameters: &'a Object,
}

impl Definition<'_> {
    /// Tells everything that is wrong with a call, and the targets that it names.
    pub(super) fn call<'c>(
        &self,
        call: &Call<'c>,
        scope: &Scope,
        targets: &mut Vec<(String, Target, &'c str)>,
        found: &mut Found,
    ) {
        let at = |field: &str| format!("{}.{field}", call.at);
        let kind = self.types.get(call.kind);
        match kind {
            None if call.kind.is_empty() => found.fault(at("type"), "must not be empty"),
            None => {
                let names: Vec<&str> = self.types.names().collect();
                let reason = format!("is {:?}, which is none of {}", call.kind, names.join(", "));
                found.fault(at("type"), reason);
            }
            Some(kind) => {
                target(&call.at, call.target, kind, targets, found);
                action(call, kind, found);
            }
        }
        let (parameters, faults) = Parameters::parse_what_can_be(call.kind, call.parameters);
        found.under(&at("parameters"), faults);
        for placed in parameters.references() {
            let scope = Scope {
                settled: scope.settled.clone(),
                element: scope.element || placed.in_list,
            };
            let place = format!("{}.{}", at("parameters"), placed.at);
            self.reference(&place, placed.reference, &scope, found);
        }
        if let Some(kind) = kind {
            self.arguments(call, kind, &parameters, found);
        }
        if call.kind == MAP
            && let Some(step) = call.parameters.get("step")
        {
            self.inner(&at("parameters.step"), step, targets, found);
        }
    }

    fn arguments(
        &self,
        call: &Call<'_>,
        kind: &StepType,
        parameters: &Parameters,
        found: &mut Found,
    ) {
        for argument in kind.arguments {
            let at = format!("{}.parameters.{}", call.at, argument.name);
            let given = call.parameters.get(argument.name);
            if argument.required && matches!(given, None | Some(Value::Null)) {
                found.fault(
                    at,
                    format!("is missing: a step of type {} needs it", kind.name),
                );
            } else if let Some(template) = parameters.template(argument.name) {
                self.fits(&at, template, argument.kind, found);
            }
        }
        if kind.actions.is_empty() || kind.actions.contains(&call.action) {
            let written = Written {
                action: call.action,
                parameters: call.parameters,
            };
            found.under(&call.at, (kind.check)(&written));
        }
        if kind.target == Target::Pattern {
            return self.inputs(call, parameters, found);
        }
        for name in call.parameters.keys().filter(|_| !kind.open) {
            if !kind
                .arguments
                .iter()
                .any(|argument| *argument.name == **name)
            {
                found.fault(
                    format!("{}.parameters.{}", call.at, part(name)),
                    format!("is nothing that a step of type {} takes", kind.name),
                );
            }
        }
    }

    /// The parameters of a step that runs a pattern are the inputs of that.
    fn inputs(&self, call: &Call<'_>, parameters: &Parameters, found: &mut Found) {
        let Some(called) = (self.patterns)(Target::Pattern.name_in(call.target)) else {
            return;
        };
        for input in &called.inputs {
            let at = format!("{}.parameters.{}", call.at, part(&input.name));
            let given = call.parameters.get(input.name.as_str());
            if input.required && matches!(given, None | Some(Value::Null)) {
                found.fault(at, "is missing: the pattern requires it");
            } else if let Some(template) = parameters.template(&input.name) {
                self.fits(&at, template, input.kind, found);
            }
        }
        for name in call.parameters.keys() {
            if !called.inputs.iter().any(|input| *input.name == **name) {
                let at = format!("{}.parameters.{}", call.at, part(name));
                found.fault(at, "is no input of the pattern");
            }
        }
    }

    /// The step that a `map` carries out for each element.
    fn inner<'c>(
        &self,
        at: &str,
        step: &'c Value,
        targets: &mut Vec<(String, Target, &'c str)>,
        found: &mut Found,
    ) {
        let Some(step) = step.as_object() else {
            return found.fault(
                at,
                "must be an object of type, target, action and parameters",
            );
        };
        let mut inner = Found::default();
        for name in step.keys() {
            if !matches!(&**name, "type" | "target" | "action" | "parameters") {
                let reason = "is not part of it: it has type, target, action and parameters";
                inner.fault(format!("{at}.{}", part(name)), reason);
            }
        }
        let mut text = |name: &str| match step.get(name) {
            None => "",
            Some(Value::String(text)) if text.contains("${") => {
                inner.fault(format!("{at}.{name}"), "must not hold a reference");
                ""
            }
            Some(Value::String(text)) => text,
            Some(_) => {
                inner.fault(format!("{at}.{name}"), "must be a string");
                ""
            }
        };
        let (kind, target, action) = (text("type"), text("target"), text("action"));
        let none = Object::new();
        let parameters = match step.get("parameters") {
            None => &none,
            Some(Value::Object(parameters)) => parameters,
            Some(_) => {
                inner.fault(format!("{at}.parameters"), "must be an object");
                &none
            }
        };
        // A choice is judged, and a map filled in, with what is known before there is an element.
        if matches!(kind, MAP | CHOICE) {
            let reason = format!("must not be {kind}: run a pattern that has one");
            inner.fault(format!("{at}.type"), reason);
        }
        let wrong = !inner.0.is_empty();
        found.0.append(&mut inner.0);
        if wrong {
            return;
        }
        let Some(kind_of) = self.types.get(kind) else {
            let names: Vec<&str> = self.types.names().collect();
            let reason = format!("is {kind:?}, which is none of {}", names.join(", "));
            return found.fault(format!("{at}.type"), reason);
        };
        let call = Call {
            at: at.to_owned(),
            kind,
            target,
            action,
            parameters,
        };
        self::target(at, target, kind_of, targets, found);
        self::action(&call, kind_of, found);
        // Its references were told with those of the map.
        if let Ok(parsed) = Parameters::parse(kind, parameters) {
            self.arguments(&call, kind_of, &parsed, found);
        }
    }
}

fn target<'c>(
    at: &str,
    target: &'c str,
    kind: &StepType,
    targets: &mut Vec<(String, Target, &'c str)>,
    found: &mut Found,
) {
    let at = format!("{at}.target");
    match (kind.target, target) {
        (Target::None, "") => {}
        (Target::None, _) => found.fault(
            at,
            format!("must be empty: a step of type {} has none", kind.name),
        ),
        (wanted, "") => {
            let what = if wanted == Target::Service {
                "a service"
            } else {
                "a pattern"
            };
            found.fault(
                at,
                format!("must name {what}: a step of type {} acts on one", kind.name),
            );
        }
        (wanted, named) => match Name::parse(&at, wanted.name_in(named)) {
            Ok(_) => targets.push((at, wanted, named)),
            Err(fault) => found.fault(fault.field, fault.reason),
        },
    }
}

fn action(call: &Call<'_>, kind: &StepType, found: &mut Found) {
    let at = format!("{}.action", call.at);
    if !kind.actions.is_empty() {
        if !kind.actions.contains(&call.action) {
            let names = kind.actions.join(", ");
            found.fault(
                at,
                format!("is {:?}, which is none of {names}", call.action),
            );
        }
    } else if kind.free_action && call.action.is_empty() {
        found.fault(
            at,
            format!("must not be empty: a step of type {} has one", kind.name),
        );
    } else if !kind.free_action && !call.action.is_empty() {
        found.fault(
            at,
            format!("must be empty: a step of type {} has none", kind.name),
        );
    }
}
