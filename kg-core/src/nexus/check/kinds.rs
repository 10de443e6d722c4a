//! What kind of value a reference stands for, as far as a definition tells, and whether it may stand where it does.

use super::super::order::Order;
use super::super::reference::{Reference, Root, RunFact};
use super::super::step_type::{PATTERN, Target};
use super::super::step_types::StepTypes;
use super::super::template::Template;
use super::calls::Patterns;
use super::fault::Found;
use crate::model::path::Part;
use crate::model::{PatternBody, Value, ValueType};

/// A definition, for whoever asks what its references stand for.
pub(super) struct Definition<'a> {
    pub(super) body: &'a PatternBody,
    pub(super) types: &'a StepTypes,
    pub(super) patterns: Patterns<'a>,
    pub(super) order: Order<'a>,
}

/// What may be referred to from some place.
pub(super) struct Scope {
    /// Of each step, whether it has settled by then. `None`: all have.
    pub(super) settled: Option<Vec<bool>>,
    /// Whether there is an element of a list.
    pub(super) element: bool,
}

impl Definition<'_> {
    /// Tells what is wrong with a reference at `at`.
    pub(super) fn reference(
        &self,
        at: &str,
        reference: &Reference,
        scope: &Scope,
        found: &mut Found,
    ) {
        if matches!(reference.root, Root::Item | Root::Index) && !scope.element {
            found.fault(
                at,
                format!("has {reference}, which is only known inside the step of a map"),
            );
        }
        if let Some(id) = reference.step() {
            match self.body.steps.iter().position(|step| *step.id == **id) {
                None => found.fault(at, format!("has {reference}, and there is no step {id:?}")),
                Some(step) if scope.settled.as_ref().is_some_and(|s| !s[step]) => found.fault(
                    at,
                    format!("has {reference}, but does not depend on {id:?}, which may not have ended by then"),
                ),
                Some(_) => {}
            }
        }
        if let Err(reason) = self.kind(reference) {
            found.fault(at, format!("has {reference}, {reason}"));
        }
    }

    /// The kind of what a reference stands for; what cannot be.
    pub(super) fn kind(&self, reference: &Reference) -> Result<ValueType, String> {
        match &reference.root {
            Root::Input(name) => {
                let input = self.body.inputs.iter().find(|input| *input.name == **name);
                let input = input.ok_or_else(|| format!("and there is no input {name:?}"))?;
                below(input.kind, &reference.path)
            }
            Root::Result(id) => self.result(id, &reference.path),
            Root::State(_) => Ok(ValueType::String),
            Root::Run(RunFact::StartedMs | RunFact::GraphRevision) | Root::Index => {
                Ok(ValueType::Integer)
            }
            Root::Run(_) => Ok(ValueType::String),
            Root::Item => Ok(ValueType::Any),
        }
    }

    fn result(&self, id: &str, path: &[Part]) -> Result<ValueType, String> {
        let Some(step) = self.body.steps.iter().find(|step| step.id == id) else {
            return Ok(ValueType::Any);
        };
        if step.kind == PATTERN
            && let Some(called) = (self.patterns)(Target::Pattern.name_in(&step.target))
        {
            let Some((Part::Key(name), rest)) = path.split_first() else {
                return below(ValueType::Object, path);
            };
            let output = called.outputs.iter().find(|output| *output.name == **name);
            let output =
                output.ok_or_else(|| format!("and that pattern has no output {name:?}"))?;
            return below(output.kind, rest);
        }
        let kind = self
            .types
            .get(&step.kind)
            .map_or(ValueType::Any, |one| one.result);
        below(kind, path)
    }

    /// Tells if what stands at `at` cannot be of the kind that is wanted there.
    pub(super) fn fits(&self, at: &str, template: &Template, wanted: ValueType, found: &mut Found) {
        if let Some(value) = template.constant() {
            if !matches!(value, Value::Null) && !wanted.holds(value) {
                found.fault(at, mismatch(wanted, value.type_name()));
            }
            return;
        }
        let kind = match (template.whole(), template.type_name()) {
            // A reference that is wrong by itself was told already.
            (Some(reference), _) => self.kind(reference).unwrap_or_default(),
            (None, Some("a list")) => ValueType::List,
            (None, Some("an object")) => ValueType::Object,
            (None, _) => ValueType::String,
        };
        if !wanted.takes(kind) {
            found.fault(at, mismatch(wanted, kind.name()));
        }
    }
}

fn mismatch(wanted: ValueType, is: &str) -> String {
    let wanted = wanted.name();
    let article = if wanted.starts_with(['a', 'i', 'o']) {
        "an"
    } else {
        "a"
    };
    format!("is {is}, where {article} {wanted} must stand")
}

fn below(kind: ValueType, path: &[Part]) -> Result<ValueType, String> {
    match (path.first(), kind) {
        (None, kind) => Ok(kind),
        (Some(_), ValueType::Any)
        | (Some(Part::Key(_)), ValueType::Object)
        | (Some(Part::Index(_)), ValueType::List) => Ok(ValueType::Any),
        (Some(Part::Key(name)), kind) => Err(format!(
            "and that is of the type {}, which has no member {name:?}",
            kind.name()
        )),
        (Some(Part::Index(_)), kind) => Err(format!(
            "and that is of the type {}, which has no elements",
            kind.name()
        )),
    }
}
