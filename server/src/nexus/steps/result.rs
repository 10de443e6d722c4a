//! What comes of a step: built, bounded, and made of JSON that others wrote.

use std::sync::Arc;

use kg_core::limits::RESULT_BYTES;
use kg_core::model::{Object, Value};
use kg_core::nexus::Failure;
use tonic::Code;

use crate::nexus::failure::of;

/// What stands for more than a double of JSON can hold exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An object of these members.
pub fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members
        .into_iter()
        .map(|(name, value)| (Arc::<str>::from(name), value));
    Value::Object(members.collect::<Object>())
}

/// A number of things, an offset, or a time in milliseconds: all far below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "what is counted is far below 2^53"
)]
pub fn number(n: u64) -> Value {
    Value::Number(n as f64)
}

/// JSON as a result.
///
/// # Errors
/// OUT_OF_RANGE where it is too deep or too large: another attempt would bring it again.
pub fn of_json(mut json: serde_json::Value) -> Result<Value, Failure> {
    spell_out(&mut json);
    let value = Value::from_serde(&json).map_err(|fault| {
        let why = format!("the response cannot be a result: {fault}");
        of(Code::OutOfRange, why)
    })?;
    bounded(value)
}

/// A result that is not too large.
///
/// # Errors
/// OUT_OF_RANGE.
pub fn bounded(value: Value) -> Result<Value, Failure> {
    let bytes = value.weight();
    if bytes > RESULT_BYTES {
        let why = format!("the result has {bytes} bytes, at most {RESULT_BYTES} are kept");
        return Err(of(Code::OutOfRange, why));
    }
    Ok(value)
}

/// Numbers that the model does not hold become their text.
fn spell_out(json: &mut serde_json::Value) {
    use serde_json::Value as J;
    match json {
        J::Number(number) => {
            let held = match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => n <= 1 << 53,
                (_, Some(n)) => n.unsigned_abs() <= 1 << 53,
                _ => number
                    .as_f64()
                    .is_some_and(|n| n.abs() <= EXACT || n.fract() != 0.0),
            };
            if !held {
                *json = J::String(number.to_string());
            }
        }
        J::Array(items) => items.iter_mut().for_each(spell_out),
        J::Object(members) => members.values_mut().for_each(spell_out),
        J::Null | J::Bool(_) | J::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_double_holds_become_their_text() {
        let json = serde_json::json!({"a": u64::MAX, "b": [1e300, 0.5, 9_007_199_254_740_992_u64], "c": i64::MIN});
        let value = of_json(json).expect("a result");
        assert_eq!(
            value.to_json(),
            r#"{"a":"18446744073709551615","b":["1e+300",0.5,9007199254740992],"c":"-9223372036854775808"}"#
        );
    }

    #[test]
    fn a_result_that_is_too_large_or_too_deep_is_not_worth_another_attempt() {
        let large = serde_json::json!("x".repeat(RESULT_BYTES));
        assert_eq!(
            &*of_json(large).expect_err("too large").code,
            "OUT_OF_RANGE"
        );
        let deep = (0..40).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        assert_eq!(&*of_json(deep).expect_err("too deep").code, "OUT_OF_RANGE");
    }
}
