//! The oracle's preconditions.

use super::{No, Oracle, Verdict, must};
use crate::model::{Body, EntityRef, Label, Part, Path, RelationKey};
use crate::mutation::Precondition;
use std::collections::BTreeSet;

/// What a precondition says about one thing: that it is absent, that it exists, or at which revision it is.
#[derive(PartialEq)]
enum Claim {
    Absent,
    Exists,
    At(u64),
}

impl Claim {
    fn at(revision: u64) -> Self {
        if revision == 0 {
            Self::Absent
        } else {
            Self::At(revision)
        }
    }

    fn contradicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => false,
            (Self::Absent, _) | (_, Self::Absent) => true,
            (Self::At(one), Self::At(another)) => one != another,
            _ => false,
        }
    }
}

fn about_entity(precondition: &Precondition) -> Option<(&EntityRef, Claim)> {
    match precondition {
        Precondition::EntityExists(key) => Some((key, Claim::Exists)),
        Precondition::EntityAbsent(key) => Some((key, Claim::Absent)),
        Precondition::EntityAt { key, revision } => Some((key, Claim::at(*revision))),
        _ => None,
    }
}

fn about_relation(precondition: &Precondition) -> Option<(&RelationKey, Claim)> {
    match precondition {
        Precondition::RelationExists(key) => Some((key, Claim::Exists)),
        Precondition::RelationAbsent(key) => Some((key, Claim::Absent)),
        // Two revisions of one relation are not looked for: the second is refused where it does not hold.
        Precondition::RelationAt { key, revision: 0 } => Some((key, Claim::Absent)),
        Precondition::RelationAt { key, .. } => Some((key, Claim::Exists)),
        _ => None,
    }
}

fn contradict(one: &Precondition, another: &Precondition) -> bool {
    if let (Some((key, claim)), Some((same, other))) = (about_entity(one), about_entity(another)) {
        return key == same && claim.contradicts(&other);
    }
    if let (Some((key, claim)), Some((same, other))) =
        (about_relation(one), about_relation(another))
    {
        return key == same && claim.contradicts(&other);
    }
    match (one, another) {
        (
            Precondition::DocumentEquals { path, value },
            Precondition::DocumentEquals {
                path: same,
                value: other,
            },
        ) => path == same && value != other,
        _ => false,
    }
}

impl Oracle {
    pub(super) fn hold_before(&self, preconditions: &[Precondition]) -> Verdict {
        for (i, one) in preconditions.iter().enumerate() {
            let clash = preconditions[..i]
                .iter()
                .any(|other| contradict(one, other));
            must(!clash, No::Invalid)?;
        }
        preconditions.iter().try_for_each(|p| self.holds_before(p))
    }

    pub(super) fn hold_after(&self, preconditions: &[Precondition]) -> Verdict {
        preconditions.iter().try_for_each(|p| self.holds_after(p))
    }

    fn holds_before(&self, precondition: &Precondition) -> Verdict {
        let nobody = || No::Precondition(Vec::new());
        match precondition {
            Precondition::EntityExists(key) => must(self.entities.contains_key(key), nobody()),
            Precondition::EntityAbsent(key) => must(!self.entities.contains_key(key), nobody()),
            Precondition::RelationExists(key) => must(self.relations.contains_key(key), nobody()),
            Precondition::RelationAbsent(key) => must(!self.relations.contains_key(key), nobody()),
            Precondition::DocumentEquals { path, value } => {
                must(self.node(path).as_ref() == Ok(value), nobody())
            }
            Precondition::EntityAt { key, revision } => at(*revision, self.entity_revision(key)),
            Precondition::RelationAt { key, revision } => {
                let known = self.relations.get(key).map(|r| r.modified_revision);
                at(*revision, known)
            }
            Precondition::NodeAt { path, revision: 0 } => {
                must(self.node(path).is_err(), No::AlreadyExists)
            }
            Precondition::NodeAt { path, revision } => at(*revision, self.holder_revision(path)),
            Precondition::NoPath { .. }
            | Precondition::NoDependents(_)
            | Precondition::Acyclic(_) => Ok(()),
        }
    }

    /// A placeholder has not registered.
    fn entity_revision(&self, key: &EntityRef) -> Option<u64> {
        let node = self.entities.get(key)?;
        (node.body != Body::Placeholder).then_some(node.modified)
    }

    /// The revision of what holds a node.
    pub(in crate::testing) fn holder_revision(&self, path: &Path) -> Option<u64> {
        let kind = match path.section().as_ref() {
            "services" => "service",
            "patterns" => "pattern",
            section => return self.sections.get(section).copied(),
        };
        match path.parts().get(1) {
            Some(Part::Key(name)) => self
                .entities
                .keys()
                .find(|key| key.kind.as_str() == kind && key.name.as_str() == name.as_ref())
                .and_then(|key| self.entity_revision(key)),
            _ => Some(self.revision),
        }
    }

    fn holds_after(&self, precondition: &Precondition) -> Verdict {
        match precondition {
            Precondition::NoPath { from, to, label } => must(
                !self.ahead(from, label).contains(to),
                No::Precondition(Vec::new()),
            ),
            Precondition::NoDependents(key) => {
                let mut blockers: Vec<String> = self
                    .relations
                    .keys()
                    .filter(|r| r.to == *key && r.label == Label::depends_on())
                    .map(|r| r.from.to_string())
                    .collect();
                blockers.sort();
                must(blockers.is_empty(), No::Precondition(blockers))
            }
            Precondition::Acyclic(label) => {
                let cyclic = |key: &EntityRef| self.ahead(key, label).contains(key);
                let all: BTreeSet<(String, String)> = self
                    .relations
                    .keys()
                    .filter(|r| r.label == *label)
                    .map(|r| (r.from.to_string(), r.to.to_string()))
                    .collect();
                must(!self.entities.keys().any(cyclic), No::Cycle(all))
            }
            _ => Ok(()),
        }
    }
}

fn at(expected: u64, found: Option<u64>) -> Verdict {
    match (expected, found) {
        (0, None) => Ok(()),
        (0, Some(_)) => Err(No::AlreadyExists),
        (expected, Some(found)) if expected == found => Ok(()),
        (_, found) => Err(No::Mismatch(found)),
    }
}
