//! A call as its definition has it, for the type of step that it is of.
//!
//! What holds a reference is not known yet, and cannot be wrong: only what stands there as it is can.

use crate::model::{Object, Value};

/// A call as its definition has it: of a step, of a compensation, or of the step of a `map`.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// As the definition says.
    pub action: &'a str,
    /// With their references unfilled.
    pub parameters: &'a Object,
}

impl<'a> Written<'a> {
    /// Whether something is given under this name. `null` counts as absent.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !matches!(self.parameters.get(name), None | Some(Value::Null))
    }

    /// What is given under this name, where it is known without a run.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<&'a Value> {
        let given = self.parameters.get(name).filter(|value| is_constant(value));
        given.filter(|value| !matches!(value, Value::Null))
    }
}

/// Whether a value holds no reference. A text with an escaped `$${` counts as one that does: nothing is told of it before a run.
#[must_use]
pub fn is_constant(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains("${"),
        Value::List(items) => items.iter().all(is_constant),
        Value::Object(members) => members.values().all(is_constant),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}
