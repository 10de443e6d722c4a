//! Who may do what a transaction asks for, judged against the very state that it changes.
//!
//! A transaction names things, and leads to changes. What it names is judged first, before any other rule, so that a refusal
//! tells nothing of what its caller may not see. Then each change is judged: one that follows from another (a relation that
//! goes with its entity) needs the same right as one that was asked for.

use super::Planner;
use crate::access::{Authority, Reach};
use crate::error::Refusal;
use crate::model::path::Lost;
use crate::model::{Entity, EntityRef, Label, Name, Part, Path, RelationKey, ServiceSpec, Value};
use crate::mutation::change::Change;
use crate::mutation::transaction::{Mutation, Precondition};
use crate::snapshot::{Snapshot, TypedSection};

/// Judges what the preconditions name: a guard is an answer about the state, and so a read.
pub(super) fn preconditions(
    snapshot: &Snapshot,
    authority: &Authority,
    preconditions: &[Precondition],
) -> Result<(), Refusal> {
    let judge = Judge {
        snapshot,
        authority,
    };
    for precondition in preconditions {
        match precondition {
            Precondition::EntityExists(key)
            | Precondition::EntityAbsent(key)
            | Precondition::EntityAt { key, .. }
            | Precondition::NoDependents(key) => judge.sees_or_makes(key)?,
            Precondition::RelationAt { key, .. }
            | Precondition::RelationExists(key)
            | Precondition::RelationAbsent(key) => {
                judge.sees(&key.from)?;
                judge.sees(&key.to)?;
            }
            Precondition::NodeAt { path, .. } | Precondition::DocumentEquals { path, .. } => {
                judge.sees_path(path)?;
            }
            Precondition::NoPath { from, to, .. } => {
                judge.sees(from)?;
                judge.sees(to)?;
            }
            Precondition::Acyclic(_) => {}
        }
    }
    Ok(())
}

/// Judges what a mutation names.
pub(super) fn mutation(
    snapshot: &Snapshot,
    authority: &Authority,
    mutation: &Mutation,
) -> Result<(), Refusal> {
    let judge = Judge {
        snapshot,
        authority,
    };
    let service = |name: &Name| EntityRef::service(name.clone());
    match mutation {
        Mutation::RegisterService { service: spec, .. } => {
            judge.makes(&service(&spec.name))?;
            let needed = spec.dependencies.iter();
            needed
                .map(|d| service(&d.service))
                .try_for_each(|key| judge.sees(&key))
        }
        Mutation::PutPattern(spec) => judge.makes(&EntityRef::new(
            crate::model::Kind::pattern(),
            spec.name.clone(),
        )),
        Mutation::PutEntity { key, .. } => judge.makes(key),
        Mutation::UpdateSchema { name, .. }
        | Mutation::SetCapability { name, .. }
        | Mutation::SetHealth { name, .. } => judge.changes(&service(name)),
        Mutation::AddDependency { name, dependency } => {
            judge.changes(&service(name))?;
            judge.sees(&service(&dependency.service))
        }
        Mutation::RemoveDependency {
            name,
            service: needed,
        } => {
            judge.changes(&service(name))?;
            judge.sees(&service(needed))
        }
        Mutation::DeleteEntity { key, .. } => judge.changes(key),
        Mutation::PutRelation {
            key, create_ends, ..
        } => {
            if *create_ends {
                judge.makes(&key.from)?;
                return judge.sees_or_makes(&key.to);
            }
            judge.changes(&key.from)?;
            judge.sees(&key.to)
        }
        Mutation::DeleteRelation(key) => {
            judge.changes(&key.from)?;
            judge.sees(&key.to)
        }
        Mutation::UpdateNode { path, .. } | Mutation::DeleteNode(path) => judge.changes_path(path),
        Mutation::Restore { .. } => Err(Refusal::Denied(
            "a return to a backup changes everything, and you may not change everything".into(),
        )),
    }
}

/// Judges what came of a mutation, between the states before and after it.
pub(super) fn changes(
    before: &Snapshot,
    after: &Snapshot,
    authority: &Authority,
    changes: &[Change],
) -> Result<(), Refusal> {
    let reach = &authority.changes;
    let of = |key: &EntityRef| match (after.entity(key), before.entity(key)) {
        (Some(entity), _) | (None, Some(entity)) => reach.covers_entity(entity),
        (None, None) => reach.covers(key, None),
    };
    // A placeholder is nobody's: it comes and goes with what points at it.
    let is_ours = |entity: &Entity| entity.is_placeholder() || reach.covers_entity(entity);
    let mut others = 0;
    for change in changes {
        let fits = match change {
            Change::PutEntity { entity, previous } => {
                is_ours(entity) && previous.as_ref().is_none_or(|entity| is_ours(entity))
            }
            Change::RemoveEntity { previous } => is_ours(previous),
            // Whatever way it came by, a new relation is to what may be seen.
            Change::PutRelation { relation, previous } => {
                let to = &relation.key.to;
                let seen = previous.is_some()
                    || authority.sees.covers_in(after, to)
                    || authority.sees.covers_in(before, to);
                if !seen {
                    return Err(Refusal::Denied(format!("you may not see {to}")));
                }
                of(&relation.key.from)
            }
            Change::RemoveRelation { previous } => {
                let fits = of(&previous.key.from);
                others += usize::from(!fits);
                // All of these are counted before one is refused.
                fits || others > 0
            }
            Change::SetNode { path, .. } | Change::RemoveNode { path, .. } => {
                reach.covers_section(path.section())
            }
            Change::Restore { .. } => false,
        };
        if !fits {
            return Err(denied_change(change));
        }
    }
    if others > 0 {
        return Err(Refusal::Denied(format!(
            "{others} relation(s) of what you may not change would go as well"
        )));
    }
    Ok(())
}

fn denied_change(change: &Change) -> Refusal {
    let what = match change {
        Change::PutEntity { entity, .. } => entity.key.to_string(),
        Change::RemoveEntity { previous } => previous.key.to_string(),
        Change::PutRelation { relation, .. } => relation.key.from.to_string(),
        Change::RemoveRelation { previous } => previous.key.from.to_string(),
        Change::SetNode { path, .. } | Change::RemoveNode { path, .. } => path.to_string(),
        Change::Restore { .. } => "everything".into(),
    };
    Refusal::Denied(format!("you may not change {what}, or not so"))
}

struct Judge<'a> {
    snapshot: &'a Snapshot,
    authority: &'a Authority,
}

impl Judge<'_> {
    fn must(&self, holds: bool, verb: &str, what: &dyn std::fmt::Display) -> Result<(), Refusal> {
        if holds {
            return Ok(());
        }
        Err(Refusal::Denied(format!("you may not {verb} {what}")))
    }

    fn sees(&self, key: &EntityRef) -> Result<(), Refusal> {
        let seen = self.authority.sees.covers_in(self.snapshot, key);
        self.must(seen, "see", key)
    }

    fn changes(&self, key: &EntityRef) -> Result<(), Refusal> {
        self.sees(key)?;
        let may = self.authority.changes.covers_in(self.snapshot, key);
        self.must(may, "change", key)
    }

    /// For what may not be there yet. Whose it will be is judged by what comes of it; whose it is now, here.
    fn makes(&self, key: &EntityRef) -> Result<(), Refusal> {
        let nobodys = self
            .snapshot
            .entity(key)
            .is_none_or(|entity| entity.is_placeholder());
        if nobodys && could_cover(&self.authority.changes, key) {
            return Ok(());
        }
        self.changes(key)
    }

    fn sees_or_makes(&self, key: &EntityRef) -> Result<(), Refusal> {
        self.sees(key).or_else(|refusal| {
            let absent = self.snapshot.entity(key).is_none();
            if absent && could_cover(&self.authority.changes, key) {
                Ok(())
            } else {
                Err(refusal)
            }
        })
    }

    fn sees_path(&self, path: &Path) -> Result<(), Refusal> {
        match Place::of(path) {
            Place::Entity(key) => self.sees_or_makes(&key),
            Place::Section => {
                let seen = self.authority.sees.covers_section(path.section());
                self.must(seen, "see", path)
            }
            Place::Whole => self.must(self.authority.sees.is_everything(), "see all of", path),
        }
    }

    fn changes_path(&self, path: &Path) -> Result<(), Refusal> {
        match Place::of(path) {
            Place::Entity(key) => self.makes(&key),
            Place::Section => {
                let may = self.authority.changes.covers_section(path.section());
                self.must(may, "change", path)
            }
            // No whole section of typed bodies can be written, whoever asks; that is said where it is planned.
            Place::Whole => Ok(()),
        }
    }
}

/// Whether some owner could make what has this name one's own.
fn could_cover(reach: &Reach, key: &EntityRef) -> bool {
    match reach {
        Reach::Everything => true,
        Reach::Within(scopes) => scopes
            .iter()
            .any(|scope| scope.covers(key, scope.owner.as_deref())),
    }
}

/// What a path leads into.
enum Place {
    Entity(EntityRef),
    Section,
    Whole,
}

impl Place {
    fn of(path: &Path) -> Self {
        let Some(section) = TypedSection::of(path) else {
            return Self::Section;
        };
        match path.parts().get(1) {
            Some(Part::Key(name)) => Name::parse("path", name).map_or(Self::Whole, |name| {
                Self::Entity(EntityRef::new(section.kind(), name))
            }),
            _ => Self::Whole,
        }
    }
}

/// What a service says to somebody: its dependencies are those on what they may see.
pub(super) fn spec_seen(
    snapshot: &Snapshot,
    authority: Option<&Authority>,
    entity: &Entity,
) -> ServiceSpec {
    let mut spec = snapshot.service_spec(entity);
    if let Some(authority) = authority {
        spec.dependencies.retain(|d| {
            let key = EntityRef::service(d.service.clone());
            authority.sees.covers_in(snapshot, &key)
        });
    }
    spec
}

/// What stands at a path for somebody. See [`Snapshot::node`].
pub(crate) fn node_seen(
    snapshot: &Snapshot,
    authority: Option<&Authority>,
    path: &Path,
) -> Result<Value, Lost> {
    let Some(authority) = authority else {
        return snapshot.node(path);
    };
    let service = match Place::of(path) {
        Place::Entity(key) if key.is_service() => snapshot.entity(&key),
        Place::Entity(_) | Place::Section | Place::Whole => None,
    };
    let Some(service) = service.filter(|service| !service.is_placeholder()) else {
        return snapshot.node(path);
    };
    // As it would be read in a graph that holds nothing else.
    let mut alone = Snapshot::new();
    let spec = spec_seen(snapshot, Some(authority), service);
    alone.put_entity(service.clone());
    for dependency in &spec.dependencies {
        let to = EntityRef::service(dependency.service.clone());
        let key = RelationKey {
            from: service.key.clone(),
            label: Label::depends_on(),
            to,
        };
        if let (Some(to), Some(relation)) = (snapshot.entity(&key.to), snapshot.relation(&key)) {
            alone.put_entity(to.clone());
            let _ = alone.put_relation(&relation, 0);
        }
    }
    alone.node(path)
}

impl Planner<'_> {
    /// What a service says to the caller.
    pub(super) fn spec_seen(&self, entity: &Entity) -> ServiceSpec {
        spec_seen(&self.draft, self.authority, entity)
    }

    /// Whether the caller may see it.
    pub(super) fn sees(&self, key: &EntityRef) -> bool {
        self.authority
            .is_none_or(|authority| authority.sees.covers_in(&self.draft, key))
    }

    /// Relations by their names, and how many more there are that start or end at what the caller may not see.
    pub(super) fn tell(&self, keys: impl Iterator<Item = RelationKey>) -> (Vec<String>, usize) {
        let (seen, hidden): (Vec<_>, Vec<_>) =
            keys.partition(|key| self.sees(&key.from) && self.sees(&key.to));
        let mut names: Vec<String> = seen.iter().map(ToString::to_string).collect();
        names.sort();
        (names, hidden.len())
    }
}

/// What is said of who is in the way and may not be named.
pub(crate) fn unnamed(hidden: usize) -> String {
    match hidden {
        0 => String::new(),
        hidden => format!(", {hidden} of which you may not see"),
    }
}
