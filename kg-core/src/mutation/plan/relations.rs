//! Planning for relations: between what exists, or between ends that are made for them.

use super::Planner;
use crate::error::Refusal;
use crate::limits::LABELS;
use crate::model::relation::check_properties;
use crate::model::{APPENDED, EntityId, Label, Object, Relation, RelationKey};
use crate::mutation::Change;
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn put_relation(
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

    pub(super) fn keep_relation(
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

    pub(super) fn delete_relation(&mut self, key: &RelationKey) -> Result<(), Refusal> {
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

    pub(super) fn relations_of(&self, id: EntityId, side: Side) -> Vec<Relation> {
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
}

/// On which side of an entity a relation stands.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Incoming,
    Outgoing,
}
