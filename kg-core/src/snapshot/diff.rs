//! Diff: two snapshots give the changes that lead from one to the other.
//!
//! Versions of one graph share whatever did not change, and a shared part is passed over by its pointer. So the cost is
//! O(changes x log graph), however large the graph is and however many commits lie between. Two snapshots that number
//! their entities differently (one was loaded from a checkpoint, or a restore lies between) are compared in full, in
//! O(graph x log graph).
//!
//! What counts is the content that the hash covers, and the order of dependencies: an entity that was only touched, or
//! deleted and made again as it was, did not change. The changes come in an order in which they can be applied: relations
//! that went, entities that went, entities that came or changed, relations that came or changed, documents; each sorted by
//! its key. An item of a list is compared with the one at its own place.

#[cfg(test)]
mod tests;

use super::relations::{Edge, Relations};
use super::state::Snapshot;
use crate::model::path::Part;
use crate::model::{Entity, EntityId, Label, Object, Path, Relation, RelationKey, Value};
use crate::mutation::Change;
use im::ordmap::DiffItem;
use std::sync::Arc;

/// The changes that, applied to `before`, give the content of `after`.
#[must_use]
pub fn diff(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let (old, new) = before.entities.diff(&after.entities);
    let entities = Sides::new(old, new).pairs(|e| &e.key);
    let relations = if renumbered(&entities, after) {
        Sides::new(all_relations(before), all_relations(after))
    } else {
        relations(before, after)
    };
    let relations = relations.pairs(|r| &r.key);

    let mut changes = Vec::with_capacity(entities.len() + relations.len());
    for pair in &relations {
        if let (Some(previous), None) = pair {
            let previous = previous.clone();
            changes.push(Change::RemoveRelation { previous });
        }
    }
    for pair in &entities {
        if let (Some(previous), None) = pair {
            let previous = previous.clone();
            changes.push(Change::RemoveEntity { previous });
        }
    }
    for (previous, now) in entities {
        if let Some(entity) = now
            && !previous.as_ref().is_some_and(|p| p.same_content(&entity))
        {
            changes.push(Change::PutEntity { entity, previous });
        }
    }
    for (previous, now) in relations {
        if let Some(relation) = now
            && !previous.as_ref().is_some_and(|p| p.same_content(&relation))
        {
            changes.push(Change::PutRelation { relation, previous });
        }
    }
    let mut at = Vec::new();
    objects(&mut at, before.documents(), after.documents(), &mut changes);
    changes
}

/// What stood under a key, and what stands there.
type Pair<T> = (Option<Arc<T>>, Option<Arc<T>>);

/// What stands before and what stands after, where the two differ.
struct Sides<T> {
    before: Vec<Arc<T>>,
    after: Vec<Arc<T>>,
}

impl<T> Sides<T> {
    fn new(before: Vec<Arc<T>>, after: Vec<Arc<T>>) -> Self {
        Self { before, after }
    }

    /// Both sides side by side, in the order of their keys. What went under one number and came under another is a pair.
    fn pairs<K: Ord>(mut self, key: fn(&T) -> &K) -> Vec<Pair<T>> {
        self.before.sort_unstable_by(|x, y| key(x).cmp(key(y)));
        self.after.sort_unstable_by(|x, y| key(x).cmp(key(y)));
        let mut pairs = Vec::with_capacity(self.before.len().max(self.after.len()));
        let mut after = self.after.into_iter().peekable();
        for old in self.before {
            while let Some(new) = after.next_if(|new| key(new) < key(&old)) {
                pairs.push((None, Some(new)));
            }
            let new = after.next_if(|new| key(new) == key(&old));
            pairs.push((Some(old), new));
        }
        pairs.extend(after.map(|new| (None, Some(new))));
        pairs
    }
}

/// Whether a number means one entity before and another after: then numbers say nothing about relations. Most of what differs
/// has its number on both sides, and is not looked up.
fn renumbered(entities: &[Pair<Entity>], after: &Snapshot) -> bool {
    entities.iter().any(|(old, new)| {
        let Some(old) = old else { return false };
        let keeps = new.as_ref().is_some_and(|new| new.id == old.id);
        let means_another = || after.by_id(old.id).is_some_and(|now| now.key != old.key);
        !keeps && means_another()
    })
}

/// The relations that differ between two snapshots in which every number means the same entity.
fn relations(before: &Snapshot, after: &Snapshot) -> Sides<Relation> {
    let mut sides = Sides::new(Vec::new(), Vec::new());
    for (label, old) in before.relations_by_label() {
        let Some(new) = after.relations(label.as_str()) else {
            sides.before.extend(of_label(before, label, old));
            continue;
        };
        old.diff(new, |from, to, was, is| {
            let of = |snapshot, edge: Option<&Edge>| {
                edge.and_then(|edge| relation(snapshot, label, from, to, edge))
            };
            sides.before.extend(of(before, was));
            sides.after.extend(of(after, is));
        });
    }
    for (label, new) in after.relations_by_label() {
        if before.relations(label.as_str()).is_none() {
            sides.after.extend(of_label(after, label, new));
        }
    }
    sides
}

fn all_relations(snapshot: &Snapshot) -> Vec<Arc<Relation>> {
    snapshot
        .relations_by_label()
        .flat_map(|(label, all)| of_label(snapshot, label, all))
        .collect()
}

fn of_label<'a>(
    snapshot: &'a Snapshot,
    label: &'a Label,
    all: &'a Relations,
) -> impl Iterator<Item = Arc<Relation>> + 'a {
    all.edges()
        .filter_map(move |(from, to, edge)| relation(snapshot, label, from, to, edge))
}

fn relation(
    snapshot: &Snapshot,
    label: &Label,
    from: EntityId,
    to: EntityId,
    edge: &Edge,
) -> Option<Arc<Relation>> {
    let key = RelationKey {
        from: snapshot.by_id(from)?.key.clone(),
        label: label.clone(),
        to: snapshot.by_id(to)?.key.clone(),
    };
    Some(Arc::new(edge.relation(key)))
}

fn objects(at: &mut Vec<Part>, before: &Object, after: &Object, changes: &mut Vec<Change>) {
    for item in before.diff(after) {
        let (key, old, new) = match item {
            DiffItem::Remove(key, old) => (key, Some(old), None),
            DiffItem::Add(key, new) => (key, None, Some(new)),
            DiffItem::Update { old, new } => (new.0, Some(old.1), Some(new.1)),
        };
        at.push(Part::Key(key.clone()));
        values(at, old, new, changes);
        at.pop();
    }
}

fn lists(
    at: &mut Vec<Part>,
    before: &im::Vector<Value>,
    after: &im::Vector<Value>,
    changes: &mut Vec<Change>,
) {
    // What a list loses goes from its end, so that nothing moves.
    for place in (after.len()..before.len()).rev() {
        at.push(Part::Index(place));
        values(at, before.get(place), None, changes);
        at.pop();
    }
    for (place, new) in after.iter().enumerate() {
        at.push(Part::Index(place));
        values(at, before.get(place), Some(new), changes);
        at.pop();
    }
}

fn values(at: &mut Vec<Part>, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    let path = |at: &[Part]| Path::from_parts(at.to_vec());
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => objects(at, old, new, changes),
        (Some(Value::List(old)), Some(Value::List(new))) => lists(at, old, new, changes),
        (old, Some(new)) if old != Some(new) => {
            changes.extend(path(at).map(|path| Change::SetNode {
                path,
                value: new.clone(),
                previous: old.cloned(),
            }));
        }
        (Some(old), None) => {
            changes.extend(path(at).map(|path| Change::RemoveNode {
                path,
                previous: old.clone(),
            }));
        }
        (_, Some(_)) | (None, None) => {}
    }
}
