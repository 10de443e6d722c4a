//! The order in which to start things: each level needs only what stands in those before it.

use super::budget::Budget;
use super::components::components;
use super::cycles::is_cycle;
use super::direction::{Along, Direction};
use super::error::QueryError;
use super::order::Order;
use super::reach::{Question, reach};
use crate::model::{EntityId, EntityRef, Label};
use crate::snapshot::{Adjacency, Snapshot};

/// Levels of entities that can start at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartOrder {
    /// Each needs only those before it, but for the members of a cycle, which share one level. Ordered by kind and name.
    /// An entity stands on the first level on which it can.
    pub levels: Vec<Vec<EntityRef>>,
    /// The cycles among them, as [`super::cycles()`] gives them.
    pub cycles: Vec<Vec<EntityRef>>,
    /// Whether the budget ended the search before it was complete. The levels are right for what was
    /// reached; what was not may belong between them.
    pub truncated: bool,
}

/// Levels by `label`: of `refs` and whatever they need, or, without any, of everything that the label touches and every
/// service. Placeholders have their place: somebody needs them. Cost: O(entities + relations of the label).
///
/// # Errors
/// A reference that does not exist, a budget of zero, a depth without references.
pub fn start_order(
    snapshot: &Snapshot,
    label: &Label,
    refs: &[EntityRef],
    budget: &Budget<'_>,
) -> Result<StartOrder, QueryError> {
    let (starts, cut) = if refs.is_empty() {
        budget.check_without_depth()?;
        (everything(snapshot, label), false)
    } else {
        let question = Question {
            roots: refs,
            along: Along::These(vec![label.clone()]),
            direction: Direction::Out,
            hops: None,
        };
        let needed = reach(snapshot, &question, budget)?;
        (needed.ids().collect(), needed.truncated())
    };
    let nothing = Adjacency::default();
    let adjacency = snapshot
        .relations(label.as_str())
        .map_or(&nothing, |relations| relations.adjacency());
    let inside = cut.then(|| {
        let mut inside = vec![false; snapshot.id_bound() as usize];
        starts.iter().for_each(|id| inside[*id as usize] = true);
        inside
    });
    // With references the entities were counted on the way to them; then only the clock goes on.
    let rest = Budget {
        max_entities: budget.max_entities.filter(|_| refs.is_empty()),
        ..*budget
    };

    let mut level_of = vec![0; snapshot.id_bound() as usize];
    let mut levels: Vec<Vec<u32>> = Vec::new();
    let mut cycles = Vec::new();
    let order = Order::new(snapshot);
    let complete = components(
        adjacency,
        snapshot.id_bound(),
        inside.as_deref(),
        starts,
        &mut rest.meter(),
        |members| {
            let level = set_level(adjacency, inside.as_deref(), members, &mut level_of);
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            levels[level].extend_from_slice(members);
            if is_cycle(adjacency, members) {
                cycles.push(order.refs(members.iter().copied()));
            }
        },
    );
    cycles.sort();
    Ok(StartOrder {
        levels: levels.into_iter().map(|ids| order.refs(ids)).collect(),
        cycles,
        truncated: cut || !complete,
    })
}

/// Every service, and every entity that the label touches.
fn everything(snapshot: &Snapshot, label: &Label) -> Vec<u32> {
    let relations = snapshot
        .relations(label.as_str())
        .map(|all| all.adjacency());
    let touched = |id: EntityId| {
        relations.is_some_and(|a| !a.outgoing(id).is_empty() || !a.incoming(id).is_empty())
    };
    let registered = |id| snapshot.by_id(id).is_some_and(|e| e.service().is_some());
    (0..snapshot.id_bound())
        .filter(|id| touched(EntityId::new(*id)) || registered(EntityId::new(*id)))
        .collect()
}

/// Gives `members` their level: the first on which everything that they need, apart from each other, stands below.
fn set_level(
    adjacency: &Adjacency,
    inside: Option<&[bool]>,
    members: &[u32],
    level_of: &mut [usize],
) -> usize {
    for id in members {
        level_of[*id as usize] = TOGETHER;
    }
    let mut level = 0;
    for id in members {
        adjacency.outgoing(EntityId::new(*id)).for_each(|to| {
            let below = level_of[to as usize];
            if below != TOGETHER && inside.is_none_or(|inside| inside[to as usize]) {
                level = level.max(below + 1);
            }
        });
    }
    for id in members {
        level_of[*id as usize] = level;
    }
    level
}

/// Stands for the level of a component while it is looked for.
const TOGETHER: usize = usize::MAX;
