//! Cycles: groups of entities that reach each other, and entities that point at themselves.

use super::budget::Budget;
use super::components::components;
use super::error::QueryError;
use super::order::Order;
use crate::model::{EntityId, EntityRef, Label};
use crate::snapshot::{Adjacency, Snapshot};

/// The cycles of one label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    /// Each a largest group, ordered by kind and name; the groups ordered by their first member.
    pub cycles: Vec<Vec<EntityRef>>,
    /// Whether the budget ended the search before it was complete. What was found is right.
    pub truncated: bool,
}

/// The cycles of `label`. Cost: O(entities + relations of the label).
///
/// # Errors
/// A budget of zero, or one with a depth.
pub fn cycles(
    snapshot: &Snapshot,
    label: &Label,
    budget: &Budget<'_>,
) -> Result<Cycles, QueryError> {
    budget.check_without_depth()?;
    let Some(relations) = snapshot.relations(label.as_str()) else {
        return Ok(Cycles::default());
    };
    let adjacency = relations.adjacency();
    let starts = (0..snapshot.id_bound()).filter(|id| starts_something(adjacency, *id));
    let order = Order::new(snapshot);
    let mut cycles = Vec::new();
    let complete = components(
        adjacency,
        snapshot.id_bound(),
        None,
        starts,
        &mut budget.meter(),
        |members| {
            if is_cycle(adjacency, members) {
                cycles.push(order.refs(members.iter().copied()));
            }
        },
    );
    cycles.sort();
    Ok(Cycles {
        cycles,
        truncated: !complete,
    })
}

fn starts_something(adjacency: &Adjacency, id: u32) -> bool {
    !adjacency.outgoing(EntityId::new(id)).is_empty()
}

/// Whether a component is a cycle: more than one entity, or one that points at itself.
pub(super) fn is_cycle(adjacency: &Adjacency, members: &[u32]) -> bool {
    match members {
        [only] => adjacency.outgoing(EntityId::new(*only)).contains(*only),
        _ => true,
    }
}
