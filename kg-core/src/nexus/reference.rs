//! References: how a definition names something that a run only knows when it gets there.
//!
//! `${inputs.order}`, `${steps.charge.result.id}`, `${steps.charge.state}`, `${run.id}`, and inside a `map`'s step `${item.name}`
//! and `${index}`. What follows a root is a dot path as everywhere else.

use std::fmt;
use std::sync::Arc;

use crate::error::Fault;
use crate::model::path::{Part, Path};
use crate::model::{Object, Value};

/// One reference of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What it begins at.
    pub root: Root,
    /// Where it goes from there.
    pub path: Vec<Part>,
    /// As it was written, without `${` and `}`.
    pub text: Arc<str>,
}

/// What a reference begins at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// An input of the run, by name.
    Input(Arc<str>),
    /// What a step gave, by its id.
    Result(Arc<str>),
    /// How a step is doing, in one word, by its id.
    State(Arc<str>),
    /// Something about the run itself.
    Run(RunFact),
    /// The element of a `map`'s list.
    Item,
    /// Its place in the list, from 0.
    Index,
}

/// What can be known of the run itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunFact {
    /// Its id.
    Id,
    /// The name of its pattern.
    Pattern,
    /// Who began it.
    Actor,
    /// What it and its events are found by.
    CorrelationId,
    /// When it was begun, in milliseconds since 1970.
    StartedMs,
    /// The revision of the graph at which it was begun.
    GraphRevision,
}

impl RunFact {
    const ALL: [(&'static str, Self); 6] = [
        ("id", Self::Id),
        ("pattern", Self::Pattern),
        ("actor", Self::Actor),
        ("correlation_id", Self::CorrelationId),
        ("started_ms", Self::StartedMs),
        ("graph_revision", Self::GraphRevision),
    ];
}

/// Knows what references stand for.
pub trait Lookup {
    /// What this one stands for.
    fn find(&self, reference: &Reference) -> Found;
}

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// This.
    Value(Value),
    /// Nothing: what it names is not there.
    Nothing,
    /// Not known yet, but it will be: an element of a list, while the step around it is filled in.
    Later,
}

impl Found {
    /// What stands at `path` below `root`: nothing, where the path leads nowhere.
    #[must_use]
    pub fn below(root: &Value, path: &[Part]) -> Self {
        let mut here = root;
        for part in path {
            let next = match (part, here) {
                (Part::Key(key), Value::Object(members)) => members.get(key),
                (Part::Index(index), Value::List(items)) => items.get(*index),
                _ => None,
            };
            match next {
                Some(value) => here = value,
                None => return Self::Nothing,
            }
        }
        Self::Value(here.clone())
    }
}

/// The element of a list, for the step that is done with it. Everything else is nothing: it was filled in before.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The element.
    pub item: &'a Value,
    /// Its place, from 0.
    pub index: u32,
}

impl Lookup for Element<'_> {
    fn find(&self, reference: &Reference) -> Found {
        match reference.root {
            Root::Item => Found::below(self.item, &reference.path),
            Root::Index => Found::Value(Value::Number(f64::from(self.index))),
            _ => Found::Nothing,
        }
    }
}

/// Only the inputs, for what is asked before there is a run.
impl Lookup for Object {
    fn find(&self, reference: &Reference) -> Found {
        match &reference.root {
            Root::Input(name) => self
                .get(name)
                .map_or(Found::Nothing, |value| Found::below(value, &reference.path)),
            _ => Found::Nothing,
        }
    }
}

impl Reference {
    /// Parses what stands between `${` and `}`.
    ///
    /// # Errors
    /// What is wrong with it, in words that say what would be right.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |reason: String| Fault::new("", format!("has ${{{text}}}, which {reason}"));
        let path = Path::parse(text).map_err(|fault| wrong(fault.reason))?;
        let (root, used) = root(path.parts()).map_err(wrong)?;
        Ok(Self {
            root,
            path: path.parts()[used..].to_vec(),
            text: text.into(),
        })
    }

    /// The step that it refers to.
    #[must_use]
    pub fn step(&self) -> Option<&Arc<str>> {
        match &self.root {
            Root::Result(id) | Root::State(id) => Some(id),
            Root::Input(_) | Root::Run(_) | Root::Item | Root::Index => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{{}}}", self.text)
    }
}

/// The root, and how many parts of the path it took.
fn root(parts: &[Part]) -> Result<(Root, usize), String> {
    let key = |at: usize| match parts.get(at) {
        Some(Part::Key(key)) => Some(key),
        _ => None,
    };
    let ends = |root: Root, used: usize| {
        if parts.len() == used {
            Ok((root, used))
        } else {
            Err("goes into something that has no members".to_owned())
        }
    };
    match key(0).map(AsRef::as_ref) {
        Some("inputs") => match key(1) {
            Some(name) => Ok((Root::Input(name.clone()), 2)),
            None => Err("names no input: inputs.NAME".into()),
        },
        Some("steps") => match (key(1), key(2).map(AsRef::as_ref)) {
            (Some(id), Some("result")) => Ok((Root::Result(id.clone()), 3)),
            (Some(id), Some("state")) => ends(Root::State(id.clone()), 3),
            _ => Err("must be steps.ID.result or steps.ID.state".into()),
        },
        Some("run") => {
            let named = key(1).and_then(|name| RunFact::ALL.iter().find(|(n, _)| *n == &**name));
            match named {
                Some((_, fact)) => ends(Root::Run(*fact), 2),
                None => Err(format!(
                    "must be run. and one of {}",
                    RunFact::ALL.map(|(name, _)| name).join(", ")
                )),
            }
        }
        Some("item") => Ok((Root::Item, 1)),
        Some("index") => ends(Root::Index, 1),
        _ => Err("must begin with inputs, steps, run, item or index".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_is_known_and_the_rest_is_a_path() {
        let parsed = |text: &str| Reference::parse(text).map(|r| (r.root, r.path.len()));
        assert_eq!(parsed("inputs.a.b[0]"), Ok((Root::Input("a".into()), 2)));
        assert_eq!(
            parsed("steps.a-1.result.x"),
            Ok((Root::Result("a-1".into()), 1))
        );
        assert_eq!(parsed("steps.a.state"), Ok((Root::State("a".into()), 0)));
        assert_eq!(parsed("run.actor"), Ok((Root::Run(RunFact::Actor), 0)));
        assert_eq!(parsed("item"), Ok((Root::Item, 0)));
        assert_eq!(parsed("item[2].x"), Ok((Root::Item, 2)));
        assert_eq!(parsed("index"), Ok((Root::Index, 0)));
    }

    #[test]
    fn a_bad_reference_is_told_with_what_would_be_right() {
        for bad in [
            "",
            "input.x",
            "inputs",
            "inputs[0]",
            "steps.a",
            "steps.a.results",
            "run.ids",
            "run.id.x",
            "index.x",
            "steps.a.state.x",
            "inputs..x",
        ] {
            let fault = Reference::parse(bad).expect_err(bad);
            assert!(fault.reason.contains(bad), "{fault}");
        }
    }
}
