//! The state that a watch begins with: every entity, then every relation, then the documents, each as CREATED.
//!
//! It is walked by number, so that it goes on where it stopped without holding anything but the snapshot.

use std::collections::VecDeque;

use amadeus_proto::v1;
use kg_core::commit::Held;
use kg_core::model::{EntityId, Label, Part, Path, Value};
use kg_core::watch::Filter;
use prost::Message;
use v1::change::{Kind, Subject};

use super::parts::{Filling, PART_BYTES};
use crate::rpc::to_proto;

/// Steps in one part, so that a filter that lets nothing through does not keep a thread.
const STEPS: usize = 4_096;

/// What is left of a state.
pub struct State {
    held: Held,
    labels: Vec<Label>,
    place: Place,
    /// Changes that were made and did not fit.
    ready: VecDeque<v1::Change>,
}

enum Place {
    /// The entity of this number is next.
    Entity(u32),
    /// The relations of this label are next, behind the one between these two.
    Relation {
        label: usize,
        last: Option<(EntityId, EntityId)>,
    },
    /// These sections of the documents are next.
    Documents(VecDeque<(Path, Value)>),
}

impl State {
    /// All of a snapshot.
    pub fn new(held: Held) -> Self {
        Self {
            labels: held.labels().cloned().collect(),
            held,
            place: Place::Entity(0),
            ready: VecDeque::new(),
        }
    }

    /// The revision that it is the state of.
    pub fn revision(&self) -> u64 {
        self.held.revision()
    }

    /// The next part, and whether it is the last. It may be empty: a part ends after so many steps too.
    pub fn part(&mut self, filter: &Filter) -> (Vec<v1::Change>, bool) {
        let mut filling = Filling::default();
        for _ in 0..STEPS {
            while let Some(change) = self.ready.pop_front() {
                if !filling.has_room(&change) {
                    self.ready.push_front(change);
                    return (filling.take(), false);
                }
                filling.add(change);
            }
            if filling.is_full() {
                return (filling.take(), false);
            }
            if !self.advance(filter) {
                return (filling.take(), true);
            }
        }
        (filling.take(), false)
    }

    /// Makes the next few changes ready; false at the end.
    fn advance(&mut self, filter: &Filter) -> bool {
        match &mut self.place {
            Place::Entity(number) if *number < self.held.id_bound() => {
                if let Some(entity) = self.held.by_id(EntityId::new(*number))
                    && filter.wants_entity(&entity.key)
                {
                    let subject = Subject::Entity(to_proto::entity_with(entity, &[]));
                    self.ready
                        .push_back(created(entity.modified_revision, subject));
                }
                *number += 1;
            }
            Place::Entity(_) => {
                self.place = Place::Relation {
                    label: 0,
                    last: None,
                }
            }
            Place::Relation { label, last } => match self.labels.get(*label) {
                Some(word) => {
                    let (found, reached) = relations(&self.held, word, *last, filter);
                    self.ready.extend(found);
                    match reached {
                        Some(_) => *last = reached,
                        None => (*label, *last) = (*label + 1, None),
                    }
                }
                None => self.place = Place::Documents(self.sections(filter)),
            },
            Place::Documents(sections) => {
                let Some((path, value)) = sections.pop_front() else {
                    return false;
                };
                self.document(path, value);
            }
        }
        true
    }

    fn sections(&self, filter: &Filter) -> VecDeque<(Path, Value)> {
        if !filter.wants_documents() {
            return VecDeque::new();
        }
        let section = |(name, value): (&std::sync::Arc<str>, &Value)| {
            Some((
                Path::from_parts(vec![Part::Key(name.clone())])?,
                value.clone(),
            ))
        };
        self.held.documents().iter().filter_map(section).collect()
    }

    /// One document value; one that is too large for a message is told by its members.
    fn document(&mut self, path: Path, value: Value) {
        let wire = to_proto::value(&value);
        let members: Vec<(Part, Value)> = match value {
            Value::Object(members) if wire.encoded_len() > PART_BYTES => members
                .into_iter()
                .map(|(key, value)| (Part::Key(key), value))
                .collect(),
            Value::List(items) if wire.encoded_len() > PART_BYTES => items
                .iter()
                .enumerate()
                .map(|(i, value)| (Part::Index(i), value.clone()))
                .collect(),
            _ => Vec::new(),
        };
        if members.is_empty() {
            let revision = self.held.section_revision(path.section()).unwrap_or(0);
            let node = v1::Node {
                path: path.to_string(),
                value: Some(wire),
            };
            self.ready.push_back(created(revision, Subject::Node(node)));
            return;
        }
        let Place::Documents(left) = &mut self.place else {
            return;
        };
        for (part, value) in members.into_iter().rev() {
            let mut parts = path.parts().to_vec();
            parts.push(part);
            if let Some(path) = Path::from_parts(parts) {
                left.push_front((path, value));
            }
        }
    }
}

/// Relations that are looked at in one step.
const RELATIONS: usize = 256;

/// The next wanted relations of a label, and the last that was looked at; `None` at the end.
fn relations(
    held: &Held,
    label: &Label,
    last: Option<(EntityId, EntityId)>,
    filter: &Filter,
) -> (Vec<v1::Change>, Option<(EntityId, EntityId)>) {
    let Some(relations) = held.relations(label.as_str()) else {
        return (Vec::new(), None);
    };
    let (mut found, mut reached) = (Vec::new(), None);
    for (from, to, _) in relations.edges_after(last).take(RELATIONS) {
        reached = Some((from, to));
        let relation = held.relation_by_id(label, from, to);
        if let Some(relation) = relation.filter(|r| filter.wants_relation(&r.key)) {
            let subject = Subject::Relation(to_proto::relation(&relation));
            found.push(created(relation.modified_revision, subject));
        }
    }
    (found, reached)
}

fn created(revision: u64, subject: Subject) -> v1::Change {
    v1::Change {
        revision,
        kind: Kind::Created.into(),
        subject: Some(subject),
        previous: None,
        too_large: false,
    }
}
