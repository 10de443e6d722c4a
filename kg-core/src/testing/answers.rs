//! The oracle's answers to questions that follow relations, each in the most obvious way.

use super::oracle::Oracle;
use crate::model::{Body, EntityRef, Label, Name, RelationKey};
use crate::query::{Along, Direction, Hit, Way};
use std::collections::{BTreeMap, BTreeSet};

/// How far a question may go: entities and depth, where they are bounded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    /// Entities apart from those that it begins at.
    pub entities: Option<usize>,
    /// Relations from the start.
    pub depth: Option<u32>,
}

impl Oracle {
    /// Whether a relation leads from one to the other, by some label, in this direction; its first such label.
    fn step(
        &self,
        before: &EntityRef,
        after: &EntityRef,
        along: &Along,
        direction: Direction,
    ) -> Option<Label> {
        let relation = |from: &EntityRef, label: &Label, to: &EntityRef| {
            let (from, label, to) = (from.clone(), label.clone(), to.clone());
            self.relations
                .contains_key(&RelationKey { from, label, to })
        };
        self.labels(along).into_iter().find(|label| {
            let out = relation(before, label, after);
            let into = relation(after, label, before);
            match direction {
                Direction::Out => out,
                Direction::In => into,
                Direction::Both => out || into,
            }
        })
    }

    fn labels(&self, along: &Along) -> BTreeSet<Label> {
        match along {
            Along::All => self.relations.keys().map(|r| r.label.clone()).collect(),
            Along::These(labels) => labels.iter().cloned().collect(),
        }
    }

    /// Every hit of a reach, in its order: layer by layer, for each the least of all its paths.
    #[must_use]
    pub fn reach(
        &self,
        roots: &[EntityRef],
        along: &Along,
        direction: Direction,
        hops: Option<u32>,
    ) -> Vec<Hit> {
        let mut known: BTreeSet<EntityRef> = roots.iter().cloned().collect();
        let mut layer: BTreeMap<EntityRef, Vec<EntityRef>> =
            known.iter().map(|r| (r.clone(), vec![r.clone()])).collect();
        let mut hits = Vec::new();
        for depth in 1..=hops.unwrap_or(u32::MAX) {
            let mut next: BTreeMap<EntityRef, Vec<EntityRef>> = BTreeMap::new();
            for (before, path) in &layer {
                for after in self.entities.keys() {
                    if known.contains(after) || self.step(before, after, along, direction).is_none()
                    {
                        continue;
                    }
                    let mut path = path.clone();
                    path.push(after.clone());
                    match next.get(after) {
                        Some(best) if *best <= path => {}
                        _ => drop(next.insert(after.clone(), path)),
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            known.extend(next.keys().cloned());
            for (key, path) in &next {
                let (key, path) = (key.clone(), path.clone());
                hits.push(Hit { key, depth, path });
            }
            layer = next;
        }
        hits
    }

    /// The hits of a reach that may go so far, and whether there are more.
    #[must_use]
    pub fn reach_most(
        &self,
        roots: &[EntityRef],
        along: &Along,
        direction: Direction,
        hops: Option<u32>,
        most: Most,
    ) -> (Vec<Hit>, bool) {
        let mut hits = self.reach(roots, along, direction, hops);
        let all = hits.len();
        hits.retain(|hit| most.depth.is_none_or(|depth| hit.depth <= depth));
        hits.truncate(most.entities.unwrap_or(usize::MAX));
        let cut = hits.len() < all;
        (hits, cut)
    }

    /// The shortest way, the first of them. One that ends in the layer at which entities run out is still found.
    #[must_use]
    pub fn find_path(
        &self,
        from: &EntityRef,
        to: &EntityRef,
        along: &Along,
        direction: Direction,
        most: Most,
    ) -> Way {
        let hits = self.reach(std::slice::from_ref(from), along, direction, None);
        let in_reach = |hit: &&Hit| {
            let nearer = hits.iter().filter(|other| other.depth < hit.depth).count();
            most.depth.is_none_or(|depth| hit.depth <= depth)
                && most.entities.is_none_or(|entities| nearer < entities)
        };
        let mut truncated = false;
        let entities = if from == to {
            vec![from.clone()]
        } else if let Some(hit) = hits.iter().filter(in_reach).find(|hit| hit.key == *to) {
            hit.path.clone()
        } else {
            truncated = hits.len() > most.entities.unwrap_or(usize::MAX)
                || hits
                    .iter()
                    .any(|hit| most.depth.is_some_and(|depth| hit.depth > depth));
            Vec::new()
        };
        let labels = entities
            .windows(2)
            .filter_map(|pair| self.step(&pair[0], &pair[1], along, direction))
            .collect();
        Way {
            entities,
            labels,
            truncated,
        }
    }

    /// Services that offer all of these and one of those.
    #[must_use]
    pub fn find_by_capability(&self, all_of: &[&str], any_of: &[&str]) -> Vec<Name> {
        self.entities
            .iter()
            .filter_map(|(key, node)| match &node.body {
                Body::Service(body) => Some((key, body)),
                _ => None,
            })
            .filter(|(_, body)| {
                let offers = |word: &&str| body.capabilities.iter().any(|c| c.as_ref() == *word);
                all_of.iter().all(offers) && (any_of.is_empty() || any_of.iter().any(offers))
            })
            .map(|(key, _)| key.name.clone())
            .collect()
    }

    /// Groups of entities of which each reaches each.
    #[must_use]
    pub fn cycles(&self, label: &Label) -> Vec<Vec<EntityRef>> {
        let ahead: BTreeMap<&EntityRef, BTreeSet<EntityRef>> = self
            .entities
            .keys()
            .map(|key| (key, self.ahead(key, label)))
            .collect();
        let groups: BTreeSet<Vec<EntityRef>> = self
            .entities
            .keys()
            .filter(|key| ahead[key].contains(key))
            .map(|key| {
                ahead[key]
                    .iter()
                    .filter(|other| ahead[other].contains(key))
                    .cloned()
                    .collect()
            })
            .collect();
        groups.into_iter().collect()
    }

    /// Levels: whatever needs nothing that has no level yet, apart from what shares a cycle with it, is next.
    #[must_use]
    pub fn start_order(&self, label: &Label, refs: &[EntityRef]) -> Vec<Vec<EntityRef>> {
        let mut waiting: BTreeSet<EntityRef> = if refs.is_empty() {
            let touched = self
                .relations
                .keys()
                .filter(|r| r.label == *label)
                .flat_map(|r| [r.from.clone(), r.to.clone()]);
            let services = self
                .entities
                .iter()
                .filter(|(_, node)| matches!(node.body, Body::Service(_)))
                .map(|(key, _)| key.clone());
            touched.chain(services).collect()
        } else {
            let mut all: BTreeSet<EntityRef> = refs.iter().cloned().collect();
            refs.iter()
                .for_each(|key| all.extend(self.ahead(key, label)));
            all
        };
        let mut levels = Vec::new();
        while !waiting.is_empty() {
            let ready: Vec<EntityRef> = waiting
                .iter()
                .filter(|key| {
                    self.ahead(key, label)
                        .iter()
                        .filter(|needed| waiting.contains(needed))
                        .all(|needed| self.ahead(needed, label).contains(key) || needed == *key)
                })
                .cloned()
                .collect();
            waiting.retain(|key| !ready.contains(key));
            levels.push(ready);
        }
        levels
    }

    /// Relations of some labels between some entities, ordered by start, label and end.
    #[must_use]
    pub fn between(&self, entities: &BTreeSet<EntityRef>, along: &Along) -> Vec<RelationKey> {
        let labels = self.labels(along);
        self.relations
            .keys()
            .filter(|r| labels.contains(&r.label))
            .filter(|r| entities.contains(&r.from) && entities.contains(&r.to))
            .cloned()
            .collect()
    }
}
