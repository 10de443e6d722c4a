//! Which patterns use an entity.
//!
//! A step says what it acts on as free text: `service/checkout`, `checkout`, or one of its methods, as `checkout.Pay` or
//! `checkout/Pay`. What exists decides what is meant, the longest name first.

use crate::model::{Entity, EntityId, EntityRef, Kind};
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
                .filter_map(|step| step_target(snapshot, &step.target))
                .any(|target| used(target.id))
        })
        .map(|entity| entity.key.clone())
        .collect()
}

/// The entity that a step acts on, if there is one.
pub(super) fn step_target<'a>(snapshot: &'a Snapshot, target: &str) -> Option<&'a Arc<Entity>> {
    if let Some(entity) = named(snapshot, target) {
        return Some(entity);
    }
    target
        .rmatch_indices(['.', '/'])
        .find_map(|(at, _)| named(snapshot, &target[..at]))
}

fn named<'a>(snapshot: &'a Snapshot, text: &str) -> Option<&'a Arc<Entity>> {
    let other = || {
        let (kind, name) = text.split_once('/')?;
        snapshot.find(kind, name)
    };
    snapshot.service(text).or_else(other)
}
