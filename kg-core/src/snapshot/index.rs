//! Secondary indexes: ordered sets of names, which is also the order of every list and page.

use crate::model::{Body, Entity, Health, Kind, Name};
use std::sync::Arc;

/// An ordered, persistent set of names.
pub type Names = im::OrdSet<Name>;

/// By what entities are found, besides their name. Placeholders are in no index but their own.
#[derive(Clone, Debug, Default)]
pub struct Indexes {
    /// Names of each kind, placeholders apart.
    pub kinds: im::OrdMap<Kind, Names>,
    /// Services that others depend on and that have not registered.
    pub placeholders: Names,
    /// Services by capability.
    pub capabilities: im::OrdMap<Arc<str>, Names>,
    /// Services by category.
    pub categories: im::OrdMap<Arc<str>, Names>,
    /// Services by owner.
    pub owners: im::OrdMap<Arc<str>, Names>,
    /// Services by health.
    pub health: im::OrdMap<Health, Names>,
}

impl Indexes {
    /// Puts an entity where it is found, and takes away what stood there before. Most changes are of something by which nobody
    /// is found, and then this is a comparison.
    pub(super) fn replace(&mut self, old: Option<&Entity>, new: &Entity) {
        if let Some(old) = old {
            if same_places(old, new) {
                return;
            }
            self.remove(old);
        }
        self.add(new);
    }

    fn add(&mut self, entity: &Entity) {
        let name = &entity.key.name;
        if entity.is_placeholder() {
            self.placeholders.insert(name.clone());
            return;
        }
        self.kinds
            .entry(entity.key.kind.clone())
            .or_default()
            .insert(name.clone());
        if let Body::Service(body) = &entity.body {
            for capability in &body.capabilities {
                self.capabilities
                    .entry(capability.clone())
                    .or_default()
                    .insert(name.clone());
            }
            if !body.category.is_empty() {
                self.categories
                    .entry(body.category.as_str().into())
                    .or_default()
                    .insert(name.clone());
            }
            if !body.owner.is_empty() {
                self.owners
                    .entry(body.owner.as_str().into())
                    .or_default()
                    .insert(name.clone());
            }
            self.health
                .entry(body.health)
                .or_default()
                .insert(name.clone());
        }
    }

    pub(super) fn remove(&mut self, entity: &Entity) {
        let name = &entity.key.name;
        if entity.is_placeholder() {
            self.placeholders.remove(name);
            return;
        }
        take(&mut self.kinds, &entity.key.kind, name);
        if let Body::Service(body) = &entity.body {
            for capability in &body.capabilities {
                take(&mut self.capabilities, capability, name);
            }
            if !body.category.is_empty() {
                take(
                    &mut self.categories,
                    &Arc::from(body.category.as_str()),
                    name,
                );
            }
            if !body.owner.is_empty() {
                take(&mut self.owners, &Arc::from(body.owner.as_str()), name);
            }
            take(&mut self.health, &body.health, name);
        }
    }
}

/// Whether two versions of an entity are found in the same places.
fn same_places(old: &Entity, new: &Entity) -> bool {
    match (&old.body, &new.body) {
        (Body::Service(old), Body::Service(new)) => {
            old.capabilities == new.capabilities
                && old.category == new.category
                && old.owner == new.owner
                && old.health == new.health
        }
        (Body::Plain, Body::Plain)
        | (Body::Pattern(_), Body::Pattern(_))
        | (Body::Placeholder, Body::Placeholder) => true,
        (Body::Plain | Body::Placeholder | Body::Service(_) | Body::Pattern(_), _) => false,
    }
}

/// Takes a name out of one entry, and the entry with its last name.
fn take<K: Ord + Clone>(index: &mut im::OrdMap<K, Names>, key: &K, name: &Name) {
    let emptied = index.get_mut(key).is_some_and(|names| {
        names.remove(name);
        names.is_empty()
    });
    if emptied {
        index.remove(key);
    }
}
