//! What is wrong with how steps depend on each other.

use std::collections::BTreeMap;

use super::super::order::Order;
use super::fault::{Found, bad_id};
use crate::limits::STEP_ID_BYTES;
use crate::model::Step;

/// Ids of steps, and whether each dependency is one.
pub(super) fn check(steps: &[Step], order: &Order<'_>, found: &mut Found) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, step) in steps.iter().enumerate() {
        // An empty one is told by the pattern itself.
        if let Some(reason) = bad_id(&step.id, true, STEP_ID_BYTES).filter(|_| !step.id.is_empty())
        {
            found.fault(format!("steps[{i}].id"), reason);
        }
        match places.get(step.id.as_str()) {
            Some(first) if !step.id.is_empty() => found.fault(
                format!("steps[{i}].id"),
                format!("is {:?}, as that of steps[{first}]", step.id),
            ),
            Some(_) => {}
            None => {
                places.insert(&step.id, i);
            }
        }
    }
    for (i, step) in steps.iter().enumerate() {
        for (k, id) in step.depends_on.iter().enumerate() {
            let at = || format!("steps[{i}].depends_on[{k}]");
            if *id == step.id {
                found.fault(at(), format!("is {id:?}: a step cannot depend on itself"));
            } else if !places.contains_key(id.as_str()) {
                found.fault(at(), format!("is {id:?}, and there is no step of that id"));
            } else if step.depends_on[..k].contains(id) {
                found.fault(at(), format!("is {id:?}, which is named before"));
            }
        }
    }
    for cycle in order.cycles() {
        let mut names: Vec<&str> = cycle.iter().map(|at| steps[*at].id.as_str()).collect();
        names.extend(names.first().copied());
        let first = &steps[cycle[0]];
        let edge = first
            .depends_on
            .iter()
            .position(|id| Some(&id.as_str()) == names.get(1));
        found.fault(
            format!("steps[{}].depends_on[{}]", cycle[0], edge.unwrap_or(0)),
            format!("closes a cycle: {}", names.join(" -> ")),
        );
    }
}
