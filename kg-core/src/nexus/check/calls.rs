//! Patterns that call patterns: how deep, and whether one comes back to itself.

use std::collections::BTreeMap;

use super::super::step_type::{MAP, PATTERN, Target};
use crate::limits::PATTERN_DEPTH;
use crate::model::{PatternBody, Value};

/// Looks a pattern up by its name.
pub(super) type Patterns<'a> = &'a dyn Fn(&str) -> Option<PatternBody>;

/// Follows calls, and remembers how deep each pattern goes.
pub(super) struct Calls<'a> {
    patterns: Patterns<'a>,
    deep: BTreeMap<String, usize>,
    way: Vec<String>,
}

impl<'a> Calls<'a> {
    /// Calls out of the pattern of this name.
    pub(super) fn of(name: &str, patterns: Patterns<'a>) -> Self {
        Self {
            patterns,
            deep: BTreeMap::new(),
            way: vec![name.to_owned()],
        }
    }

    /// What is wrong with calling this one.
    pub(super) fn fault(&mut self, name: &str) -> Option<String> {
        self.depth(name).err()
    }

    /// How many calls are below one of `name`, itself included.
    fn depth(&mut self, name: &str) -> Result<usize, String> {
        if let Some(at) = self.way.iter().position(|one| one == name) {
            let mut cycle: Vec<&str> = self.way[at..].iter().map(String::as_str).collect();
            cycle.push(name);
            return Err(format!(
                "makes a pattern call itself: {}",
                cycle.join(" -> ")
            ));
        }
        let deep = match self.deep.get(name) {
            Some(deep) => *deep,
            None if self.way.len() > PATTERN_DEPTH => 1,
            None => {
                let called = (self.patterns)(name).map_or_else(Vec::new, |body| called(&body));
                self.way.push(name.to_owned());
                let mut deepest = 0;
                let mut wrong = None;
                for below in &called {
                    match self.depth(below) {
                        Ok(deep) => deepest = deepest.max(deep),
                        Err(reason) => {
                            wrong = Some(reason);
                            break;
                        }
                    }
                }
                self.way.pop();
                if let Some(reason) = wrong {
                    return Err(reason);
                }
                self.deep.insert(name.to_owned(), deepest + 1);
                deepest + 1
            }
        };
        if self.way.len() - 1 + deep > PATTERN_DEPTH {
            return Err(format!(
                "makes patterns call each other more than {PATTERN_DEPTH} deep"
            ));
        }
        Ok(deep)
    }
}

/// The names of all patterns that a pattern calls.
fn called(body: &PatternBody) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut call = |kind: &str, target: &str| {
        let name = Target::Pattern.name_in(target);
        if kind == PATTERN && !name.is_empty() && !names.iter().any(|one| one == name) {
            names.push(name.to_owned());
        }
    };
    for step in &body.steps {
        call(&step.kind, &step.target);
        if let Some(undo) = &step.compensation {
            call(&undo.kind, &undo.target);
        }
        if step.kind != MAP {
            continue;
        }
        if let Some(inner) = step.parameters.get("step").and_then(Value::as_object) {
            let text = |name: &str| inner.get(name).and_then(Value::as_str).unwrap_or("");
            call(text("type"), text("target"));
        }
    }
    names
}
