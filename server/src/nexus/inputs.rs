//! What a run is given, held against what its pattern asks for.

use kg_core::error::Fault;
use kg_core::model::{Input, Object, Value};

/// The inputs with their defaults, or everything that is wrong with them.
///
/// # Errors
/// One fault for each input that is missing, of the wrong type, or not known.
pub fn filled(asked: &[Input], given: &Object) -> Result<Object, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut inputs = Object::new();
    for input in asked {
        let name = input.name.as_str();
        let value = given.get(name).filter(|value| **value != Value::Null);
        match value {
            Some(value) if !input.kind.holds(value) => faults.push(Fault::new(
                field(name),
                format!("must be of the type {}, and is {}", input.kind.name(), value.type_name()),
            )),
            None if input.required => faults.push(Fault::new(field(name), "is required")),
            value => {
                let value = value.unwrap_or(&input.default).clone();
                inputs.insert(name.into(), value);
            }
        }
    }
    let known = |name: &str| asked.iter().any(|input| input.name == name);
    for name in given.keys().filter(|name| !known(name)) {
        faults.push(Fault::new(field(name), "is no input of this pattern"));
    }
    if faults.is_empty() { Ok(inputs) } else { Err(faults) }
}

fn field(name: &str) -> String {
    format!("inputs.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kg_core::model::ValueType;

    fn input(name: &str, kind: ValueType, required: bool, default: Value) -> Input {
        Input {
            name: name.into(),
            kind,
            required,
            default,
            description: String::new(),
        }
    }

    fn object(json: &str) -> Object {
        let value = Value::from_json(json.as_bytes()).expect("JSON");
        value.as_object().expect("an object").clone()
    }

    fn asked() -> [Input; 3] {
        [
            input("order", ValueType::String, true, Value::Null),
            input("amount", ValueType::Integer, false, Value::Number(7.0)),
            input("note", ValueType::Any, false, Value::Null),
        ]
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let filled = filled(&asked(), &object(r#"{"order": "o1"}"#)).expect("fine");
        assert_eq!(filled, object(r#"{"order": "o1", "amount": 7, "note": null}"#));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let faults = filled(&asked(), &object(r#"{"amount": 1.5, "colour": 1}"#)).expect_err("wrong");
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["inputs.order", "inputs.amount", "inputs.colour"]);
    }
}
