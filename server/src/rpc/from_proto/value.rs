//! `google.protobuf.Value` and `Struct` as the model's values: bounded in depth, exact in numbers.

use std::sync::Arc;

use kg_core::error::Fault;
use kg_core::limits::JSON_DEPTH;
use kg_core::model::path::part;
use kg_core::model::{Object, Value};
use prost_types::value::Kind;
use prost_types::{Struct, Value as Wire};

/// A value.
///
/// # Errors
/// A fault of `field`, or of the place inside the value that cannot be held: NaN, infinity, an integer beyond 2^53, a
/// value without a kind, more than 32 levels.
pub fn value(field: &str, given: Option<&Wire>) -> Result<Value, Fault> {
    let given = super::required(field, given)?;
    convert(given, 0).map_err(|fault| fault.under(field))
}

/// The members of an object; none where there is none.
///
/// # Errors
/// As [`value`].
pub fn object(field: &str, given: Option<&Struct>) -> Result<Object, Fault> {
    match given {
        None => Ok(Object::new()),
        Some(given) => members(given, 0).map_err(|fault| fault.under(field)),
    }
}

fn convert(value: &Wire, depth: usize) -> Result<Value, Fault> {
    match &value.kind {
        None => Err(Fault::new(
            "",
            "is a google.protobuf.Value without a kind: send null_value for null",
        )),
        Some(Kind::NullValue(_)) => Ok(Value::Null),
        Some(Kind::BoolValue(value)) => Ok(Value::Bool(*value)),
        Some(Kind::NumberValue(number)) => Value::number(*number),
        Some(Kind::StringValue(text)) => Ok(Value::string(text)),
        Some(Kind::ListValue(list)) => {
            check_depth(depth)?;
            let item = |(i, item)| convert(item, depth + 1).map_err(|f| f.under(&format!("[{i}]")));
            let items = list.values.iter().enumerate().map(item);
            Ok(Value::list(items.collect::<Result<Vec<_>, _>>()?))
        }
        Some(Kind::StructValue(given)) => Ok(Value::Object(members(given, depth)?)),
    }
}

fn members(given: &Struct, depth: usize) -> Result<Object, Fault> {
    check_depth(depth)?;
    let member = |(key, value): (&String, &Wire)| {
        let value = convert(value, depth + 1).map_err(|fault| fault.under(&part(key)))?;
        Ok((Arc::from(key.as_str()), value))
    };
    given.fields.iter().map(member).collect()
}

fn check_depth(depth: usize) -> Result<(), Fault> {
    if depth >= JSON_DEPTH {
        return Err(Fault::new(
            "",
            format!("is nested deeper than {JSON_DEPTH} levels"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::to_proto;

    fn nested(levels: usize) -> Wire {
        let scalar = Wire {
            kind: Some(Kind::NullValue(0)),
        };
        (0..levels).fold(scalar, |inner, _| Wire {
            kind: Some(Kind::ListValue(prost_types::ListValue {
                values: vec![inner],
            })),
        })
    }

    #[test]
    fn values_come_back_as_they_were() {
        let value_in = Value::from_json(br#"{"a":[null,true,-1.5,9007199254740992,"x",{}]}"#)
            .expect("valid JSON");
        let wire = to_proto::value(&value_in);
        assert_eq!(value("value", Some(&wire)), Ok(value_in));
    }

    #[test]
    fn what_cannot_be_held_is_refused_with_its_place() {
        for bad in [
            f64::NAN,
            f64::INFINITY,
            9_007_199_254_740_994.0,
            -(2f64.powi(60)),
        ] {
            let list = prost_types::ListValue {
                values: vec![Wire {
                    kind: Some(Kind::NumberValue(bad)),
                }],
            };
            let wire = Wire {
                kind: Some(Kind::ListValue(list)),
            };
            assert_eq!(
                value("value", Some(&wire)).expect_err("refused").field,
                "value[0]"
            );
        }
        let fault = value("value", Some(&Wire { kind: None })).expect_err("no kind");
        assert_eq!(fault.field, "value");
    }

    #[test]
    fn thirty_two_levels_are_held_and_thirty_three_refused() {
        assert!(value("value", Some(&nested(32))).is_ok());
        assert!(value("value", Some(&nested(33))).is_err());
    }
}
