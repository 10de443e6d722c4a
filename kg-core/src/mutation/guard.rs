//! Preconditions: what must hold for a transaction to commit.
//!
//! Those about revisions and existence are judged before the mutations, those about the graph's shape after them. The
//! latter visit entities, up to a bound counted in entities and never in time, so that every server decides alike.

use super::plan::{node_seen, unnamed};
use super::transaction::Precondition;
use crate::access::Authority;
use crate::error::Refusal;
use crate::limits::GUARD_VISITS;
use crate::model::path::Path;
use crate::model::{EntityId, EntityRef, Label, RelationKey};
use crate::snapshot::{Snapshot, TypedSection};

/// Judges what must hold before the mutations.
pub(super) fn before(
    snapshot: &Snapshot,
    preconditions: &[Precondition],
    authority: Option<&Authority>,
) -> Result<(), Refusal> {
    contradictions(preconditions)?;
    for precondition in preconditions {
        match precondition {
            Precondition::EntityExists(key) => must(snapshot.entity(key).is_some(), || {
                format!("{key} must exist")
            })?,
            Precondition::EntityAbsent(key) => must(snapshot.entity(key).is_none(), || {
                format!("{key} must be absent")
            })?,
            Precondition::RelationExists(key) => must(snapshot.relation(key).is_some(), || {
                format!("the relation {key} must exist")
            })?,
            Precondition::RelationAbsent(key) => must(snapshot.relation(key).is_none(), || {
                format!("the relation {key} must be absent")
            })?,
            Precondition::EntityAt { key, revision } => {
                at(&key.to_string(), *revision, entity_revision(snapshot, key))?;
            }
            Precondition::RelationAt { key, revision } => {
                at(
                    &format!("relation {key}"),
                    *revision,
                    snapshot.relation(key).map(|r| r.modified_revision),
                )?;
            }
            Precondition::NodeAt { path, revision: 0 } => {
                let stands = node_seen(snapshot, authority, path).is_ok();
                must_not_stand(&format!("path {path}"), stands)?;
            }
            Precondition::NodeAt { path, revision } => at(
                &format!("path {path}"),
                *revision,
                holder_revision(snapshot, path),
            )?,
            Precondition::DocumentEquals { path, value } => {
                let found = node_seen(snapshot, authority, path).ok();
                must(found.as_ref() == Some(value), || match &found {
                    Some(found) => format!(
                        "{path} must equal {}, but is {}",
                        short(&value.to_json()),
                        short(&found.to_json())
                    ),
                    None => format!(
                        "{path} must equal {}, but is absent",
                        short(&value.to_json())
                    ),
                })?;
            }
            Precondition::NoPath { .. }
            | Precondition::NoDependents(_)
            | Precondition::Acyclic(_) => {}
        }
    }
    Ok(())
}

/// Judges what must hold after the mutations.
///
/// Who is in the way is named to those who may see them, and counted for the others.
pub(super) fn after(
    snapshot: &Snapshot,
    preconditions: &[Precondition],
    authority: Option<&Authority>,
) -> Result<(), Refusal> {
    let is_seen = |key: &EntityRef| authority.is_none_or(|a| a.sees.covers_in(snapshot, key));
    // Whoever is told of what is hidden is judged by it; to others no way leads through it.
    let is_met = |id: u32| {
        let Some(authority) = authority.filter(|a| !a.knows_of_hidden) else {
            return true;
        };
        let entity = snapshot.by_id(EntityId::new(id));
        entity.is_some_and(|entity| authority.sees.covers_entity(entity))
    };
    let mut visits = Visits(GUARD_VISITS);
    // Said twice it is looked at once: the look passes every entity, which the visits do not count.
    let mut acyclic_already = std::collections::HashSet::new();
    for precondition in preconditions {
        match precondition {
            Precondition::NoPath { from, to, label } => {
                no_path(snapshot, from, to, label, &mut visits, is_met)?
            }
            Precondition::NoDependents(key) => no_dependents(snapshot, key, is_seen)?,
            Precondition::Acyclic(label) if acyclic_already.insert(label) => {
                acyclic(snapshot, label, &mut visits, is_met, is_seen)?;
            }
            Precondition::Acyclic(_) => {}
            Precondition::EntityExists(_)
            | Precondition::EntityAbsent(_)
            | Precondition::EntityAt { .. }
            | Precondition::RelationAt { .. }
            | Precondition::NodeAt { .. }
            | Precondition::RelationExists(_)
            | Precondition::RelationAbsent(_)
            | Precondition::DocumentEquals { .. } => {}
        }
    }
    Ok(())
}

/// Two preconditions that can never hold together are a mistake of the caller, not a state of the graph.
fn contradictions(preconditions: &[Precondition]) -> Result<(), Refusal> {
    use std::collections::HashMap;
    let mut entities: HashMap<&EntityRef, (usize, bool, Option<u64>)> = HashMap::new();
    let mut relations: HashMap<&RelationKey, (usize, bool)> = HashMap::new();
    let clash = |i: usize, j: usize, what: String| {
        Err(Refusal::invalid(
            format!("preconditions[{i}]"),
            format!("contradicts preconditions[{j}]: {what}"),
        ))
    };
    for (i, precondition) in preconditions.iter().enumerate() {
        let entity = match precondition {
            Precondition::EntityExists(key) => Some((key, true, None)),
            Precondition::EntityAbsent(key) => Some((key, false, None)),
            Precondition::EntityAt { key, revision } => {
                Some((key, *revision > 0, (*revision > 0).then_some(*revision)))
            }
            _ => None,
        };
        if let Some((key, exists, revision)) = entity {
            match entities.get(key) {
                Some((j, other, _)) if *other != exists => {
                    return clash(i, *j, format!("{key} cannot both exist and be absent"));
                }
                Some((j, _, Some(other))) if revision.is_some_and(|r| r != *other) => {
                    return clash(i, *j, format!("{key} cannot be at two revisions"));
                }
                _ => drop(entities.insert(key, (i, exists, revision))),
            }
        }
        let relation = match precondition {
            Precondition::RelationExists(key) => Some((key, true)),
            Precondition::RelationAbsent(key) => Some((key, false)),
            Precondition::RelationAt { key, revision } => Some((key, *revision > 0)),
            _ => None,
        };
        if let Some((key, exists)) = relation {
            match relations.get(key) {
                Some((j, other)) if *other != exists => {
                    return clash(i, *j, format!("{key} cannot both exist and be absent"));
                }
                _ => drop(relations.insert(key, (i, exists))),
            }
        }
        if let Precondition::DocumentEquals { path, value } = precondition {
            let earlier = preconditions[..i].iter().position(|p| matches!(p, Precondition::DocumentEquals { path: p, value: v } if p == path && v != value));
            if let Some(j) = earlier {
                return clash(i, j, format!("{path} cannot equal two values"));
            }
        }
    }
    Ok(())
}

fn must(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds {
        Ok(())
    } else {
        Err(Refusal::Precondition {
            reason: reason(),
            blockers: Vec::new(),
        })
    }
}

fn short(text: &str) -> String {
    const MOST: usize = 80;
    if text.len() <= MOST {
        text.to_owned()
    } else {
        format!("{}...", text.chars().take(MOST).collect::<String>())
    }
}

fn must_not_stand(what: &str, stands: bool) -> Result<(), Refusal> {
    if stands {
        return Err(Refusal::AlreadyExists(what.to_owned()));
    }
    Ok(())
}

fn at(what: &str, expected: u64, actual: Option<u64>) -> Result<(), Refusal> {
    match (expected, actual) {
        (0, actual) => must_not_stand(what, actual.is_some()),
        (expected, Some(actual)) if expected == actual => Ok(()),
        (expected, actual) => Err(Refusal::RevisionMismatch {
            what: what.to_owned(),
            expected,
            actual,
        }),
    }
}

/// A placeholder has not registered: for whoever expects a service at a revision it is absent.
fn entity_revision(snapshot: &Snapshot, key: &EntityRef) -> Option<u64> {
    snapshot
        .entity(key)
        .filter(|e| !e.is_placeholder())
        .map(|e| e.modified_revision)
}

/// The revision of what holds a node, whether the node itself exists or not: so two writers of one section that both read
/// it before cannot both succeed.
fn holder_revision(snapshot: &Snapshot, path: &Path) -> Option<u64> {
    match (TypedSection::of(path), path.parts().get(1)) {
        (Some(section), Some(crate::model::Part::Key(name))) => snapshot
            .find(section.kind().as_str(), name)
            .filter(|e| !e.is_placeholder())
            .map(|e| e.modified_revision),
        (Some(_), _) => Some(snapshot.revision()),
        (None, _) => snapshot.section_revision(path.section()),
    }
}

struct Visits(usize);

impl Visits {
    fn take(&mut self, guard: &str) -> Result<(), Refusal> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| {
            Refusal::Exhausted(format!("the precondition {guard} was cut short after {GUARD_VISITS} entities, and so refuses"))
        })?;
        Ok(())
    }
}

fn no_path(
    snapshot: &Snapshot,
    from: &EntityRef,
    to: &EntityRef,
    label: &Label,
    visits: &mut Visits,
    is_met: impl Fn(u32) -> bool,
) -> Result<(), Refusal> {
    let (Some(from_entity), Some(to_entity), Some(relations)) = (
        snapshot.entity(from),
        snapshot.entity(to),
        snapshot.relations(label.as_str()),
    ) else {
        return Ok(());
    };
    let mut seen = vec![false; snapshot.id_bound() as usize];
    let mut waiting = vec![from_entity.id];
    while let Some(id) = waiting.pop() {
        visits.take("no_path")?;
        let mut met = false;
        relations.adjacency().outgoing(id).for_each(|next| {
            met |= next == to_entity.id.get();
            if !std::mem::replace(&mut seen[next as usize], true) && is_met(next) {
                waiting.push(EntityId::new(next));
            }
        });
        if met {
            let reason = format!("a path of {label} leads from {from} to {to}");
            return Err(Refusal::Precondition {
                reason,
                blockers: Vec::new(),
            });
        }
    }
    Ok(())
}

fn no_dependents(
    snapshot: &Snapshot,
    key: &EntityRef,
    is_seen: impl Fn(&EntityRef) -> bool,
) -> Result<(), Refusal> {
    let (Some(entity), Some(relations)) = (snapshot.entity(key), snapshot.relations("depends_on"))
    else {
        return Ok(());
    };
    let (mut blockers, mut hidden) = (Vec::new(), 0);
    relations.adjacency().incoming(entity.id).for_each(|from| {
        match snapshot.by_id(EntityId::new(from)) {
            Some(from) if is_seen(&from.key) => blockers.push(from.key.to_string()),
            Some(_) => hidden += 1,
            None => {}
        }
    });
    blockers.sort();
    let all = blockers.len() + hidden;
    if all == 0 {
        return Ok(());
    }
    Err(Refusal::Precondition {
        reason: format!("{all} entities depend on {key}{}", unnamed(hidden)),
        blockers,
    })
}

/// Depth-first with three colours; the way that closes a cycle is told.
fn acyclic(
    snapshot: &Snapshot,
    label: &Label,
    visits: &mut Visits,
    is_met: impl Fn(u32) -> bool,
    is_seen: impl Fn(&EntityRef) -> bool,
) -> Result<(), Refusal> {
    const WHITE: u8 = 0;
    const GREY: u8 = 1;
    const BLACK: u8 = 2;
    let Some(relations) = snapshot.relations(label.as_str()) else {
        return Ok(());
    };
    let mut colour = vec![WHITE; snapshot.id_bound() as usize];
    let adjacency = relations.adjacency();
    let targets = |id: u32| {
        let mut found = Vec::new();
        adjacency.outgoing(EntityId::new(id)).for_each(|to| {
            if is_met(to) {
                found.push(to);
            }
        });
        found
    };
    for start in 0..snapshot.id_bound() {
        let leads_nowhere = adjacency.outgoing(EntityId::new(start)).is_empty();
        if colour[start as usize] != WHITE || leads_nowhere || !is_met(start) {
            continue;
        }
        let mut way: Vec<(u32, Vec<u32>)> = vec![(start, targets(start))];
        colour[start as usize] = GREY;
        visits.take("acyclic")?;
        while let Some((here, rest)) = way.last_mut() {
            let Some(next) = rest.pop() else {
                colour[*here as usize] = BLACK;
                way.pop();
                continue;
            };
            match colour[next as usize] {
                WHITE => {
                    visits.take("acyclic")?;
                    colour[next as usize] = GREY;
                    way.push((next, targets(next)));
                }
                GREY => {
                    let from = way.iter().position(|(id, _)| *id == next).unwrap_or(0);
                    let ids = way[from..].iter().map(|(id, _)| *id).chain([next]);
                    let cycle: Vec<&EntityRef> = ids
                        .filter_map(|id| snapshot.by_id(EntityId::new(id)))
                        .map(|entity| &entity.key)
                        .collect();
                    let reason = if cycle.iter().all(|key| is_seen(key)) {
                        format!("{label} has a cycle")
                    } else {
                        format!("{label} has a cycle, of which you may not see all")
                    };
                    let seen = cycle.into_iter().filter(|key| is_seen(key));
                    return Err(Refusal::Precondition {
                        reason,
                        blockers: seen.map(ToString::to_string).collect(),
                    });
                }
                _ => {}
            }
        }
    }
    Ok(())
}
