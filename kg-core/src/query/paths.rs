//! Paths through a walk: for each of some hits the lexicographically first among the shortest, by kind and name from the
//! root on.
//!
//! Only what can lie on such a path is looked at. Backwards, from the hits, whatever lies one layer nearer and leads there
//! is marked; forwards, layer by layer, each marked entity is ranked by its best parent's rank and then by its own name.
//! Two paths of one length differ first where their owners' ranks differ, so a parent's rank stands for its whole path.

use super::bits::Bits;
use super::order::{Order, Placed};
use super::walk::Walk;
use crate::model::EntityRef;

/// Of an id that lies on no path asked for, and of a root, which has no parent.
const NONE: u32 = u32::MAX;

/// The paths to `hits`, in the same order; each begins at a root and ends at its hit.
pub(super) fn paths(walk: &Walk<'_>, order: &Order<'_>, hits: &[u32]) -> Vec<Vec<EntityRef>> {
    path_ids(walk, order, hits)
        .into_iter()
        .map(|path| {
            path.into_iter()
                .filter_map(|id| order.key(id).cloned())
                .collect()
        })
        .collect()
}

/// As [`paths`], by number.
pub(super) fn path_ids(walk: &Walk<'_>, order: &Order<'_>, hits: &[u32]) -> Vec<Vec<u32>> {
    let depths = walk.depths();
    let parent = parents(walk, order, &depths, &marked(walk, &depths, hits));
    hits.iter()
        .map(|hit| {
            let mut path = vec![*hit];
            let mut at = *hit;
            while parent[at as usize] != NONE {
                at = parent[at as usize];
                path.push(at);
            }
            path.reverse();
            path
        })
        .collect()
}

/// The hits and everything on a shortest way to one of them, by depth.
fn marked(walk: &Walk<'_>, depths: &[u32], hits: &[u32]) -> Vec<Vec<u32>> {
    let mut seen = Bits::new(walk.snapshot.id_bound());
    let mut layers: Vec<Vec<u32>> = vec![Vec::new(); walk.layers.len()];
    for hit in hits {
        if seen.insert(*hit) {
            layers[depths[*hit as usize] as usize].push(*hit);
        }
    }
    for depth in (1..layers.len()).rev() {
        let (nearer, here) = layers.split_at_mut(depth);
        for id in &here[0] {
            walk.ways.behind(*id, |before| {
                if depths[before as usize] as usize == depth - 1 && seen.insert(before) {
                    nearer[depth - 1].push(before);
                }
            });
        }
    }
    layers
}

/// By id: the one before it on its path.
fn parents(walk: &Walk<'_>, order: &Order<'_>, depths: &[u32], layers: &[Vec<u32>]) -> Vec<u32> {
    let mut parent = vec![NONE; depths.len()];
    let mut rank = vec![NONE; depths.len()];
    for layer in layers {
        let mut ranked: Vec<(u32, Placed)> = Vec::with_capacity(layer.len());
        for (id, placed) in layer.iter().zip(order.places(layer)) {
            let mut best = (NONE, NONE);
            let depth = depths[*id as usize];
            if depth > 0 {
                walk.ways.behind(*id, |before| {
                    if depths[before as usize] == depth - 1 {
                        best = best.min((rank[before as usize], before));
                    }
                });
            }
            parent[*id as usize] = best.1;
            ranked.push((best.0, placed));
        }
        ranked.sort_unstable_by(|(a, x), (b, y)| a.cmp(b).then_with(|| order.compare(x, y)));
        for (place, (_, placed)) in (0..).zip(ranked) {
            rank[placed.id as usize] = place;
        }
    }
    parent
}
