//! Planning for entities of any kind: putting, deleting, and what goes with them.

use super::relations::Side;
use super::{Planner, refuse, unnamed};
use crate::error::Refusal;
use crate::limits::{BODY_BYTES, KINDS};
use crate::model::relation::check_properties;
use crate::model::{Body, Entity, EntityRef, Object, PatternSpec};
use crate::mutation::Change;
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn put_entity(
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
            digest: Default::default(),
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

    pub(super) fn check_new_kind(&self, key: &EntityRef) -> Result<(), Refusal> {
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

    pub(super) fn put_properties(
        &mut self,
        key: &EntityRef,
        properties: &Object,
    ) -> Result<(), Refusal> {
        check_properties("properties", properties)?;
        let body = match self.draft.entity(key) {
            Some(entity) if !entity.is_placeholder() => entity.body.clone(),
            _ if key.is_service() => Body::Service(Box::default()),
            _ if key.is_pattern() => Body::Pattern(Box::default()),
            _ => Body::Plain,
        };
        self.put_entity(key, body, properties.clone())
    }

    pub(super) fn put_pattern(&mut self, spec: &PatternSpec) -> Result<(), Refusal> {
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

    pub(super) fn delete_entity(&mut self, key: &EntityRef, force: bool) -> Result<(), Refusal> {
        let entity = self
            .draft
            .entity(key)
            .cloned()
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        // A relation of an entity with itself points out of it, and goes with it.
        let mut incoming = self.relations_of(entity.id, Side::Incoming);
        incoming.retain(|r| r.key.from != *key);
        if !incoming.is_empty() && !force {
            let (blockers, hidden) = self.tell(incoming.iter().map(|r| r.key.clone()));
            return Err(Refusal::Precondition {
                reason: format!(
                    "{key} cannot be deleted while {} relation(s) point at it{} (force deletes them)",
                    incoming.len(),
                    unnamed(hidden)
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
    pub(super) fn drop_idle_placeholder(&mut self, key: &EntityRef) -> Result<(), Refusal> {
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
}
