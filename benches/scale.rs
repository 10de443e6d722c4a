//! The graph that the figures about relations are on: the shape and size of a distribution's packages.

#![allow(dead_code, reason = "each program here uses a part of it")]

use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::scale_free;

pub const ENTITIES: u32 = 70_000;
pub const RELATIONS: usize = 300_000;

/// The graph as a snapshot.
pub fn snapshot() -> Snapshot {
    scale_free(1, ENTITIES, RELATIONS)
}

/// The relations of a snapshot as pairs of numbers, from the one that points to the one that it points to.
pub fn edges(snapshot: &Snapshot) -> Vec<(u32, u32)> {
    snapshot
        .relations("depends_on")
        .into_iter()
        .flat_map(|r| r.edges().map(|(from, to, _)| (from.get(), to.get())))
        .collect()
}
