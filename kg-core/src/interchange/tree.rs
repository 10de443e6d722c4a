//! JSON text as a tree of values, with everything that plain parsers pass over: a key given twice, an integer that a
//! double cannot hold, too many levels. Each is a fault with its path, and reading goes on behind it; only a syntax error
//! ends it, and says where in the text.

use super::faults::Faults;
use crate::error::Fault;
use crate::limits::JSON_DEPTH;
use crate::model::path::{Part, render};
use crate::model::{Object, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Levels of a file: a value of [`JSON_DEPTH`] levels may stand six levels down (`services[0].endpoints[0].metadata`). What
/// is deeper than this is skipped without recursion; what is deeper than its own place allows is found there.
const FILE_DEPTH: usize = JSON_DEPTH + 6;

/// The tree that `text` says. `None`: it is not JSON, and the last fault says where.
pub(super) fn parse(text: &[u8], faults: &mut Faults) -> Option<Value> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut walk = Walk {
        at: Vec::new(),
        faults,
    };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let outcome = Node(&mut walk).deserialize(&mut reader);
    match outcome.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Some(value),
        Err(error) => {
            let at = render(&walk.at);
            faults.add(at, format!("is not JSON: {error}"));
            None
        }
    }
}

struct Walk<'f> {
    at: Vec<Part>,
    faults: &'f mut Faults,
}

impl Walk<'_> {
    fn fault(&mut self, reason: String) {
        self.faults.push(Fault::new(render(&self.at), reason));
    }

    fn number(&mut self, number: Result<Value, Fault>) -> Value {
        number.unwrap_or_else(|fault| {
            self.fault(fault.reason);
            Value::Number(0.0)
        })
    }

    /// Whether a list or an object may begin here.
    fn too_deep(&mut self) -> bool {
        let deep = self.at.len() >= FILE_DEPTH;
        if deep {
            self.fault(format!("is nested deeper than {JSON_DEPTH} levels"));
        }
        deep
    }
}

struct Node<'w, 'f>(&'w mut Walk<'f>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(self.0.number(integer(value, false)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(self.0.number(integer(value.unsigned_abs(), value < 0)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(self.0.number(Value::number(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::string(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let walk = self.0;
        if walk.too_deep() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let mut list = im::Vector::new();
        loop {
            walk.at.push(Part::Index(list.len()));
            let item = items.next_element_seed(Node(walk))?;
            walk.at.pop();
            match item {
                Some(item) => list.push_back(item),
                None => return Ok(Value::List(Arc::new(list))),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let walk = self.0;
        if walk.too_deep() {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        // Filled in one go at the end, which is cheaper than growing a persistent map.
        let mut members: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let key: Arc<str> = Arc::from(key);
            walk.at.push(Part::Key(key.clone()));
            let again = members.contains_key(&key);
            if again {
                walk.fault("is given twice in its object".into());
            }
            let value = entries.next_value_seed(Node(walk))?;
            walk.at.pop();
            if !again {
                members.insert(key, value);
            }
        }
        Ok(Value::Object(members.into_iter().collect::<Object>()))
    }
}

/// Judged before it is rounded: 2^53 + 1 would become 2^53 on its way to a double.
fn integer(magnitude: u64, negative: bool) -> Result<Value, Fault> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "what is beyond 2^53 stays beyond it, and is refused"
    )]
    let double = if magnitude > 1 << 53 {
        u64::MAX as f64
    } else {
        magnitude as f64
    };
    Value::number(if negative { -double } else { double })
}
