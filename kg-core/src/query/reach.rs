//! Reach: everything that some entities need, or everything that needs them, directly and transitively.
//!
//! `Dependencies`, `Impact` and `Neighbors` are this question with another direction and another bound. The walk counts
//! everything; names are sorted and paths are built only for the page that is asked for.

use super::budget::Budget;
use super::direction::{Along, Direction, Ways, roots};
use super::error::QueryError;
use super::order::Order;
use super::paths::paths;
use super::walk::{End, Walk};
use crate::error::Fault;
use crate::model::{EntityId, EntityRef};
use crate::snapshot::Snapshot;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Where it begins. At least one; none of them is a hit, not even by a cycle.
    pub roots: &'a [EntityRef],
    /// Which relations are followed.
    pub along: Along,
    /// Which way: out for what these need, in for what needs these.
    pub direction: Direction,
    /// How many relations far; all the way where it is absent. Unlike [`Budget::max_depth`] its end is no cut.
    pub hops: Option<u32>,
}

/// One entity that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which.
    pub key: EntityRef,
    /// How many relations away.
    pub depth: u32,
    /// From a root to this one, both included: the first, by kinds and names from the root on, of the shortest.
    pub path: Vec<EntityRef>,
}

/// Everything that was reached.
pub struct Reached<'a>(Walk<'a>);

/// Answers `question`. Cost: O(entities reached + their relations), about 20 ns each.
///
/// # Errors
/// No root, a root that does not exist, a budget of zero.
pub fn reach<'a>(
    snapshot: &'a Snapshot,
    question: &Question<'_>,
    budget: &Budget<'_>,
) -> Result<Reached<'a>, QueryError> {
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
    Ok(Reached(Walk::new(snapshot, ways, roots, end, budget)))
}

impl Reached<'_> {
    /// How many hits there are on all pages.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.layers.iter().skip(1).map(Vec::len).sum()
    }

    /// Whether the budget ended the search before it was complete.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.0.truncated
    }

    /// Whether this entity is a hit or one of those that the question began at.
    #[must_use]
    pub fn involves(&self, id: EntityId) -> bool {
        self.0.met(id.get())
    }

    /// Everything that was met, roots first.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.ids()
    }

    /// The hits from `offset` on, at most `size`, ordered by depth, kind and name. Cost: the layers that the page touches
    /// are partitioned, the page is sorted, and only what lies on its paths is ranked.
    #[must_use]
    pub fn page(&self, offset: usize, size: usize) -> Vec<Hit> {
        let order = Order::new(self.0.snapshot);
        let mut ids = Vec::new();
        let (mut before, end) = (0, offset.saturating_add(size));
        for layer in self.0.layers.iter().skip(1) {
            let after = before + layer.len();
            if before < end && after > offset {
                let (from, to) = (offset.max(before) - before, end.min(after) - before);
                ids.extend(order.slice(layer, from, to));
            }
            before = after;
        }
        let paths = paths(&self.0, &order, &ids);
        ids.into_iter()
            .zip(paths)
            .filter_map(|(id, path)| {
                Some(Hit {
                    key: order.key(id)?.clone(),
                    depth: u32::try_from(path.len().checked_sub(1)?).ok()?,
                    path,
                })
            })
            .collect()
    }
}
