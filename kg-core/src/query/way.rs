//! The shortest way from one entity to another.

use super::budget::Budget;
use super::direction::{Along, Direction, Ways, roots};
use super::error::QueryError;
use super::order::Order;
use super::paths::path_ids;
use super::walk::{End, Walk};
use crate::model::{EntityRef, Label};
use crate::snapshot::Snapshot;

/// A shortest way, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// From one end to the other, both included: the first of the shortest, by kinds and names. Empty: there is none.
    pub entities: Vec<EntityRef>,
    /// The label of each step, the first by name where several lead there; one less than the entities.
    pub labels: Vec<Label>,
    /// Whether the budget ended the search before a way was found; there may be one then.
    pub truncated: bool,
}

/// The shortest way from `from` to `to`. Cost: O(entities nearer than `to` + their relations).
///
/// # Errors
/// An end that does not exist, a budget of zero.
pub fn find_path(
    snapshot: &Snapshot,
    from: &EntityRef,
    to: &EntityRef,
    along: &Along,
    direction: Direction,
    budget: &Budget<'_>,
) -> Result<Way, QueryError> {
    budget.check()?;
    let start = roots(snapshot, std::slice::from_ref(from))?;
    let goal = snapshot
        .entity(to)
        .ok_or_else(|| QueryError::NotFound(to.clone()))?
        .id
        .get();
    let ways = Ways::new(snapshot, along, direction);
    let end = End {
        hops: None,
        met: Some(goal),
    };
    let walk = Walk::new(snapshot, ways, start, end, budget);
    if !walk.met(goal) {
        return Ok(Way {
            entities: Vec::new(),
            labels: Vec::new(),
            truncated: walk.truncated,
        });
    }
    let order = Order::new(snapshot);
    let ids = path_ids(&walk, &order, &[goal]).pop().unwrap_or_default();
    let labels = ids
        .windows(2)
        .filter_map(|step| walk.ways.label_between(step[0], step[1]).cloned())
        .collect();
    Ok(Way {
        entities: ids
            .into_iter()
            .filter_map(|id| order.key(id).cloned())
            .collect(),
        labels,
        truncated: false,
    })
}
