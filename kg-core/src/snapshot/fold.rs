//! Fold: a snapshot and the changes of one transaction give the next snapshot.
//!
//! It decides nothing. Limits, guards and clocks live in `plan`; whatever a record says is done, or the record is found
//! to contradict the state, which is corruption and never a refusal. Cost: O(changes x log graph).

use super::hash;
use super::relations::Edge;
use super::state::Snapshot;
use crate::log::Record;
use crate::model::path::{self, Part};
use crate::model::{Entity, EntityId, EntityRef, Path, Relation, RelationKey, Value};
use crate::mutation::Change;
use std::collections::HashSet;
use std::sync::Arc;

/// A record that cannot follow the snapshot it was folded onto.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The record is not the next one.
    #[error("record {found} cannot follow revision {head}")]
    OutOfOrder {
        /// Revision of the snapshot.
        head: u64,
        /// Revision of the record.
        found: u64,
    },
    /// A change contradicts the state.
    #[error("record {revision} contradicts the graph before it: {what}")]
    Contradiction {
        /// Revision of the record.
        revision: u64,
        /// What does not fit.
        what: String,
    },
    /// The result is not what the record's writer had.
    #[error("record {revision} leads to hash {found:032x}, but its writer had {expected:032x}")]
    HashMismatch {
        /// Revision of the record.
        revision: u64,
        /// Hash in the record.
        expected: u128,
        /// Hash of the result.
        found: u128,
    },
    /// A record returns to a checkpoint that has not been loaded.
    #[error("record {revision} returns to the checkpoint {checkpoint:?}, which is not at hand")]
    CheckpointMissing {
        /// Revision of the record.
        revision: u64,
        /// Name of the checkpoint.
        checkpoint: String,
    },
}

/// The snapshot after `record`.
///
/// # Errors
/// [`FoldError`] when the record does not fit; the given snapshot is as it was.
pub fn fold(snapshot: &Snapshot, record: &Record) -> Result<Snapshot, FoldError> {
    let mut next = snapshot.clone();
    next.fold_in_place(record)?;
    Ok(next)
}

impl Snapshot {
    /// [`fold`] without the copy, for replay. After an error the snapshot must be thrown away.
    ///
    /// # Errors
    /// As [`fold`].
    pub fn fold_in_place(&mut self, record: &Record) -> Result<(), FoldError> {
        if record.revision != self.revision + 1 {
            return Err(FoldError::OutOfOrder {
                head: self.revision,
                found: record.revision,
            });
        }
        let contradiction = |what| FoldError::Contradiction {
            revision: record.revision,
            what,
        };
        for change in record.changes.iter() {
            if let Change::Restore {
                checkpoint,
                content,
                ..
            } = change
            {
                let content = content
                    .as_ref()
                    .ok_or_else(|| FoldError::CheckpointMissing {
                        revision: record.revision,
                        checkpoint: checkpoint.to_string(),
                    })?;
                self.return_to(content);
            } else {
                self.apply(change, record.revision).map_err(contradiction)?;
            }
        }
        self.seal(record);
        if self.hash != record.hash {
            return Err(FoldError::HashMismatch {
                revision: record.revision,
                expected: record.hash,
                found: self.hash,
            });
        }
        Ok(())
    }

    /// [`Snapshot::fold_in_place`] for a record that was read back and is kept: from then on its entities are those of the
    /// graph, before and after. With copies of its own it would hold each of them twice, which no bound counts.
    ///
    /// # Errors
    /// As [`fold`].
    pub fn fold_and_share(&mut self, record: &mut Record) -> Result<(), FoldError> {
        let stood = |change: &Change| self.entity(change.entity_key()?).cloned();
        let before: Vec<Option<Arc<Entity>>> = record.changes.iter().map(stood).collect();
        self.fold_in_place(record)?;
        // Nobody else has a record that was just read.
        if let Some(changes) = Arc::get_mut(&mut record.changes) {
            // Of several changes of one entity the graph holds what the last one made.
            let mut later = HashSet::new();
            for (change, before) in changes.iter_mut().zip(&before).rev() {
                let is_last = change
                    .entity_key()
                    .is_some_and(|key| later.insert(key.clone()));
                change.share(before.as_ref(), is_last.then_some(&*self));
            }
        }
        Ok(())
    }

    /// Ends a transaction: the revision, its time, and the request to remember.
    pub(crate) fn seal(&mut self, record: &Record) {
        self.revision = record.revision;
        self.time_ms = record.time_ms;
        if let Some(request) = record.request {
            self.requests.remember(
                request.key,
                super::requests::Remembered {
                    revision: record.revision,
                    body: request.body,
                },
            );
        }
        self.requests.forget(record.revision);
    }

    /// Takes the content of another snapshot. Revision, time and remembered requests stay: they never go back.
    pub(crate) fn return_to(&mut self, content: &Snapshot) {
        let kept = Snapshot {
            revision: self.revision,
            time_ms: self.time_ms,
            requests: self.requests.clone(),
            ..content.clone()
        };
        *self = kept;
    }

    /// Applies one change at `revision`.
    pub(crate) fn apply(&mut self, change: &Change, revision: u64) -> Result<(), String> {
        match change {
            Change::PutEntity { entity, .. } => self.put_entity(entity.clone()),
            Change::RemoveEntity { previous } => return self.remove_entity(&previous.key),
            Change::PutRelation { relation, .. } => return self.put_relation(relation, revision),
            Change::RemoveRelation { previous } => {
                return self.remove_relation(&previous.key, revision);
            }
            Change::SetNode { path, value, .. } => return self.set_node(path, value, revision),
            Change::RemoveNode { path, .. } => return self.remove_node(path, revision),
            Change::Restore { checkpoint, .. } => {
                return Err(format!(
                    "a return to {checkpoint} is not a change of its own"
                ));
            }
        }
        Ok(())
    }

    /// The number that an entity of this name has, or would be given.
    pub(crate) fn id_for(&self, key: &EntityRef) -> EntityId {
        self.entity(key)
            .map_or(EntityId::new(self.next_id), |e| e.id)
    }

    pub(crate) fn put_entity(&mut self, entity: Arc<Entity>) {
        let id = self.id_for(&entity.key);
        let entity = if entity.id == id {
            entity
        } else {
            Arc::new(Entity {
                id,
                ..(*entity).clone()
            })
        };
        self.hash = self.hash.wrapping_add(hash::entity(&entity));
        let old = self.place(entity.clone());
        if let Some(old) = &old {
            self.hash = self.hash.wrapping_sub(hash::entity(old));
        }
        self.indexes.replace(old.as_deref(), &entity);
    }

    /// Puts an entity into its table, which is all that a change of its revision needs; and returns the one before it.
    pub(crate) fn place(&mut self, entity: Arc<Entity>) -> Option<Arc<Entity>> {
        self.next_id = self.next_id.max(entity.id.get() + 1);
        self.entities.put(entity)
    }

    pub(crate) fn remove_entity(&mut self, key: &EntityRef) -> Result<(), String> {
        let entity = self
            .entity(key)
            .cloned()
            .ok_or_else(|| format!("{key} is absent"))?;
        if self.has_incoming(entity.id) || self.has_outgoing(entity.id) {
            return Err(format!("{key} still has relations"));
        }
        self.hash = self.hash.wrapping_sub(hash::entity(&entity));
        self.indexes.remove(&entity);
        self.entities.remove(key);
        Ok(())
    }

    fn ends(&self, key: &RelationKey) -> Result<(EntityId, EntityId), String> {
        let end = |key: &EntityRef| {
            self.entity(key)
                .map(|e| e.id)
                .ok_or_else(|| format!("{key} is absent"))
        };
        Ok((end(&key.from)?, end(&key.to)?))
    }

    pub(crate) fn put_relation(
        &mut self,
        relation: &Relation,
        revision: u64,
    ) -> Result<(), String> {
        let (from, to) = self.ends(&relation.key)?;
        let edge = Edge {
            properties: relation.properties.clone(),
            position: relation.position,
            created_revision: relation.created_revision,
            modified_revision: relation.modified_revision,
        };
        let old = self
            .relations
            .entry(relation.key.label.clone())
            .or_default()
            .put(from, to, edge);
        match old {
            Some(old) => {
                self.hash = self
                    .hash
                    .wrapping_sub(hash::relation(&relation.key, &old.properties))
            }
            None => self.relation_count += 1,
        }
        self.hash = self
            .hash
            .wrapping_add(hash::relation(&relation.key, &relation.properties));
        self.touch(&relation.key, revision);
        Ok(())
    }

    pub(crate) fn remove_relation(
        &mut self,
        key: &RelationKey,
        revision: u64,
    ) -> Result<(), String> {
        let (from, to) = self.ends(key)?;
        let relations = self
            .relations
            .get_mut(&key.label)
            .ok_or_else(|| format!("no relation {key}"))?;
        let old = relations
            .remove(from, to)
            .ok_or_else(|| format!("no relation {key}"))?;
        if relations.is_empty() {
            self.relations.remove(&key.label);
        }
        self.relation_count -= 1;
        self.hash = self.hash.wrapping_sub(hash::relation(key, &old.properties));
        self.touch(key, revision);
        Ok(())
    }

    /// What a service depends on is part of it, so a dependency that comes or goes is a change of the service. A revision
    /// of 0 touches nothing: that is a checkpoint being loaded, whose entities know their revisions.
    pub(crate) fn touch(&mut self, key: &RelationKey, revision: u64) {
        if revision == 0 || !key.is_dependency() {
            return;
        }
        if let Some(entity) = self
            .entity(&key.from)
            .filter(|e| e.modified_revision != revision)
        {
            let touched = Entity {
                modified_revision: revision,
                ..(**entity).clone()
            };
            self.place(Arc::new(touched));
        }
    }

    fn set_node(&mut self, at: &Path, value: &Value, revision: u64) -> Result<(), String> {
        let before = self.leaves_around(at.parts());
        path::set(&mut self.documents, at.parts(), value.clone())
            .map_err(|lost| format!("{at}: {lost:?}"))?;
        self.settle_node(at, before, revision);
        Ok(())
    }

    fn remove_node(&mut self, at: &Path, revision: u64) -> Result<(), String> {
        let before = self.leaves_around(at.parts());
        path::remove(&mut self.documents, at.parts()).map_err(|lost| format!("{at}: {lost:?}"))?;
        self.settle_node(at, before, revision);
        Ok(())
    }

    fn settle_node(&mut self, at: &Path, before: u128, revision: u64) {
        let after = self.leaves_around(at.parts());
        self.hash = self.hash.wrapping_sub(before).wrapping_add(after);
        if self.documents.contains_key(at.section()) {
            self.sections.insert(at.section().clone(), revision);
        } else {
            self.sections.remove(at.section());
        }
    }

    /// The hash of every leaf that a change at `parts` can add or remove: the subtree there, the items behind it in a
    /// list (they move), and the parents that are leaves while they are empty.
    fn leaves_around(&self, parts: &[Part]) -> u128 {
        let mut total = 0_u128;
        let subtree = path::get(&self.documents, parts).map_or(0, |here| hash::leaves(parts, here));
        total = total.wrapping_add(subtree);
        for end in (1..parts.len()).rev() {
            match path::get(&self.documents, &parts[..end]) {
                Ok(Value::List(items)) if end + 1 == parts.len() && !items.is_empty() => {
                    total = total.wrapping_add(moved(&parts[..end], items, &parts[end]));
                }
                Ok(Value::List(items)) if !items.is_empty() => {}
                Ok(Value::Object(members)) if !members.is_empty() => {}
                Ok(leaf) => total = total.wrapping_add(hash::leaves(&parts[..end], leaf)),
                Err(_) => {}
            }
        }
        total
    }

    /// Loads documents into an empty snapshot, with the revision that changed each section last.
    pub(crate) fn load_section(&mut self, name: Arc<str>, value: Value, revision: u64) {
        self.hash = self
            .hash
            .wrapping_add(hash::leaves(&[Part::Key(name.clone())], &value));
        self.documents.insert(name.clone(), value);
        self.sections.insert(name, revision);
    }
}

/// Hash of the items behind `at` in a list.
fn moved(list: &[Part], items: &im::Vector<Value>, at: &Part) -> u128 {
    let Part::Index(first) = at else { return 0 };
    let mut path = list.to_vec();
    items
        .iter()
        .enumerate()
        .skip(first + 1)
        .fold(0_u128, |total, (i, item)| {
            path.push(Part::Index(i));
            let total = total.wrapping_add(hash::leaves(&path, item));
            path.pop();
            total
        })
}
