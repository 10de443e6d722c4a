//! A view: the part of a graph that somebody may see, as a graph of its own.
//!
//! Every question that is asked of a view is answered from what is in it, so nothing that is hidden is listed, counted,
//! walked through, drawn or found, whatever the question is: there is no filter that a new one could forget. A relation is
//! in it if both of its ends are.
//!
//! Making one costs O(what it holds x log graph) where kinds and names decide; a scope that asks for an owner looks at every
//! entity once. After that it follows the graph record by record, at O(changes x log graph), and shares with its own
//! earlier versions what did not change.
//!
//! # An old revision
//! It shows what may be seen both then and now. Kinds and names do not change. An owner does: so where a reach asks for
//! owners, what is looked at now decides as well, and what no longer exists is nobody's.

use super::scope::{Reach, Scope};
use crate::log::Record;
use crate::model::{Entity, EntityId, EntityRef, Kind, Name, RelationKey};
use crate::mutation::Change;
use crate::snapshot::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The part of `whole` that `reach` covers, and that it also covers in `now`.
#[must_use]
pub fn view(whole: &Snapshot, reach: &Reach, now: &Snapshot) -> Snapshot {
    let scopes = match reach {
        Reach::Everything => return whole.clone(),
        Reach::Within(scopes) => scopes,
    };
    let mut view = Snapshot::new();
    let is_seen = |entity: &Entity| {
        let still = !reach.asks_for_owners() || reach.covers_in(now, &entity.key);
        reach.covers_entity(entity) && still
    };
    let mut seen: BTreeSet<EntityRef> = BTreeSet::new();
    for scope in scopes {
        candidates(whole, scope, |entity| {
            if is_seen(entity) {
                seen.insert(entity.key.clone());
            }
        });
    }
    for key in &seen {
        view.take_entity(whole, key);
    }
    for key in &seen {
        view.take_relations(whole, key, &[Way::Out]);
    }
    for (section, revision) in whole.sections() {
        if reach.covers_section(section)
            && let Some(value) = whole.documents().get(section)
        {
            view.load_section(section.clone(), value.clone(), revision);
        }
    }
    view.stand_at(whole);
    view
}

/// Which of an entity's relations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

/// Calls `visit` with all entities that the kind and the name of a scope cover.
fn candidates(whole: &Snapshot, scope: &Scope, mut visit: impl FnMut(&Arc<Entity>)) {
    let kinds: Vec<Kind> = match &scope.kind {
        Some(kind) => vec![kind.clone()],
        None => whole.kinds(true),
    };
    // Where names begin with a prefix they stand together, from the prefix itself on.
    let first = Name::parse("name_prefix", &scope.name_prefix).ok();
    for kind in kinds {
        if let Some(first) = &first
            && let Some(entity) = whole.find(kind.as_str(), first.as_str())
        {
            visit(entity);
        }
        let names = whole.names(&kind, first.as_ref(), true);
        let of_prefix: Box<dyn Iterator<Item = &Name>> = if first.is_some() {
            Box::new(names.take_while(|name| name.as_str().starts_with(&scope.name_prefix)))
        } else {
            Box::new(names.filter(|name| name.as_str().starts_with(&scope.name_prefix)))
        };
        for name in of_prefix {
            if let Some(entity) = whole.find(kind.as_str(), name.as_str()) {
                visit(entity);
            }
        }
    }
}

/// The view after `record`, from the one before it; `whole` is the state after the record.
///
/// `None` where a record changes all, or does not follow: then the view has to be made anew.
#[must_use]
pub fn follow(
    view: &Snapshot,
    reach: &Reach,
    record: &Record,
    whole: impl Fn() -> Option<Arc<Snapshot>>,
) -> Option<Snapshot> {
    if record.revision != view.revision() + 1 {
        return None;
    }
    let mut next = view.clone();
    let mut appeared: BTreeSet<EntityRef> = BTreeSet::new();
    for change in record.changes.iter() {
        match change {
            Change::PutEntity { entity, previous } => {
                let stood = next.entity(&entity.key).is_some();
                if reach.covers_entity(entity) {
                    next.put_own(entity);
                    if !stood && previous.is_some() {
                        appeared.insert(entity.key.clone());
                    }
                } else if stood {
                    next.drop_entity(&entity.key);
                }
            }
            Change::RemoveEntity { previous } => {
                appeared.remove(&previous.key);
                next.drop_entity(&previous.key);
            }
            Change::PutRelation { relation, .. } => {
                if next.has_ends(&relation.key) {
                    next.put_relation(relation, record.revision).ok()?;
                } else {
                    // What it depends on is hidden, and that it changed is not: whoever expects its revision has to know it.
                    next.touch(&relation.key, record.revision);
                }
            }
            Change::RemoveRelation { previous } => {
                if next.relation(&previous.key).is_some() {
                    next.remove_relation(&previous.key, record.revision).ok()?;
                } else {
                    next.touch(&previous.key, record.revision);
                }
            }
            Change::SetNode { path, .. } | Change::RemoveNode { path, .. } => {
                if reach.covers_section(path.section()) {
                    next.apply(change, record.revision).ok()?;
                }
            }
            Change::Restore { .. } => return None,
        }
    }
    if !appeared.is_empty() {
        // What came into view brings its relations, which stood before it did.
        let whole = whole()?;
        for key in &appeared {
            if next.entity(key).is_some() {
                next.take_entity(&whole, key);
                next.take_relations(&whole, key, &[Way::Out, Way::In]);
            }
        }
    }
    next.revision = record.revision;
    next.time_ms = record.time_ms;
    Some(next)
}

impl Snapshot {
    fn stand_at(&mut self, whole: &Snapshot) {
        self.revision = whole.revision();
        self.time_ms = whole.time_ms();
    }

    fn has_ends(&self, key: &RelationKey) -> bool {
        self.entity(&key.from).is_some() && self.entity(&key.to).is_some()
    }

    /// Puts a version of its own: the encoded form of a service tells its dependencies, of which some may be hidden.
    fn put_own(&mut self, entity: &Entity) {
        self.put_entity(Arc::new(entity.clone()));
    }

    fn take_entity(&mut self, whole: &Snapshot, key: &EntityRef) {
        if let Some(entity) = whole.entity(key) {
            self.put_own(entity);
        }
    }

    /// Lets the encoded form of a service be made anew, since what it depends on came into view or went out of it.
    fn renew(&mut self, key: &RelationKey) {
        if key.is_dependency()
            && let Some(entity) = self.entity(&key.from)
        {
            let same = Arc::new((**entity).clone());
            self.place(same);
        }
    }

    /// Takes the relations of an entity whose other ends are in this as well.
    fn take_relations(&mut self, whole: &Snapshot, key: &EntityRef, ways: &[Way]) {
        let Some(entity) = whole.entity(key) else {
            return;
        };
        for (label, relations) in whole.relations_by_label() {
            for way in ways {
                let others = match way {
                    Way::Out => relations.adjacency().outgoing(entity.id),
                    Way::In => relations.adjacency().incoming(entity.id),
                };
                others.for_each(|other| {
                    let other = EntityId::new(other);
                    let (from, to) = match way {
                        Way::Out => (entity.id, other),
                        Way::In => (other, entity.id),
                    };
                    if let Some(relation) = whole.relation_by_id(label, from, to)
                        && self.has_ends(&relation.key)
                    {
                        // Both ends are there, which is all that it needs; 0 touches nobody's revision.
                        let _ = self.put_relation(&relation, 0);
                        self.renew(&relation.key);
                    }
                });
            }
        }
    }

    /// Removes an entity and whatever relations it has here.
    fn drop_entity(&mut self, key: &EntityRef) {
        let Some(entity) = self.entity(key).cloned() else {
            return;
        };
        let mut keys: Vec<RelationKey> = Vec::new();
        for (label, relations) in self.relations_by_label() {
            for (ids, out) in [
                (relations.adjacency().outgoing(entity.id), true),
                (relations.adjacency().incoming(entity.id), false),
            ] {
                ids.for_each(|other| {
                    let other = EntityId::new(other);
                    let (from, to) = if out {
                        (entity.id, other)
                    } else {
                        (other, entity.id)
                    };
                    let ends = (self.by_id(from), self.by_id(to));
                    if let (Some(from), Some(to)) = ends {
                        keys.push(RelationKey {
                            from: from.key.clone(),
                            label: label.clone(),
                            to: to.key.clone(),
                        });
                    }
                });
            }
        }
        for key in &keys {
            // One of an entity with itself stands on both sides, and is gone the second time.
            let _ = self.remove_relation(key, 0);
            self.renew(key);
        }
        let _ = self.remove_entity(key);
    }
}
