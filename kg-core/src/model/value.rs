//! A persistent JSON value: documents, properties, metadata.
//!
//! Objects are ordered maps, so that equal values have equal text. Lists and objects share structure between versions:
//! a clone is a pointer copy and a change copies a path. Numbers are doubles, as on the wire; what a double cannot hold
//! exactly is refused on the way in, never rounded.

use crate::error::Fault;
use crate::limits::{EXACT_INTEGER, JSON_DEPTH};
use std::sync::Arc;

/// The members of a JSON object, sorted by key.
pub type Object = im::OrdMap<Arc<str>, Value>;

/// One JSON value.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A finite double; integers are exact up to 2^53.
    Number(f64),
    /// A string.
    String(Arc<str>),
    /// A list, persistent behind its pointer.
    List(Arc<im::Vector<Value>>),
    /// An object, persistent.
    Object(Object),
}

impl Value {
    /// A string value.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::String(Arc::from(text))
    }

    /// A list of these values.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::List(Arc::new(items.into_iter().collect()))
    }

    /// A number, if a double holds it exactly enough: finite, and not an integer beyond 2^53.
    ///
    /// # Errors
    /// A [`Fault`] without a field; the caller knows where the number stood.
    pub fn number(number: f64) -> Result<Self, Fault> {
        if !number.is_finite() {
            return Err(Fault::new(
                "",
                "must be a finite number: NaN and infinity are not JSON",
            ));
        }
        if number.abs() > EXACT_INTEGER && number.fract() == 0.0 {
            return Err(beyond_exact());
        }
        Ok(Self::Number(number))
    }

    /// The word for this value's type in messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The text of a string value.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object value.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The items of a list value.
    #[must_use]
    pub fn as_list(&self) -> Option<&im::Vector<Value>> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Canonical JSON: sorted keys, no white space, integers without a fraction. Equal values give equal bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        write_json(self, &mut out);
        out
    }

    /// Bytes of [`Value::to_json`], without building it.
    #[must_use]
    pub fn json_len(&self) -> usize {
        struct Count(usize);
        impl std::fmt::Write for Count {
            fn write_str(&mut self, s: &str) -> std::fmt::Result {
                self.0 += s.len();
                Ok(())
            }
        }
        let mut count = Count(0);
        write_json(self, &mut count);
        count.0
    }

    /// A rough count of its bytes in memory, for bounds. Cost: a look at each member; nothing is written.
    #[must_use]
    pub fn weight(&self) -> usize {
        MEMBER_WEIGHT
            + match self {
                Self::Null | Self::Bool(_) | Self::Number(_) => 0,
                Self::String(text) => text.len(),
                Self::List(items) => items.iter().map(Self::weight).sum(),
                Self::Object(members) => object_weight(members),
            }
    }

    /// Reads JSON text, refusing what the model cannot hold.
    ///
    /// # Errors
    /// A [`Fault`] whose field is the path inside the text.
    pub fn from_json(text: &[u8]) -> Result<Self, Fault> {
        // serde_json itself stops at 128 levels, so the conversion below cannot overflow the stack.
        let parsed: serde_json::Value = serde_json::from_slice(text)
            .map_err(|e| Fault::new("", format!("is not JSON: {e}")))?;
        Self::from_serde(&parsed)
    }

    /// Converts a parsed JSON value, refusing what the model cannot hold.
    ///
    /// # Errors
    /// A [`Fault`] whose field is the path inside the value.
    pub fn from_serde(value: &serde_json::Value) -> Result<Self, Fault> {
        convert(value, 0)
    }

    /// Levels of lists and objects: 0 for a scalar, 1 for a list of scalars.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Checks depth and numbers of a value that was built elsewhere.
    ///
    /// # Errors
    /// A [`Fault`] whose field is the path inside the value.
    pub fn check(&self) -> Result<(), Fault> {
        check(self, 0)
    }
}

impl PartialEq for Value {
    /// Equal values have equal text: two zeros of different sign are two values, and NaN is none.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::List(a), Self::List(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            _ => false,
        }
    }
}

/// Bytes of one value in memory besides its text: its place in a tree.
pub(crate) const MEMBER_WEIGHT: usize = 64;

/// As [`Value::weight`], of the members of an object.
#[must_use]
pub fn object_weight(members: &Object) -> usize {
    let member = |(key, value): (&Arc<str>, &Value)| key.len() + value.weight();
    members.iter().map(member).sum()
}

/// The most bytes that the canonical JSON of an object of this weight can have: a byte of text becomes six at most, and
/// whatever is no text is shorter than its weight.
pub(crate) fn longest_json(weight: usize) -> usize {
    weight.saturating_mul(6).saturating_add(2)
}

/// Canonical JSON of an object.
#[must_use]
pub fn object_json(members: &Object) -> String {
    // Room for what an entity usually says, which would otherwise be moved three times while it grows.
    let mut out = String::with_capacity(128);
    write_object(members, &mut out);
    out
}

/// An object as plain serde_json, for writers that lay out text.
#[must_use]
pub fn object_to_serde(members: &Object) -> serde_json::Value {
    serde_json::Value::Object(
        members
            .iter()
            .map(|(k, v)| (k.to_string(), to_serde(v)))
            .collect(),
    )
}

/// A value as plain serde_json, for writers that lay out text.
#[must_use]
pub fn to_serde(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match exact_integer(*n) {
            Some(i) => i.into(),
            None => (*n).into(),
        },
        Value::String(s) => s.as_ref().into(),
        Value::List(items) => items.iter().map(to_serde).collect::<Vec<_>>().into(),
        Value::Object(members) => object_to_serde(members),
    }
}

/// The integer that a number is, if it is one; how numbers are written everywhere.
pub(crate) fn exact_integer(n: f64) -> Option<i64> {
    // -0.0 is kept as a fraction, so that it comes back as itself.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an integer of at most 2^53 fits"
    )]
    (n.fract() == 0.0 && n.abs() <= EXACT_INTEGER && !(n == 0.0 && n.is_sign_negative()))
        .then_some(n as i64)
}

fn write_json(value: &Value, out: &mut impl std::fmt::Write) {
    // Writing to a String or a counter does not fail.
    let _ = match value {
        Value::Null => out.write_str("null"),
        Value::Bool(true) => out.write_str("true"),
        Value::Bool(false) => out.write_str("false"),
        Value::Number(n) => match exact_integer(*n) {
            Some(i) => write!(out, "{i}"),
            None => write!(out, "{}", serde_json::Value::from(*n)),
        },
        Value::String(s) => {
            write_string(s, out);
            Ok(())
        }
        Value::List(items) => {
            let _ = out.write_char('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    let _ = out.write_char(',');
                }
                write_json(item, out);
            }
            out.write_char(']')
        }
        Value::Object(members) => {
            write_object(members, out);
            Ok(())
        }
    };
}

fn write_object(members: &Object, out: &mut impl std::fmt::Write) {
    let _ = out.write_char('{');
    for (i, (key, member)) in members.iter().enumerate() {
        if i > 0 {
            let _ = out.write_char(',');
        }
        write_string(key, out);
        let _ = out.write_char(':');
        write_json(member, out);
    }
    let _ = out.write_char('}');
}

/// What needs no escape is written in one piece: a record and a hash of each write pass here.
fn write_string(text: &str, out: &mut impl std::fmt::Write) {
    let _ = out.write_char('"');
    let mut rest = text;
    // All that is escaped is ASCII, so a byte of it is a character.
    while let Some(at) = rest
        .bytes()
        .position(|b| b < 0x20 || b == b'"' || b == b'\\')
    {
        let _ = out.write_str(&rest[..at]);
        let _ = match rest.as_bytes()[at] {
            b'"' => out.write_str("\\\""),
            b'\\' => out.write_str("\\\\"),
            b'\n' => out.write_str("\\n"),
            b'\r' => out.write_str("\\r"),
            b'\t' => out.write_str("\\t"),
            control => write!(out, "\\u{control:04x}"),
        };
        rest = &rest[at + 1..];
    }
    let _ = out.write_str(rest);
    let _ = out.write_char('"');
}

fn beyond_exact() -> Fault {
    Fault::new(
        "",
        "is an integer beyond 2^53, which a double cannot hold exactly: send it as a string",
    )
}

fn too_deep() -> Fault {
    Fault::new("", format!("is nested deeper than {JSON_DEPTH} levels"))
}

fn convert(value: &serde_json::Value, depth: usize) -> Result<Value, Fault> {
    use serde_json::Value as J;
    Ok(match value {
        J::Null => Value::Null,
        J::Bool(b) => Value::Bool(*b),
        J::Number(n) => {
            // Judged before it is rounded: 2^53 + 1 would become 2^53 on its way to a double.
            let magnitude = n.as_u64().or_else(|| n.as_i64().map(i64::unsigned_abs));
            if magnitude.is_some_and(|m| m > 1 << 53) {
                return Err(beyond_exact());
            }
            let double = n
                .as_f64()
                .ok_or_else(|| Fault::new("", "is not a number that a double can hold"))?;
            Value::number(double)?
        }
        J::String(s) => Value::string(s),
        J::Array(_) | J::Object(_) if depth >= JSON_DEPTH => return Err(too_deep()),
        J::Array(items) => Value::list(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| convert(item, depth + 1).map_err(|f| f.under(&format!("[{i}]"))))
                .collect::<Result<Vec<_>, _>>()?,
        ),
        J::Object(members) => Value::Object(
            members
                .iter()
                .map(|(k, v)| {
                    Ok((
                        Arc::from(k.as_str()),
                        convert(v, depth + 1).map_err(|f| f.under(&super::path::part(k)))?,
                    ))
                })
                .collect::<Result<Object, Fault>>()?,
        ),
    })
}

fn check(value: &Value, depth: usize) -> Result<(), Fault> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(n) => Value::number(*n).map(drop),
        Value::List(_) | Value::Object(_) if depth >= JSON_DEPTH => Err(too_deep()),
        Value::List(items) => items.iter().enumerate().try_for_each(|(i, item)| {
            check(item, depth + 1).map_err(|f| f.under(&format!("[{i}]")))
        }),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(k, v)| check(v, depth + 1).map_err(|f| f.under(&super::path::part(k)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_is_sorted_and_exact() {
        let value =
            Value::from_json(br#"{"b": [1, 2.5, -0.0, 9007199254740992], "a": "q\"\u0001"}"#)
                .expect("valid");
        assert_eq!(
            value.to_json(),
            r#"{"a":"q\"\u0001","b":[1,2.5,-0.0,9007199254740992]}"#
        );
        assert_eq!(value.json_len(), value.to_json().len());
        assert_eq!(Value::from_json(value.to_json().as_bytes()), Ok(value));
    }

    #[test]
    fn equal_values_have_equal_text() {
        let (plus, minus) = (Value::Number(0.0), Value::Number(-0.0));
        assert_ne!(plus.to_json(), minus.to_json());
        assert_ne!(plus, minus);
        assert_eq!(minus, minus.clone());
    }

    #[test]
    fn what_a_double_cannot_hold_is_refused_with_its_place() {
        let fault = Value::from_json(br#"{"a":[0,9007199254740993]}"#);
        assert_eq!(fault.expect_err("beyond 2^53").field, "a[1]");
        assert!(Value::number(f64::NAN).is_err());
    }

    #[test]
    fn thirty_two_levels_are_held_and_thirty_three_refused() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Value::from_json(nested(32).as_bytes()).is_ok());
        assert!(Value::from_json(nested(33).as_bytes()).is_err());
        assert!(Value::from_json(nested(1_000).as_bytes()).is_err());
    }
}
