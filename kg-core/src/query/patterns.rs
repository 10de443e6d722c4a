//! Which patterns use an entity.
//!
//! A step says what it acts on as free text: `service/checkout`, `checkout`, or one of its methods, as `checkout.Pay` or
//! `checkout/Pay`. What exists decides what is meant, the longest name first. A bare name is a service, and of a step that runs a
//! pattern first of all a pattern. What a step's compensation acts on, and the step that a `map` repeats, it acts on as well.

use crate::model::{Entity, EntityId, EntityRef, Kind, Step, Value};
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// Patterns with a step that acts on something that `used` holds for, sorted by name. Cost: O(steps of all patterns).
pub fn patterns_using(snapshot: &Snapshot, used: impl Fn(EntityId) -> bool) -> Vec<EntityRef> {
    let kind = Kind::pattern();
    snapshot
        .names(&kind, None, false)
        .filter_map(|name| snapshot.find(kind.as_str(), name.as_str()))
        .filter(|entity| {
            let steps = entity.pattern().map(|body| &body.steps);
            steps
                .into_iter()
                .flatten()
                .flat_map(acts_on)
                .filter_map(|target| target.entity(snapshot))
                .any(|target| used(target.id))
        })
        .map(|entity| entity.key.clone())
        .collect()
}

/// What a step, or something that belongs to it, acts on.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The type of the step.
    kind: &'a str,
    /// What it says.
    pub(super) text: &'a str,
}

/// Whatever a step acts on: itself, what undoes it, what it repeats.
pub(super) fn acts_on(step: &Step) -> impl Iterator<Item = Target<'_>> {
    let own = Some((step.kind.as_str(), step.target.as_str()));
    let undo = step.compensation.as_ref();
    let undo = undo.map(|undo| (undo.kind.as_str(), undo.target.as_str()));
    let repeated = step.parameters.get("step").and_then(Value::as_object);
    let repeated = repeated.filter(|_| step.kind == "map").map(|inner| {
        let text = |key| inner.get(key).and_then(Value::as_str).unwrap_or_default();
        (text("type"), text("target"))
    });
    [own, undo, repeated]
        .into_iter()
        .flatten()
        .filter(|(_, text)| !text.is_empty())
        .map(|(kind, text)| Target { kind, text })
}

impl Target<'_> {
    /// The entity that is meant, if there is one.
    pub(super) fn entity<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Arc<Entity>> {
        let pattern = |text| snapshot.find("pattern", text);
        let of_pattern = (self.kind == "pattern")
            .then(|| pattern(self.text))
            .flatten();
        of_pattern
            .or_else(|| named(snapshot, self.text))
            .or_else(|| {
                self.text
                    .rmatch_indices(['.', '/'])
                    .find_map(|(at, _)| named(snapshot, &self.text[..at]))
            })
    }
}

fn named<'a>(snapshot: &'a Snapshot, text: &str) -> Option<&'a Arc<Entity>> {
    let other = || {
        let (kind, name) = text.split_once('/')?;
        snapshot.find(kind, name)
    };
    snapshot.service(text).or_else(other)
}
