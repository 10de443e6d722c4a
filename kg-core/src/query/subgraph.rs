//! A part of the graph: the entities around some, and the relations between them.

use super::budget::Budget;
use super::direction::{Along, Direction, Ways, roots};
use super::error::QueryError;
use super::order::Order;
use super::reach::Question;
use super::walk::{End, Walk};
use crate::error::Fault;
use crate::model::{Entity, EntityId, Relation, RelationKey};
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// A part of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Subgraph {
    /// Its entities, ordered by kind and name; those that the question began at included.
    pub entities: Vec<Arc<Entity>>,
    /// The relations of the labels asked for between them, ordered by start, label and end.
    pub relations: Vec<Relation>,
    /// Whether the budget ended the search before it was complete.
    pub truncated: bool,
}

/// The part of the graph around `question.roots`. Cost: O(part x log part).
///
/// # Errors
/// As [`super::reach()`].
pub fn subgraph(
    snapshot: &Snapshot,
    question: &Question<'_>,
    budget: &Budget<'_>,
) -> Result<Subgraph, QueryError> {
    budget.check()?;
    if question.roots.is_empty() {
        return Err(Fault::new("refs", "must name at least one entity").into());
    }
    let roots = roots(snapshot, question.roots)?;
    let ways = Ways::new(snapshot, &question.along, question.direction);
    let end = End {
        hops: question.hops,
        met: None,
    };
    let walk = Walk::new(snapshot, ways, roots, end, budget);
    let mut part = between(snapshot, walk.ids(), &question.along);
    part.truncated = walk.truncated;
    Ok(part)
}

/// These entities and the relations between them.
pub(super) fn between(
    snapshot: &Snapshot,
    ids: impl Iterator<Item = u32>,
    along: &Along,
) -> Subgraph {
    let order = Order::new(snapshot);
    let ids = order.sorted(ids);
    // By id: its place in the answer, so that relations are sorted as numbers.
    let mut place = vec![u32::MAX; snapshot.id_bound() as usize];
    for (at, id) in (0..).zip(&ids) {
        place[*id as usize] = at;
    }
    let out = Ways::new(snapshot, along, Direction::Out);
    let mut ends = Vec::new();
    for id in &ids {
        out.ahead_by_label(*id, |label, to| {
            if place[to as usize] != u32::MAX {
                ends.push((place[*id as usize], label, place[to as usize]));
            }
        });
    }
    ends.sort_unstable();
    let relation = |(from, label, to): (u32, usize, u32)| {
        let (from, to) = (
            EntityId::new(*ids.get(from as usize)?),
            EntityId::new(*ids.get(to as usize)?),
        );
        let label = out.label(label)?;
        let edge = snapshot.relations(label.as_str())?.edge(from, to)?;
        Some(Relation {
            key: RelationKey {
                from: snapshot.by_id(from)?.key.clone(),
                label: label.clone(),
                to: snapshot.by_id(to)?.key.clone(),
            },
            properties: edge.properties.clone(),
            position: edge.position,
            created_revision: edge.created_revision,
            modified_revision: edge.modified_revision,
        })
    };
    Subgraph {
        relations: ends.into_iter().filter_map(relation).collect(),
        entities: ids
            .iter()
            .filter_map(|id| snapshot.by_id(EntityId::new(*id)).cloned())
            .collect(),
        truncated: false,
    }
}
