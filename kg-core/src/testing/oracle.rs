//! The oracle: the graph written in the most obvious way, to compare the real one with.
//!
//! Sorted maps by name, no ids, no indexes, no sharing. What a transaction does is written from the words of the design,
//! not from the planner. Only small graphs: most of it looks at everything.

use crate::model::{
    APPENDED, Body, Dependency, EntityRef, Label, Name, Object, Path, Relation, RelationKey,
    ServiceSpec, Value,
};
use crate::mutation::{Mutation, Precondition, Transaction};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One entity, without its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The typed part.
    pub body: Body,
    /// The untyped part.
    pub properties: Object,
    /// Revision that created it.
    pub created: u64,
    /// Revision that changed it last.
    pub modified: u64,
}

/// The graph at one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Oracle {
    /// Its revision.
    pub revision: u64,
    /// Everything in it, placeholders included.
    pub entities: BTreeMap<EntityRef, Node>,
    /// Every relation.
    pub relations: BTreeMap<RelationKey, Relation>,
    /// The documents, as one value.
    pub documents: Object,
    changed: bool,
}

/// The transaction is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct No;

type Verdict = Result<(), No>;

fn must(holds: bool) -> Verdict {
    if holds { Ok(()) } else { Err(No) }
}

impl Oracle {
    /// What a snapshot holds, in this form.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let entities = snapshot.entities().map(|entity| {
            let node = Node {
                body: entity.body.clone(),
                properties: entity.properties.clone(),
                created: entity.created_revision,
                modified: entity.modified_revision,
            };
            (entity.key.clone(), node)
        });
        let relations = snapshot.relations_by_label().flat_map(|(label, all)| {
            all.edges().filter_map(move |(from, to, _)| {
                let relation = snapshot.relation_by_id(label, from, to)?;
                Some((relation.key.clone(), relation))
            })
        });
        Self {
            revision: snapshot.revision(),
            entities: entities.collect(),
            relations: relations.collect(),
            documents: snapshot.documents().clone(),
            changed: false,
        }
    }

    /// Carries a transaction out, whole or not at all; whether it changed anything.
    ///
    /// # Errors
    /// [`No`] when it is refused.
    pub fn apply(&mut self, transaction: &Transaction) -> Result<bool, No> {
        let mut next = self.clone();
        next.revision += 1;
        next.changed = false;
        for precondition in &transaction.preconditions {
            self.holds_before(precondition)?;
        }
        for mutation in &transaction.mutations {
            next.mutate(mutation)?;
        }
        for precondition in &transaction.preconditions {
            next.holds_after(precondition)?;
        }
        let changed = std::mem::take(&mut next.changed);
        if changed {
            *self = next;
        }
        Ok(changed)
    }

    fn holds_before(&self, precondition: &Precondition) -> Verdict {
        match precondition {
            Precondition::EntityExists(key) => must(self.entities.contains_key(key)),
            Precondition::EntityAbsent(key) => must(!self.entities.contains_key(key)),
            Precondition::EntityAt { key, revision } => {
                let known = self
                    .entities
                    .get(key)
                    .filter(|n| n.body != Body::Placeholder);
                must(known.map_or(0, |n| n.modified) == *revision)
            }
            Precondition::RelationExists(key) => must(self.relations.contains_key(key)),
            Precondition::RelationAbsent(key) => must(!self.relations.contains_key(key)),
            _ => Ok(()),
        }
    }

    fn holds_after(&self, precondition: &Precondition) -> Verdict {
        match precondition {
            Precondition::NoPath { from, to, label } => must(!self.ahead(from, label).contains(to)),
            Precondition::NoDependents(key) => must(
                !self
                    .relations
                    .keys()
                    .any(|r| r.to == *key && r.label == Label::depends_on()),
            ),
            Precondition::Acyclic(label) => must(
                !self
                    .entities
                    .keys()
                    .any(|key| self.ahead(key, label).contains(key)),
            ),
            _ => Ok(()),
        }
    }

    /// Everything to which one or more relations lead.
    #[must_use]
    pub fn ahead(&self, from: &EntityRef, label: &Label) -> BTreeSet<EntityRef> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![from.clone()];
        while let Some(key) = waiting.pop() {
            for relation in self.relations.keys() {
                if relation.from == key
                    && relation.label == *label
                    && found.insert(relation.to.clone())
                {
                    waiting.push(relation.to.clone());
                }
            }
        }
        found
    }

    fn mutate(&mut self, mutation: &Mutation) -> Verdict {
        match mutation {
            Mutation::RegisterService { service, strict } => self.register(service, *strict),
            Mutation::UpdateSchema { name, schema } => {
                self.edit(name, |body| body.schema = schema.clone())
            }
            Mutation::SetCapability {
                name,
                capability,
                enabled,
            } => self.edit(name, |body| {
                let known = body.capabilities.contains(capability);
                match (known, enabled) {
                    (true, false) => body.capabilities.retain(|c| c != capability),
                    (false, true) => body.capabilities.push(capability.clone()),
                    _ => {}
                }
            }),
            Mutation::AddDependency { name, dependency } => {
                self.registered(name)?;
                must(dependency.service != *name)?;
                let key = dependency_key(name, &dependency.service);
                self.stand_in(&key.to);
                self.relate(&key, dependency.relation_properties(), None);
                Ok(())
            }
            Mutation::RemoveDependency { name, service } => {
                self.registered(name)?;
                self.unrelate(&dependency_key(name, service))
            }
            Mutation::PutPattern(spec) => {
                let key = EntityRef::new(crate::model::Kind::pattern(), spec.name.clone());
                let body = Body::Pattern(Box::new(spec.body.clone()));
                self.put(&key, body, spec.metadata.clone());
                Ok(())
            }
            Mutation::PutEntity { key, properties } => {
                let body = match self.entities.get(key).map(|n| n.body.clone()) {
                    Some(Body::Placeholder) | None => empty_body(key),
                    Some(known) => known,
                };
                self.put(key, body, properties.clone());
                Ok(())
            }
            Mutation::DeleteEntity { key, force } => self.delete(key, *force),
            Mutation::PutRelation {
                key,
                properties,
                create_ends,
            } => self.put_relation(key, properties, *create_ends),
            Mutation::DeleteRelation(key) => self.unrelate(key),
            Mutation::UpdateNode { path, value } => self.write(path, value),
            Mutation::DeleteNode(path) => {
                crate::model::path::remove(&mut self.documents, path.parts()).map_err(|_| No)?;
                self.changed = true;
                Ok(())
            }
            Mutation::Restore { .. } => Err(No),
        }
    }

    fn put(&mut self, key: &EntityRef, body: Body, properties: Object) {
        let known = self.entities.get(key);
        if known.is_some_and(|n| n.body == body && n.properties == properties) {
            return;
        }
        let created = known.map_or(self.revision, |n| n.created);
        let node = Node {
            body,
            properties,
            created,
            modified: self.revision,
        };
        self.entities.insert(key.clone(), node);
        self.changed = true;
    }

    fn relate(&mut self, key: &RelationKey, properties: Object, position: Option<u32>) {
        let known = self.relations.get(key);
        let position = position.or(known.map(|r| r.position)).unwrap_or(APPENDED);
        if known.is_some_and(|r| r.properties == properties && r.position == position) {
            return;
        }
        let relation = Relation {
            key: key.clone(),
            properties,
            position,
            created_revision: known.map_or(self.revision, |r| r.created_revision),
            modified_revision: self.revision,
        };
        self.relations.insert(key.clone(), relation);
        self.touched(key);
    }

    fn unrelate(&mut self, key: &RelationKey) -> Verdict {
        must(self.relations.remove(key).is_some())?;
        self.touched(key);
        self.drop_idle_placeholder(&key.from);
        self.drop_idle_placeholder(&key.to);
        Ok(())
    }

    /// What a service depends on is part of it.
    fn touched(&mut self, key: &RelationKey) {
        self.changed = true;
        if key.is_dependency()
            && let Some(node) = self.entities.get_mut(&key.from)
        {
            node.modified = self.revision;
        }
    }

    fn drop_idle_placeholder(&mut self, key: &EntityRef) {
        let idle = self
            .entities
            .get(key)
            .is_some_and(|n| n.body == Body::Placeholder)
            && !self
                .relations
                .keys()
                .any(|r| r.from == *key || r.to == *key);
        if idle {
            self.entities.remove(key);
        }
    }

    fn stand_in(&mut self, key: &EntityRef) {
        if !self.entities.contains_key(key) {
            let body = if key.is_service() {
                Body::Placeholder
            } else {
                empty_body(key)
            };
            self.put(key, body, Object::new());
        }
    }

    fn registered(&self, name: &Name) -> Verdict {
        let node = self.entities.get(&EntityRef::service(name.clone()));
        must(node.is_some_and(|n| n.body != Body::Placeholder))
    }

    fn edit(&mut self, name: &Name, edit: impl FnOnce(&mut crate::model::ServiceBody)) -> Verdict {
        let key = EntityRef::service(name.clone());
        let Some(Node {
            body: Body::Service(body),
            properties,
            ..
        }) = self.entities.get(&key).cloned()
        else {
            return Err(No);
        };
        let mut body = body;
        edit(&mut body);
        self.put(&key, Body::Service(body), properties);
        Ok(())
    }

    fn register(&mut self, spec: &ServiceSpec, strict: bool) -> Verdict {
        must(spec.faults().is_empty())?;
        let spec = spec.clone().normalised();
        if strict {
            for dependency in &spec.dependencies {
                self.registered(&dependency.service)?;
            }
        }
        let key = EntityRef::service(spec.name.clone());
        self.put(
            &key,
            Body::Service(Box::new(spec.body)),
            spec.metadata.clone(),
        );
        let wanted: BTreeSet<&Name> = spec.dependencies.iter().map(|d| &d.service).collect();
        let old: Vec<RelationKey> = self
            .relations
            .keys()
            .filter(|r| r.is_dependency() && r.from == key && !wanted.contains(&r.to.name))
            .cloned()
            .collect();
        old.iter().try_for_each(|old| self.unrelate(old))?;
        for (place, dependency) in (0..).zip(&spec.dependencies) {
            let relation = dependency_key(&spec.name, &dependency.service);
            self.stand_in(&relation.to);
            self.relate(&relation, dependency.relation_properties(), Some(place));
        }
        Ok(())
    }

    fn put_relation(
        &mut self,
        key: &RelationKey,
        properties: &Object,
        create_ends: bool,
    ) -> Verdict {
        must(key.from != key.to || key.label != Label::depends_on())?;
        if create_ends {
            self.stand_in(&key.from);
            self.stand_in(&key.to);
        }
        must(self.entities.contains_key(&key.from))?;
        if !self.entities.contains_key(&key.to) {
            must(key.is_dependency())?;
            self.stand_in(&key.to);
        }
        self.relate(key, properties.clone(), None);
        Ok(())
    }

    fn delete(&mut self, key: &EntityRef, force: bool) -> Verdict {
        must(self.entities.contains_key(key))?;
        // A relation of an entity with itself points out of it, and goes with it.
        let points_in = |r: &RelationKey| r.to == *key && r.from != *key;
        must(force || !self.relations.keys().any(points_in))?;
        let around: Vec<RelationKey> = self
            .relations
            .keys()
            .filter(|r| r.from == *key || r.to == *key)
            .cloned()
            .collect();
        // Services that depend on it go on doing so; every other relation goes.
        let (kept, gone): (Vec<_>, Vec<_>) = around
            .into_iter()
            .partition(|r| r.is_dependency() && r.to == *key);
        for relation in &gone {
            self.relations.remove(relation);
            self.touched(relation);
        }
        if kept.is_empty() {
            self.entities.remove(key);
            self.changed = true;
        } else {
            self.put(key, Body::Placeholder, Object::new());
        }
        for relation in &gone {
            self.drop_idle_placeholder(&relation.from);
            self.drop_idle_placeholder(&relation.to);
        }
        Ok(())
    }

    fn write(&mut self, at: &Path, value: &Value) -> Verdict {
        if crate::model::path::get(&self.documents, at.parts()).ok() == Some(value) {
            return Ok(());
        }
        crate::model::path::set(&mut self.documents, at.parts(), value.clone()).map_err(|_| No)?;
        self.changed = true;
        Ok(())
    }

    /// What a service depends on, in the order given.
    #[must_use]
    pub fn dependencies(&self, key: &EntityRef) -> Vec<Dependency> {
        let mut found: Vec<&Relation> = self
            .relations
            .values()
            .filter(|r| r.key.is_dependency() && r.key.from == *key)
            .collect();
        found.sort_by_key(|r| (r.position, r.created_revision, r.key.to.name.clone()));
        found
            .into_iter()
            .map(|r| Dependency::from_relation(r.key.to.name.clone(), &r.properties))
            .collect()
    }

    /// Names by a word of their services: what each secondary index must be.
    #[must_use]
    pub fn index_by(
        &self,
        words: impl Fn(&crate::model::ServiceBody) -> Vec<Arc<str>>,
    ) -> BTreeMap<Arc<str>, BTreeSet<Name>> {
        let mut index: BTreeMap<Arc<str>, BTreeSet<Name>> = BTreeMap::new();
        for (key, node) in &self.entities {
            if let Body::Service(body) = &node.body {
                for word in words(body) {
                    index.entry(word).or_default().insert(key.name.clone());
                }
            }
        }
        index
    }
}

fn empty_body(key: &EntityRef) -> Body {
    match key.kind.as_str() {
        "service" => Body::Service(Box::default()),
        "pattern" => Body::Pattern(Box::default()),
        _ => Body::Plain,
    }
}

fn dependency_key(from: &Name, to: &Name) -> RelationKey {
    RelationKey {
        from: EntityRef::service(from.clone()),
        label: Label::depends_on(),
        to: EntityRef::service(to.clone()),
    }
}
