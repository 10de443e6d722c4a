//! Which changes a watcher wants.

use crate::model::{EntityRef, Kind, Label, RelationKey};
use crate::mutation::Change;

/// Every condition must hold; one that is empty always does.
///
/// Kinds and prefix speak of an entity, and of the entity that a relation starts at; a document is none, and so passes
/// only where both are empty. Labels speak of relations alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Kinds of entities.
    pub kinds: Vec<Kind>,
    /// What their names begin with.
    pub name_prefix: String,
    /// Labels of relations.
    pub relations: Vec<Label>,
}

impl Filter {
    /// Whether this change is wanted. A return to a checkpoint changes everything, and always is.
    #[must_use]
    pub fn wants(&self, change: &Change) -> bool {
        match change {
            Change::PutEntity { entity, .. } => self.wants_entity(&entity.key),
            Change::RemoveEntity { previous } => self.wants_entity(&previous.key),
            Change::PutRelation { relation, .. } => self.wants_relation(&relation.key),
            Change::RemoveRelation { previous } => self.wants_relation(&previous.key),
            Change::SetNode { .. } | Change::RemoveNode { .. } => self.wants_documents(),
            Change::Restore { .. } => true,
        }
    }

    /// Whether this entity is wanted.
    #[must_use]
    pub fn wants_entity(&self, key: &EntityRef) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&key.kind))
            && key.name.as_str().starts_with(&self.name_prefix)
    }

    /// Whether this relation is wanted.
    #[must_use]
    pub fn wants_relation(&self, key: &RelationKey) -> bool {
        (self.relations.is_empty() || self.relations.contains(&key.label))
            && self.wants_entity(&key.from)
    }

    /// Whether documents are wanted.
    #[must_use]
    pub fn wants_documents(&self) -> bool {
        self.kinds.is_empty() && self.name_prefix.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn key(text: &str) -> EntityRef {
        EntityRef::parse("key", text).expect("a valid name")
    }

    fn relation(from: &str, label: &str, to: &str) -> RelationKey {
        RelationKey {
            from: key(from),
            label: Label::parse("label", label).expect("a valid label"),
            to: key(to),
        }
    }

    #[test]
    fn an_empty_filter_wants_everything() {
        let all = Filter::default();
        assert!(all.wants_entity(&key("host/a")));
        assert!(all.wants_relation(&relation("host/a", "runs", "service/b")));
        assert!(all.wants_documents());
    }

    #[test]
    fn a_relation_is_judged_by_where_it_starts() {
        let hosts = Filter {
            kinds: vec![Kind::parse("kind", "host").expect("valid")],
            name_prefix: "a".into(),
            relations: vec![Label::parse("label", "runs").expect("valid")],
        };
        assert!(hosts.wants_entity(&key("host/apple")));
        assert!(!hosts.wants_entity(&key("host/banana")));
        assert!(!hosts.wants_entity(&key("service/apple")));
        assert!(hosts.wants_relation(&relation("host/apple", "runs", "service/x")));
        assert!(!hosts.wants_relation(&relation("service/x", "runs", "host/apple")));
        assert!(!hosts.wants_relation(&relation("host/apple", "likes", "host/ant")));
        assert!(!hosts.wants_documents());
    }

    #[test]
    fn labels_touch_relations_only() {
        let runs = Filter {
            relations: vec![Label::parse("label", "runs").expect("valid")],
            ..Filter::default()
        };
        assert!(runs.wants_entity(&key("host/a")));
        assert!(runs.wants_documents());
        assert!(!runs.wants_relation(&relation("host/a", "likes", "host/b")));
    }
}
