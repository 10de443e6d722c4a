//! The oracle: the graph written in the most obvious way, to compare the real one with.
//!
//! Sorted maps by name, no ids, no indexes, no sharing. What a transaction does is written from the words of the design,
//! not from the planner. Only small graphs: most of it looks at everything.

mod guards;
mod json;
mod nodes;
mod refusal;
mod rules;
mod typed;

pub use refusal::No;

use crate::limits::MUTATIONS;
use crate::model::{
    APPENDED, Body, Dependency, EntityRef, Label, Name, Object, Relation, RelationKey, ServiceSpec,
};
use crate::mutation::{Mutation, Transaction};
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
    /// When that was committed.
    pub time_ms: u64,
    /// Everything in it, placeholders included.
    pub entities: BTreeMap<EntityRef, Node>,
    /// Every relation.
    pub relations: BTreeMap<RelationKey, Relation>,
    /// The documents, as one value.
    pub documents: Object,
    /// By section of the documents: the revision that changed it last.
    pub sections: BTreeMap<String, u64>,
    /// By key of a committed request: its revision, and the hash of its body.
    pub requests: BTreeMap<u128, (u64, u64)>,
    changed: bool,
}

/// What became of a transaction that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The revision that it made, that it made when it came for the first time, or that it was judged at.
    pub revision: u64,
    /// Whether it changed something, now or then.
    pub changed: bool,
    /// Whether it came again.
    pub repeated: bool,
}

type Verdict = Result<(), No>;

/// Refused with `no` unless it holds.
fn must(holds: bool, no: No) -> Verdict {
    if holds { Ok(()) } else { Err(no) }
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
            time_ms: snapshot.time_ms(),
            entities: entities.collect(),
            relations: relations.collect(),
            documents: snapshot.documents().clone(),
            sections: snapshot
                .sections()
                .map(|(section, revision)| (section.to_string(), revision))
                .collect(),
            requests: snapshot
                .requests()
                .iter()
                .map(|(key, known)| (key.0, (known.revision, known.body)))
                .collect(),
            changed: false,
        }
    }

    /// Carries a transaction out, whole or not at all.
    ///
    /// # Errors
    /// [`No`] when it is refused.
    pub fn apply(&mut self, transaction: &Transaction) -> Result<Done, No> {
        if let Some(request) = transaction.request
            && let Some((revision, body)) = self.requests.get(&request.key.0).copied()
        {
            must(body == request.body, No::Invalid)?;
            let (changed, repeated) = (true, true);
            return Ok(Done {
                revision,
                changed,
                repeated,
            });
        }
        let most = match transaction.mutation_limit {
            0 => MUTATIONS,
            most => most,
        };
        must(transaction.mutations.len() <= most, No::Invalid)?;
        must(rules::is_text(&transaction.reason), No::Invalid)?;
        self.hold_before(&transaction.preconditions)?;
        let mut next = self.clone();
        next.revision += 1;
        for mutation in &transaction.mutations {
            next.mutate(mutation)?;
        }
        next.hold_after(&transaction.preconditions)?;
        let changed = std::mem::take(&mut next.changed);
        if changed {
            next.time_ms = self.time_ms.max(transaction.time_ms);
            if let Some(request) = transaction.request {
                next.requests
                    .insert(request.key.0, (next.revision, request.body));
            }
            *self = next;
        }
        Ok(Done {
            revision: self.revision,
            changed,
            repeated: false,
        })
    }

    /// Returns to an earlier state, as one new revision.
    pub fn restore(&mut self, content: &Self, time_ms: u64) {
        *self = Self {
            revision: self.revision + 1,
            time_ms: self.time_ms.max(time_ms),
            requests: std::mem::take(&mut self.requests),
            ..content.clone()
        };
    }

    /// Whether two states say the same, whatever their revisions: what the content's hash covers.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let entity = |(key, node): (&EntityRef, &Node)| {
            (key.clone(), (node.body.clone(), node.properties.clone()))
        };
        let relation = |(key, r): (&RelationKey, &Relation)| (key.clone(), r.properties.clone());
        let entities =
            |state: &Self| -> BTreeMap<_, _> { state.entities.iter().map(entity).collect() };
        let relations =
            |state: &Self| -> BTreeMap<_, _> { state.relations.iter().map(relation).collect() };
        entities(self) == entities(other)
            && relations(self) == relations(other)
            && self.documents == other.documents
    }

    /// Entities and relations that do not say the same in two states, as text.
    #[must_use]
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let entity = |state: &Self, key: &EntityRef| {
            let node = state.entities.get(key)?;
            Some((node.body.clone(), node.properties.clone()))
        };
        let relation = |state: &Self, key: &RelationKey| {
            let relation = state.relations.get(key)?;
            Some((relation.properties.clone(), relation.position))
        };
        let entities = self
            .entities
            .keys()
            .chain(other.entities.keys())
            .filter(|key| entity(self, key) != entity(other, key))
            .map(ToString::to_string);
        let relations = self
            .relations
            .keys()
            .chain(other.relations.keys())
            .filter(|key| relation(self, key) != relation(other, key))
            .map(ToString::to_string);
        entities.chain(relations).collect()
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
            Mutation::SetHealth { name, health } => {
                let stands = self.registered(name).is_ok();
                if stands {
                    self.edit(name, |body| body.health = *health)?;
                }
                Ok(())
            }
            Mutation::AddDependency { name, dependency } => {
                self.registered(name)?;
                must(rules::is_dependency(name, dependency), No::Invalid)?;
                let key = dependency_key(name, &dependency.service);
                self.stand_in(&key.to);
                self.relate(&key, dependency.relation_properties(), None);
                Ok(())
            }
            Mutation::RemoveDependency { name, service } => {
                self.registered(name)?;
                self.unrelate(&dependency_key(name, service))
            }
            Mutation::PutPattern(spec) => self.put_pattern(spec),
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
            Mutation::UpdateNode { path, value } => self.update_node(path, value),
            Mutation::DeleteNode(path) => self.delete_node(path),
            Mutation::Restore { .. } => unreachable!("a history restores by `Oracle::restore`"),
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
        must(self.relations.remove(key).is_some(), No::NotFound)?;
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
        must(
            node.is_some_and(|n| n.body != Body::Placeholder),
            No::NotFound,
        )
    }

    fn edit(&mut self, name: &Name, edit: impl FnOnce(&mut crate::model::ServiceBody)) -> Verdict {
        let key = EntityRef::service(name.clone());
        let Some(Node {
            body: Body::Service(body),
            properties,
            ..
        }) = self.entities.get(&key).cloned()
        else {
            return Err(No::NotFound);
        };
        let mut body = body;
        edit(&mut body);
        must(rules::is_service_body(&body), No::Invalid)?;
        self.put(&key, Body::Service(body), properties);
        Ok(())
    }

    fn register(&mut self, spec: &ServiceSpec, strict: bool) -> Verdict {
        must(rules::is_service(spec), No::Invalid)?;
        if strict {
            let absent: Vec<String> = spec
                .dependencies
                .iter()
                .filter(|needed| self.registered(&needed.service).is_err())
                .map(|needed| format!("service/{}", needed.service))
                .collect();
            must(absent.is_empty(), No::Precondition(absent))?;
        }
        self.put_service(spec)
    }

    fn put_service(&mut self, spec: &ServiceSpec) -> Verdict {
        let mut body = spec.body.clone();
        body.capabilities = Vec::new();
        for capability in &spec.body.capabilities {
            if !body.capabilities.contains(capability) {
                body.capabilities.push(capability.clone());
            }
        }
        let key = EntityRef::service(spec.name.clone());
        self.put(&key, Body::Service(Box::new(body)), spec.metadata.clone());
        let wanted: BTreeSet<&Name> = spec.dependencies.iter().map(|d| &d.service).collect();
        let old: Vec<RelationKey> = self
            .relations
            .keys()
            .filter(|r| r.is_dependency() && r.from == key && !wanted.contains(&r.to.name))
            .cloned()
            .collect();
        old.iter().try_for_each(|old| self.unrelate(old))?;
        let order = |needed: &[Dependency]| -> Vec<Name> {
            needed.iter().map(|d| d.service.clone()).collect()
        };
        let as_shown = order(&self.dependencies(&key)) == order(&spec.dependencies);
        for (place, dependency) in (0..).zip(&spec.dependencies) {
            let relation = dependency_key(&spec.name, &dependency.service);
            self.stand_in(&relation.to);
            let place = (!as_shown).then_some(place);
            self.relate(&relation, dependency.relation_properties(), place);
        }
        Ok(())
    }

    fn put_pattern(&mut self, spec: &crate::model::PatternSpec) -> Verdict {
        must(rules::is_pattern(spec), No::Invalid)?;
        let key = EntityRef::new(crate::model::Kind::pattern(), spec.name.clone());
        let body = Body::Pattern(Box::new(spec.body.clone()));
        self.put(&key, body, spec.metadata.clone());
        Ok(())
    }

    fn put_relation(
        &mut self,
        key: &RelationKey,
        properties: &Object,
        create_ends: bool,
    ) -> Verdict {
        must(
            key.from != key.to || key.label != Label::depends_on(),
            No::Invalid,
        )?;
        if create_ends {
            self.stand_in(&key.from);
            self.stand_in(&key.to);
        }
        must(self.entities.contains_key(&key.from), No::NotFound)?;
        if !self.entities.contains_key(&key.to) {
            must(key.is_dependency(), No::NotFound)?;
            self.stand_in(&key.to);
        }
        self.relate(key, properties.clone(), None);
        Ok(())
    }

    fn delete(&mut self, key: &EntityRef, force: bool) -> Verdict {
        must(self.entities.contains_key(key), No::NotFound)?;
        // A relation of an entity with itself points out of it, and goes with it.
        let points_in = |r: &RelationKey| r.to == *key && r.from != *key;
        let mut blockers: Vec<String> = self
            .relations
            .keys()
            .filter(|r| points_in(r))
            .map(ToString::to_string)
            .collect();
        blockers.sort();
        must(force || blockers.is_empty(), No::Precondition(blockers))?;
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
