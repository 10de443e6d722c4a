//! Reading a step's parameters. `null` counts as absent.

use kg_core::model::{Object, Value};
use kg_core::nexus::Failure;

use crate::nexus::failure::invalid;

/// The parameter of this name, if it is there.
pub fn given<'a>(parameters: &'a Object, name: &str) -> Option<&'a Value> {
    parameters
        .get(name)
        .filter(|value| !matches!(value, Value::Null))
}

/// A text.
pub fn text<'a>(parameters: &'a Object, name: &str) -> Result<Option<&'a str>, Failure> {
    read(parameters, name, "a string", Value::as_str)
}

/// A text that has to be there.
pub fn required_text<'a>(parameters: &'a Object, name: &str) -> Result<&'a str, Failure> {
    let found = text(parameters, name)?.filter(|text| !text.is_empty());
    found.ok_or_else(|| missing(name))
}

/// An object.
pub fn object<'a>(parameters: &'a Object, name: &str) -> Result<Option<&'a Object>, Failure> {
    read(parameters, name, "an object", Value::as_object)
}

/// A list.
pub fn list(parameters: &Object, name: &str) -> Result<Option<Vec<Value>>, Failure> {
    read(parameters, name, "a list", |value| {
        value.as_list().map(|items| items.iter().cloned().collect())
    })
}

/// A number that is whole and not below zero.
pub fn whole(parameters: &Object, name: &str) -> Result<Option<u64>, Failure> {
    read(
        parameters,
        name,
        "a whole number of 0 or more",
        |value| match value {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number of at most 2^53 that is not negative"
            )]
            Value::Number(n) if n.fract() == 0.0 && *n >= 0.0 && *n <= 9_007_199_254_740_992.0 => {
                Some(*n as u64)
            }
            _ => None,
        },
    )
}

/// What is said of a parameter that is not there.
pub fn missing(name: &str) -> Failure {
    invalid(name, "is required")
}

fn read<'a, T>(
    parameters: &'a Object,
    name: &str,
    wanted: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let Some(value) = given(parameters, name) else {
        return Ok(None);
    };
    let wrong = || {
        invalid(
            name,
            format!("must be {wanted}, and is {}", value.type_name()),
        )
    };
    read(value).map(Some).ok_or_else(wrong)
}
