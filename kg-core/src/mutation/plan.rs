//! Plan: a snapshot and a transaction give changes, or a refusal.
//!
//! All decisions are here: what a request means, whether it may be done, what it brings with it. Each mutation is planned
//! against the state left by those before it; a refused transaction leaves no trace, for all is done on a copy, which
//! costs pointers. Cost: O(mutations x log graph), and what the preconditions visit.

use super::change::Change;
use super::guard;
use super::transaction::{Mutation, Transaction};
use crate::error::{Fault, Refusal};
use crate::limits::{
    BODY_BYTES, DOCUMENT_BYTES, JSON_DEPTH, KINDS, LABELS, MUTATIONS, PRECONDITIONS, REASON_BYTES,
};
use crate::model::path::{self, Lost, Part, Path, part};
use crate::model::relation::check_properties;
use crate::model::service::{check_text, dependency_faults};
use crate::model::shape::{
    MIRRORED, pattern_from_object, pattern_object, service_from_object, service_object,
};
use crate::model::{
    APPENDED, Body, Dependency, Entity, EntityId, EntityRef, Label, Name, Object, PatternSpec,
    Relation, RelationKey, ServiceSpec, Value,
};
use crate::snapshot::{Snapshot, TypedSection};
use std::collections::HashSet;
use std::sync::Arc;

/// What a transaction will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The changes, in order. None: the transaction changes nothing and makes no revision.
    pub changes: Vec<Change>,
    /// The state after them; its revision and time are still those before.
    pub next: Snapshot,
}

/// Decides what `transaction` does to `snapshot`.
///
/// # Errors
/// A [`Refusal`]; the snapshot is as it was.
pub fn plan(snapshot: &Snapshot, transaction: &Transaction) -> Result<Plan, Refusal> {
    check_shape(transaction)?;
    guard::before(snapshot, &transaction.preconditions)?;
    let mut planner = Planner {
        draft: snapshot.clone(),
        changes: Vec::new(),
        revision: snapshot.revision() + 1,
    };
    let single = transaction.mutations.len() == 1;
    for (i, mutation) in transaction.mutations.iter().enumerate() {
        planner.mutation(mutation).map_err(|refusal| {
            if single {
                refusal
            } else {
                refusal.under(&format!("mutations[{i}]"))
            }
        })?;
    }
    guard::after(&planner.draft, &transaction.preconditions)?;
    Ok(Plan {
        changes: planner.changes,
        next: planner.draft,
    })
}

fn check_shape(transaction: &Transaction) -> Result<(), Refusal> {
    let limit = if transaction.mutation_limit == 0 {
        MUTATIONS
    } else {
        transaction.mutation_limit
    };
    let count = transaction.mutations.len();
    if count > limit {
        return Err(Refusal::invalid(
            "mutations",
            format!("has {count} entries, at most {limit} are allowed in one transaction"),
        ));
    }
    let count = transaction.preconditions.len();
    if count > PRECONDITIONS {
        return Err(Refusal::invalid(
            "preconditions",
            format!("has {count} entries, at most {PRECONDITIONS} are allowed"),
        ));
    }
    if transaction.reason.len() > REASON_BYTES {
        return Err(Refusal::invalid(
            "reason",
            format!(
                "has {} bytes, at most {REASON_BYTES} are allowed",
                transaction.reason.len()
            ),
        ));
    }
    check_text("reason", &transaction.reason)?;
    Ok(())
}

struct Planner {
    draft: Snapshot,
    changes: Vec<Change>,
    revision: u64,
}

impl Planner {
    fn mutation(&mut self, mutation: &Mutation) -> Result<(), Refusal> {
        match mutation {
            Mutation::RegisterService { service, strict } => self.register(service, *strict),
            Mutation::UpdateSchema { name, schema } => {
                self.edit_service(name, |spec| spec.body.schema = schema.clone())
            }
            Mutation::SetCapability {
                name,
                capability,
                enabled,
            } => self.edit_service(name, |spec| {
                spec.body
                    .capabilities
                    .retain(|c| *enabled || c != capability);
                if *enabled && !spec.body.capabilities.contains(capability) {
                    spec.body.capabilities.push(capability.clone());
                }
            }),
            Mutation::AddDependency { name, dependency } => self.add_dependency(name, dependency),
            Mutation::RemoveDependency { name, service } => {
                self.registered(name)?;
                self.delete_relation(&dependency_key(name, service))
            }
            Mutation::PutPattern(spec) => self.put_pattern(spec),
            Mutation::PutEntity { key, properties } => self.put_properties(key, properties),
            Mutation::DeleteEntity { key, force } => self.delete_entity(key, *force),
            Mutation::PutRelation {
                key,
                properties,
                create_ends,
            } => self.put_relation(key, properties, *create_ends),
            Mutation::DeleteRelation(key) => self.delete_relation(key),
            Mutation::UpdateNode { path, value } => self.update_node(path, value),
            Mutation::DeleteNode(path) => self.delete_node(path),
            Mutation::Restore {
                checkpoint,
                content,
            } => self.restore(checkpoint, content),
        }
    }

    /// Applies a change to the draft and keeps it. A change that was planned against the draft fits it.
    fn keep(&mut self, change: Change) -> Result<(), Refusal> {
        self.draft
            .apply(&change, self.revision)
            .map_err(Refusal::Internal)?;
        self.changes.push(change);
        Ok(())
    }

    // Entities

    fn put_entity(
        &mut self,
        key: &EntityRef,
        body: Body,
        properties: Object,
    ) -> Result<(), Refusal> {
        let previous = self.draft.entity(key).cloned();
        if let Some(old) = &previous
            && old.body == body
            && old.properties == properties
        {
            return Ok(());
        }
        if previous.is_none() {
            self.check_new_kind(key)?;
        }
        let entity = Arc::new(Entity {
            id: self.draft.id_for(key),
            key: key.clone(),
            body,
            properties,
            created_revision: previous
                .as_ref()
                .map_or(self.revision, |p| p.created_revision),
            modified_revision: self.revision,
            wire: Default::default(),
        });
        if matches!(entity.body, Body::Service(_) | Body::Pattern(_)) {
            let bytes = crate::log::record::entity_weight(&entity);
            if bytes > BODY_BYTES {
                let reason = format!("has {bytes} bytes, at most {BODY_BYTES} are allowed");
                return Err(Refusal::invalid(entity.key.kind.as_str(), reason));
            }
        }
        self.keep(Change::PutEntity { entity, previous })
    }

    fn check_new_kind(&self, key: &EntityRef) -> Result<(), Refusal> {
        let kinds = &self.draft.indexes().kinds;
        if self.draft.id_bound() == u32::MAX {
            return Err(Refusal::Exhausted(
                "this process has numbered 2^32 - 1 entities: restart it, which renumbers".into(),
            ));
        }
        if kinds.len() >= KINDS && !kinds.contains_key(&key.kind) && !key.is_service() {
            return Err(Refusal::Exhausted(format!(
                "the graph has {KINDS} kinds of entities, which is the most it may have: {} would be another",
                key.kind
            )));
        }
        Ok(())
    }

    fn put_properties(&mut self, key: &EntityRef, properties: &Object) -> Result<(), Refusal> {
        check_properties("properties", properties)?;
        let body = match self.draft.entity(key) {
            Some(entity) if !entity.is_placeholder() => entity.body.clone(),
            _ if key.is_service() => Body::Service(Box::default()),
            _ if key.is_pattern() => Body::Pattern(Box::default()),
            _ => Body::Plain,
        };
        self.put_entity(key, body, properties.clone())
    }

    fn put_pattern(&mut self, spec: &PatternSpec) -> Result<(), Refusal> {
        refuse(
            spec.faults()
                .into_iter()
                .map(|f| f.under("pattern"))
                .collect(),
        )?;
        let key = EntityRef::new(crate::model::Kind::pattern(), spec.name.clone());
        self.put_entity(
            &key,
            Body::Pattern(Box::new(spec.body.clone())),
            spec.metadata.clone(),
        )
    }

    fn delete_entity(&mut self, key: &EntityRef, force: bool) -> Result<(), Refusal> {
        let entity = self
            .draft
            .entity(key)
            .cloned()
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        // A relation of an entity with itself points out of it, and goes with it.
        let mut incoming = self.relations_of(entity.id, Side::Incoming);
        incoming.retain(|r| r.key.from != *key);
        if !incoming.is_empty() && !force {
            let mut blockers: Vec<String> = incoming.iter().map(|r| r.key.to_string()).collect();
            blockers.sort();
            return Err(Refusal::Precondition {
                reason: format!(
                    "{key} cannot be deleted while {} relation(s) point at it (force deletes them)",
                    blockers.len()
                ),
                blockers,
            });
        }
        let mut others = Vec::new();
        for relation in self.relations_of(entity.id, Side::Outgoing) {
            others.push(relation.key.to.clone());
            self.keep(Change::RemoveRelation {
                previous: Arc::new(relation),
            })?;
        }
        // A service that others depend on stays as a placeholder; what else points at it goes in the same revision.
        let (kept, gone): (Vec<_>, Vec<_>) =
            incoming.into_iter().partition(|r| r.key.is_dependency());
        for relation in gone {
            others.push(relation.key.from.clone());
            self.keep(Change::RemoveRelation {
                previous: Arc::new(relation),
            })?;
        }
        if kept.is_empty() {
            let previous = self
                .draft
                .entity(key)
                .cloned()
                .ok_or_else(|| Refusal::Internal(format!("{key} went away")))?;
            self.keep(Change::RemoveEntity { previous })?;
        } else {
            self.put_entity(key, Body::Placeholder, Object::new())?;
        }
        others
            .iter()
            .try_for_each(|other| self.drop_idle_placeholder(other))
    }

    /// A placeholder goes when its last relation goes.
    fn drop_idle_placeholder(&mut self, key: &EntityRef) -> Result<(), Refusal> {
        let Some(entity) = self.draft.entity(key).cloned() else {
            return Ok(());
        };
        if !entity.is_placeholder()
            || self.draft.has_incoming(entity.id)
            || self.draft.has_outgoing(entity.id)
        {
            return Ok(());
        }
        self.keep(Change::RemoveEntity { previous: entity })
    }

    // Services

    fn register(&mut self, spec: &ServiceSpec, strict: bool) -> Result<(), Refusal> {
        refuse(
            spec.faults()
                .into_iter()
                .map(|f| f.under("service"))
                .collect(),
        )?;
        let spec = spec.clone().normalised();
        if strict {
            let absent = |d: &&Dependency| {
                self.draft
                    .service(d.service.as_str())
                    .is_none_or(|e| e.is_placeholder())
            };
            let blockers: Vec<String> = spec
                .dependencies
                .iter()
                .filter(absent)
                .map(|d| format!("service/{}", d.service))
                .collect();
            if !blockers.is_empty() {
                let reason = format!(
                    "strict registration of {}: dependencies that have not registered",
                    spec.name
                );
                return Err(Refusal::Precondition { reason, blockers });
            }
        }
        self.put_service(&spec)
    }

    fn put_service(&mut self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let key = EntityRef::service(spec.name.clone());
        self.put_entity(
            &key,
            Body::Service(Box::new(spec.body.clone())),
            spec.metadata.clone(),
        )?;
        self.put_dependencies(&key, &spec.dependencies)
    }

    /// Makes the dependencies of a service exactly these, in this order.
    fn put_dependencies(&mut self, key: &EntityRef, wanted: &[Dependency]) -> Result<(), Refusal> {
        let Some(entity) = self.draft.entity(key).cloned() else {
            return Ok(());
        };
        let named: HashSet<&Name> = wanted.iter().map(|d| &d.service).collect();
        for old in self.draft.dependencies(&entity) {
            if !named.contains(&old.service) {
                self.delete_relation(&dependency_key(&key.name, &old.service))?;
            }
        }
        for (position, dependency) in wanted.iter().enumerate() {
            let position = u32::try_from(position).unwrap_or(APPENDED);
            let key = dependency_key(&key.name, &dependency.service);
            self.stand_in(&key.to)?;
            self.keep_relation(&key, dependency.relation_properties(), Some(position))?;
        }
        Ok(())
    }

    /// Sees to it that a service of this name stands in the graph, as a placeholder if it has not registered.
    fn stand_in(&mut self, key: &EntityRef) -> Result<(), Refusal> {
        if self.draft.entity(key).is_some() {
            return Ok(());
        }
        let body = if key.is_service() {
            Body::Placeholder
        } else if key.is_pattern() {
            Body::Pattern(Box::default())
        } else {
            Body::Plain
        };
        self.put_entity(key, body, Object::new())
    }

    fn registered(&self, name: &Name) -> Result<Arc<Entity>, Refusal> {
        match self.draft.service(name.as_str()) {
            Some(entity) if !entity.is_placeholder() => Ok(entity.clone()),
            _ => Err(Refusal::NotFound(format!("service/{name}"))),
        }
    }

    fn edit_service(
        &mut self,
        name: &Name,
        edit: impl FnOnce(&mut ServiceSpec),
    ) -> Result<(), Refusal> {
        let entity = self.registered(name)?;
        // The dependencies are relations and stay as they are.
        let mut spec = ServiceSpec {
            dependencies: Vec::new(),
            ..self.draft.service_spec(&entity)
        };
        edit(&mut spec);
        refuse(spec.faults())?;
        self.put_entity(
            &entity.key,
            Body::Service(Box::new(spec.body)),
            spec.metadata,
        )
    }

    fn add_dependency(&mut self, name: &Name, dependency: &Dependency) -> Result<(), Refusal> {
        self.registered(name)?;
        refuse(
            dependency_faults(name, dependency)
                .into_iter()
                .map(|f| f.under("dependency"))
                .collect(),
        )?;
        let key = dependency_key(name, &dependency.service);
        self.stand_in(&key.to)?;
        self.keep_relation(&key, dependency.relation_properties(), None)
    }

    // Relations

    fn put_relation(
        &mut self,
        key: &RelationKey,
        properties: &Object,
        create_ends: bool,
    ) -> Result<(), Refusal> {
        check_properties("relation.properties", properties)?;
        if key.from == key.to && key.label == Label::depends_on() {
            return Err(Refusal::invalid(
                "relation.to",
                format!("is {} itself: nothing depends on itself", key.from),
            ));
        }
        if create_ends {
            self.stand_in(&key.from)?;
            self.stand_in(&key.to)?;
        }
        if self.draft.entity(&key.from).is_none() {
            return Err(Refusal::NotFound(key.from.to_string()));
        }
        if self.draft.entity(&key.to).is_none() {
            if !key.is_dependency() {
                return Err(Refusal::NotFound(key.to.to_string()));
            }
            self.stand_in(&key.to)?;
        }
        self.keep_relation(key, properties.clone(), None)
    }

    fn keep_relation(
        &mut self,
        key: &RelationKey,
        properties: Object,
        position: Option<u32>,
    ) -> Result<(), Refusal> {
        let previous = self.draft.relation(key);
        let position =
            position.unwrap_or_else(|| previous.as_ref().map_or(APPENDED, |p| p.position));
        if let Some(old) = &previous
            && old.properties == properties
            && old.position == position
        {
            return Ok(());
        }
        if previous.is_none()
            && self.draft.relations(key.label.as_str()).is_none()
            && self.draft.labels().count() >= LABELS
        {
            return Err(Refusal::Exhausted(format!(
                "the graph has {LABELS} relation labels, which is the most it may have: {} would be another",
                key.label
            )));
        }
        let relation = Relation {
            key: key.clone(),
            properties,
            position,
            created_revision: previous
                .as_ref()
                .map_or(self.revision, |p| p.created_revision),
            modified_revision: self.revision,
        };
        self.keep(Change::PutRelation {
            relation: Arc::new(relation),
            previous: previous.map(Arc::new),
        })
    }

    fn delete_relation(&mut self, key: &RelationKey) -> Result<(), Refusal> {
        let previous = self
            .draft
            .relation(key)
            .ok_or_else(|| Refusal::NotFound(format!("relation {key}")))?;
        self.keep(Change::RemoveRelation {
            previous: Arc::new(previous),
        })?;
        // Either end may have stood only for this relation: an import makes placeholders that begin one.
        self.drop_idle_placeholder(&key.from)?;
        self.drop_idle_placeholder(&key.to)
    }

    fn relations_of(&self, id: EntityId, side: Side) -> Vec<Relation> {
        let mut found = Vec::new();
        for (label, relations) in self.draft.relations_by_label() {
            let neighbours = match side {
                Side::Incoming => relations.adjacency().incoming(id),
                Side::Outgoing => relations.adjacency().outgoing(id),
            };
            neighbours.for_each(|other| {
                let other = EntityId::new(other);
                let (from, to) = if matches!(side, Side::Incoming) {
                    (other, id)
                } else {
                    (id, other)
                };
                found.extend(self.draft.relation_by_id(label, from, to));
            });
        }
        found
    }

    // Nodes

    fn update_node(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        value.check().map_err(|f| f.under("value"))?;
        match TypedSection::of(at) {
            Some(TypedSection::Services) => self.update_service_node(at, value),
            Some(TypedSection::Patterns) => self.update_pattern_node(at, value),
            None => self.update_document(at, value),
        }
    }

    fn update_document(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        let bytes = value.json_len();
        if bytes > DOCUMENT_BYTES {
            return Err(Refusal::invalid(
                "value",
                format!(
                    "has {bytes} bytes of JSON, at most {} are allowed",
                    DOCUMENT_BYTES
                ),
            ));
        }
        let previous = path::get(self.draft.documents(), at.parts()).ok().cloned();
        if previous.as_ref() == Some(value) {
            return Ok(());
        }
        let levels = at.parts().len() - 1 + value.depth();
        if levels > JSON_DEPTH {
            return Err(Refusal::invalid(
                "path",
                format!(
                    "{at} with this value would be {levels} levels deep, at most {JSON_DEPTH} are allowed"
                ),
            ));
        }
        path::set(
            &mut self.draft.documents().clone(),
            at.parts(),
            value.clone(),
        )
        .map_err(lost)?;
        self.keep(Change::SetNode {
            path: at.clone(),
            value: value.clone(),
            previous,
        })
    }

    fn member<'a>(&self, at: &'a Path) -> Result<(Name, &'a [Part]), Refusal> {
        match at.parts() {
            [_] => Err(Refusal::invalid(
                "path",
                format!("{at} is a whole section of typed bodies: write one member at a time"),
            )),
            [_, Part::Key(name), rest @ ..] => Ok((Name::parse("path", name)?, rest)),
            [_, Part::Index(_), ..] => Err(lost(Lost::WrongType(
                at.section().to_string(),
                "a list",
                "an object",
            ))),
            [] => Err(Refusal::invalid("path", "must not be empty")),
        }
    }

    fn update_service_node(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        let (name, rest) = self.member(at)?;
        let known = self
            .draft
            .service(name.as_str())
            .map(|e| self.draft.service_spec(e));
        let object = known.as_ref().map_or_else(Object::new, service_object);
        let object = written(at, object, rest, value)?;
        self.put_service_object(
            at,
            &name,
            &object,
            known.map_or_else(Vec::new, |k| k.dependencies),
        )
    }

    fn put_service_object(
        &mut self,
        at: &Path,
        name: &Name,
        object: &Object,
        known: Vec<Dependency>,
    ) -> Result<(), Refusal> {
        let prefix = format!("{}.{}", at.section(), part(name.as_str()));
        let spec = service_from_object(name, object, &known).map_err(|faults| {
            Refusal::Invalid(faults.into_iter().map(|f| f.under(&prefix)).collect())
        })?;
        self.put_service(&spec)
    }

    fn update_pattern_node(&mut self, at: &Path, value: &Value) -> Result<(), Refusal> {
        let (name, rest) = self.member(at)?;
        let known = self
            .draft
            .find("pattern", name.as_str())
            .map(|e| crate::snapshot::pattern_spec(e));
        let object = known.as_ref().map_or_else(Object::new, pattern_object);
        let object = written(at, object, rest, value)?;
        self.put_pattern_object(at, &name, &object)
    }

    fn put_pattern_object(
        &mut self,
        at: &Path,
        name: &Name,
        object: &Object,
    ) -> Result<(), Refusal> {
        let prefix = format!("{}.{}", at.section(), part(name.as_str()));
        let spec = pattern_from_object(name, object).map_err(|faults| {
            Refusal::Invalid(faults.into_iter().map(|f| f.under(&prefix)).collect())
        })?;
        self.put_pattern(&spec)
    }

    fn delete_node(&mut self, at: &Path) -> Result<(), Refusal> {
        let Some(section) = TypedSection::of(at) else {
            let previous = path::get(self.draft.documents(), at.parts())
                .map_err(lost)?
                .clone();
            return self.keep(Change::RemoveNode {
                path: at.clone(),
                previous,
            });
        };
        let (name, rest) = self.member(at)?;
        self.draft.node(at).map_err(lost)?;
        let key = EntityRef::new(section.kind(), name.clone());
        if rest.is_empty() {
            return self.delete_entity(&key, false);
        }
        let entity = self
            .draft
            .entity(&key)
            .cloned()
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        let (mut object, known) = match section {
            TypedSection::Services => {
                let spec = self.draft.service_spec(&entity);
                (service_object(&spec), spec.dependencies)
            }
            TypedSection::Patterns => (
                pattern_object(&crate::snapshot::pattern_spec(&entity)),
                Vec::new(),
            ),
        };
        path::remove(&mut object, top_of(rest)).map_err(lost)?;
        match section {
            TypedSection::Services => self.put_service_object(at, &name, &object, known),
            TypedSection::Patterns => self.put_pattern_object(at, &name, &object),
        }
    }

    fn restore(&mut self, checkpoint: &Arc<str>, content: &Arc<Snapshot>) -> Result<(), Refusal> {
        if !self.changes.is_empty() {
            return Err(Refusal::invalid(
                "mutations",
                "a restore stands alone in its transaction",
            ));
        }
        self.draft.return_to(content);
        self.changes.push(Change::Restore {
            checkpoint: checkpoint.clone(),
            hash: content.hash(),
            content: Some(content.clone()),
        });
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Side {
    Incoming,
    Outgoing,
}

fn dependency_key(from: &Name, to: &Name) -> RelationKey {
    RelationKey {
        from: EntityRef::service(from.clone()),
        label: Label::depends_on(),
        to: EntityRef::service(to.clone()),
    }
}

fn refuse(faults: Vec<Fault>) -> Result<(), Refusal> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Invalid(faults))
    }
}

/// What a path that led nowhere means for the caller.
fn lost(lost: Lost) -> Refusal {
    match lost {
        Lost::Missing(at) => Refusal::NotFound(format!("path {at}")),
        Lost::WrongType(at, wanted, found) => Refusal::invalid(
            "path",
            format!("{at} is {found}, where the path needs {wanted}"),
        ),
    }
}

/// The path below a service without its detour through `metadata`, where the field stands at the top too.
fn top_of(rest: &[Part]) -> &[Part] {
    match rest {
        [Part::Key(metadata), Part::Key(field), ..]
            if metadata.as_ref() == "metadata" && MIRRORED.contains(&field.as_ref()) =>
        {
            &rest[1..]
        }
        _ => rest,
    }
}

/// A typed body's object after a write below it.
fn written(at: &Path, mut object: Object, rest: &[Part], value: &Value) -> Result<Object, Refusal> {
    if rest.is_empty() {
        let Value::Object(whole) = value else {
            return Err(Refusal::invalid(
                "value",
                format!("{at} must be an object, not {}", value.type_name()),
            ));
        };
        return Ok(whole.clone());
    }
    // What `metadata` says of a mirrored field replaces what stands at the top; else the two would contradict.
    if let ([Part::Key(only)], Value::Object(members)) = (rest, value)
        && only.as_ref() == "metadata"
    {
        MIRRORED
            .iter()
            .filter(|field| members.contains_key(**field))
            .for_each(|field| drop(object.remove(*field)));
    }
    let prefix = path::render(&at.parts()[..2]);
    path::set(&mut object, top_of(rest), value.clone()).map_err(|l| match l {
        Lost::Missing(inner) => lost(Lost::Missing(format!("{prefix}.{inner}"))),
        Lost::WrongType(inner, wanted, found) => {
            lost(Lost::WrongType(format!("{prefix}.{inner}"), wanted, found))
        }
    })?;
    Ok(object)
}
