//! A JSON tree by path, rebuilt at each change.

use super::No;
use crate::model::{Object, Part, Value};

/// What stands at `parts`.
pub(super) fn at(here: &Value, parts: &[Part]) -> Result<Value, No> {
    match (parts, here) {
        ([], here) => Ok(here.clone()),
        ([Part::Key(key), rest @ ..], Value::Object(members)) => {
            at(members.get(key).ok_or(No::NotFound)?, rest)
        }
        ([Part::Index(i), rest @ ..], Value::List(items)) => {
            at(items.get(*i).ok_or(No::NotFound)?, rest)
        }
        _ => Err(No::Invalid),
    }
}

/// The tree with `value` at `parts`. What is missing on the way is made; an index may equal the length.
pub(super) fn with(here: &Value, parts: &[Part], value: &Value) -> Result<Value, No> {
    let missing = || match parts.get(1) {
        Some(Part::Index(_)) => Value::list([]),
        _ => Value::Object(Object::new()),
    };
    match (parts, here) {
        ([], _) => Ok(value.clone()),
        ([Part::Key(key), rest @ ..], Value::Object(members)) => {
            let inner = members.get(key).cloned().unwrap_or_else(missing);
            let inner = with(&inner, rest, value)?;
            Ok(Value::Object(members.update(key.clone(), inner)))
        }
        ([Part::Index(i), rest @ ..], Value::List(items)) if *i <= items.len() => {
            let inner = items.get(*i).cloned().unwrap_or_else(missing);
            let inner = with(&inner, rest, value)?;
            let before = items.iter().take(*i).cloned();
            let behind = items.iter().skip(*i + 1).cloned();
            Ok(Value::list(before.chain([inner]).chain(behind)))
        }
        ([Part::Index(_), ..], Value::List(_)) => Err(No::NotFound),
        _ => Err(No::Invalid),
    }
}

/// The tree without what stands at `parts`, and without a gap in a list.
pub(super) fn without(here: &Value, parts: &[Part]) -> Result<Value, No> {
    at(here, parts)?;
    Ok(match (parts, here) {
        ([Part::Key(key)], Value::Object(members)) => Value::Object(members.without(key)),
        ([Part::Index(i)], Value::List(items)) => {
            let kept = items.iter().enumerate().filter(|(at, _)| at != i);
            Value::list(kept.map(|(_, item)| item.clone()))
        }
        ([Part::Key(key), rest @ ..], Value::Object(members)) => {
            let inner = without(members.get(key).ok_or(No::NotFound)?, rest)?;
            Value::Object(members.update(key.clone(), inner))
        }
        ([Part::Index(i), rest @ ..], Value::List(items)) => {
            let inner = without(items.get(*i).ok_or(No::NotFound)?, rest)?;
            let items = items.iter().enumerate();
            Value::list(items.map(|(at, item)| {
                if at == *i {
                    inner.clone()
                } else {
                    item.clone()
                }
            }))
        }
        _ => return Err(No::Invalid),
    })
}
