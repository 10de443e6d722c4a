//! Strict reading of one object of our own form: each field has one name and one type, and what is neither is a fault.

use super::faults::Faults;
use crate::model::path::part;
use crate::model::shape::{as_count, no_count};
use crate::model::{Object, Value};

/// One object of a file, and where it stands.
pub(super) struct Fields<'v> {
    at: String,
    members: &'v Object,
}

impl<'v> Fields<'v> {
    /// Opens the object at `at`, whose fields may be `known`.
    pub(super) fn open(
        at: String,
        value: &'v Value,
        what: &str,
        known: &[&str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let Some(members) = value.as_object() else {
            faults.add(at, format!("must be {what}, not {}", value.type_name()));
            return None;
        };
        let fields = Self { at, members };
        for key in members.keys().filter(|key| !known.contains(&key.as_ref())) {
            faults.add(
                fields.path(key),
                format!("is no field of {what} ({})", known.join(", ")),
            );
        }
        Some(fields)
    }

    /// Path of a member.
    pub(super) fn path(&self, key: &str) -> String {
        if self.at.is_empty() {
            part(key)
        } else {
            format!("{}.{}", self.at, part(key))
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'v Value> {
        self.members.get(key)
    }

    pub(super) fn text(&self, key: &str, faults: &mut Faults) -> &'v str {
        match self.get(key) {
            None => "",
            Some(Value::String(text)) => text,
            Some(other) => {
                self.wrong(key, "a string", other, faults);
                ""
            }
        }
    }

    pub(super) fn owned(&self, key: &str, faults: &mut Faults) -> String {
        self.text(key, faults).to_owned()
    }

    pub(super) fn flag(&self, key: &str, faults: &mut Faults) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.wrong(key, "a boolean", other, faults);
                false
            }
        }
    }

    /// A number that counts; 0 where there is none.
    pub(super) fn count(&self, key: &str, faults: &mut Faults) -> u32 {
        let number = self.number(key, 0.0, faults);
        as_count(number).unwrap_or_else(|| {
            faults.add(self.path(key), no_count(number));
            0
        })
    }

    pub(super) fn number(&self, key: &str, absent: f64, faults: &mut Faults) -> f64 {
        match self.get(key) {
            None => absent,
            Some(Value::Number(number)) => *number,
            Some(other) => {
                self.wrong(key, "a number", other, faults);
                absent
            }
        }
    }

    pub(super) fn object(&self, key: &str, faults: &mut Faults) -> Object {
        match self.get(key) {
            None => Object::new(),
            Some(Value::Object(members)) => members.clone(),
            Some(other) => {
                self.wrong(key, "an object", other, faults);
                Object::new()
            }
        }
    }

    /// Reads each item of a list; one that cannot be read is left out, its faults are kept.
    pub(super) fn each<T>(
        &self,
        key: &str,
        faults: &mut Faults,
        mut read: impl FnMut(String, &'v Value, &mut Faults) -> Option<T>,
    ) -> Vec<T> {
        match self.get(key) {
            None => Vec::new(),
            Some(Value::List(items)) => {
                let at = self.path(key);
                let item = |(i, item)| read(format!("{at}[{i}]"), item, faults);
                items.iter().enumerate().filter_map(item).collect()
            }
            Some(other) => {
                self.wrong(key, "a list", other, faults);
                Vec::new()
            }
        }
    }

    pub(super) fn texts(&self, key: &str, faults: &mut Faults) -> Vec<String> {
        self.each(key, faults, |at, item, faults| match item {
            Value::String(text) => Some(text.to_string()),
            other => {
                faults.add(at, format!("must be a string, not {}", other.type_name()));
                None
            }
        })
    }

    fn wrong(&self, key: &str, wanted: &str, found: &Value, faults: &mut Faults) {
        faults.add(
            self.path(key),
            format!("must be {wanted}, not {}", found.type_name()),
        );
    }
}
