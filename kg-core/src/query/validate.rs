//! Validate: what in the graph deserves somebody's attention.

use super::budget::Budget;
use super::cycles::cycles;
use super::patterns::acts_on;
use super::prune::emptiness;
use crate::limits::NAMED_IN_ERRORS;
use crate::model::{Dependency, Entity, EntityId, EntityRef, Kind, Label, PatternBody};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Wrong.
    Error,
    /// Probably a mistake.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing that deserves attention. Ordered worst first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for programs: a stable word.
    pub code: &'static str,
    /// What it is about.
    pub entity: EntityRef,
    /// What it is, for people.
    pub message: String,
}

/// Everything that deserves attention, worst first, then by code and entity. Cost: O(entities + dependencies).
#[must_use]
pub fn validate(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    placeholders(snapshot, &mut findings);
    dependency_cycles(snapshot, &mut findings);
    for (kind, look) in [
        (
            Kind::service(),
            service as fn(&Snapshot, &Entity, &mut Vec<Finding>),
        ),
        (Kind::pattern(), pattern),
    ] {
        snapshot
            .names(&kind, None, false)
            .filter_map(|name| snapshot.find(kind.as_str(), name.as_str()))
            .for_each(|entity| look(snapshot, entity, &mut findings));
    }
    findings.sort();
    findings
}

fn found(severity: Severity, code: &'static str, entity: &EntityRef, message: String) -> Finding {
    Finding {
        severity,
        code,
        entity: entity.clone(),
        message,
    }
}

/// `a, b and 3 more`.
fn listed<T: ToString>(items: &[T]) -> String {
    let named: Vec<String> = items
        .iter()
        .take(NAMED_IN_ERRORS)
        .map(ToString::to_string)
        .collect();
    match items.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn placeholders(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let depends_on = Label::depends_on();
    for entity in snapshot
        .indexes()
        .placeholders
        .iter()
        .filter_map(|name| snapshot.service(name.as_str()))
    {
        let (mut needed_by, mut optional) = (Vec::new(), true);
        if let Some(relations) = snapshot.relations(depends_on.as_str()) {
            relations.adjacency().incoming(entity.id).for_each(|from| {
                let from = EntityId::new(from);
                let edge = relations.edge(from, entity.id);
                if let (Some(edge), Some(user)) = (edge, snapshot.by_id(from)) {
                    let name = entity.key.name.clone();
                    optional &= Dependency::from_relation(name, &edge.properties).optional;
                    needed_by.push(user.key.clone());
                }
            });
        }
        needed_by.sort();
        let needed = match needed_by.as_slice() {
            [] => String::new(),
            users => format!("; needed by {}", listed(users)),
        };
        let severity = if optional {
            Severity::Note
        } else {
            Severity::Warning
        };
        findings.push(found(
            severity,
            "placeholder",
            &entity.key,
            format!("has not registered{needed}"),
        ));
    }
}

fn dependency_cycles(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    // Without limits, so there is nothing to refuse.
    let all = cycles(snapshot, &Label::depends_on(), &Budget::unlimited()).unwrap_or_default();
    for members in all.cycles {
        if let Some(first) = members.first() {
            findings.push(found(
                Severity::Warning,
                "dependency_cycle",
                first,
                format!(
                    "stands in a cycle of {} that need each other: {}",
                    members.len(),
                    listed(&members)
                ),
            ));
        }
    }
}

fn service(snapshot: &Snapshot, entity: &Entity, findings: &mut Vec<Finding>) {
    let Some(body) = entity.service() else {
        return;
    };
    versions(snapshot, entity, findings);
    let says_nothing = emptiness(entity).is_some() && !snapshot.has_outgoing(entity.id);
    if says_nothing {
        let message = "is registered without anything but its name".to_owned();
        findings.push(found(Severity::Note, "empty_service", &entity.key, message));
        return;
    }
    let lacks: Vec<&str> = [
        (body.category.is_empty(), "category"),
        (body.version.is_empty(), "version"),
        (body.owner.is_empty(), "owner"),
        (body.capabilities.is_empty(), "capability"),
        (body.health_check.is_empty(), "health check"),
    ]
    .into_iter()
    .filter_map(|(missing, what)| missing.then_some(what))
    .collect();
    if !lacks.is_empty() {
        let message = format!("does not say its {}", lacks.join(", "));
        findings.push(found(Severity::Note, "incomplete", &entity.key, message));
    }
}

fn versions(snapshot: &Snapshot, entity: &Entity, findings: &mut Vec<Finding>) {
    for dependency in snapshot.dependencies(entity) {
        let Some(target) = snapshot.service(dependency.service.as_str()) else {
            continue;
        };
        let Some(offered) = target.service().map(|body| body.version.as_str()) else {
            continue;
        };
        let wanted = dependency.version.as_str();
        if wanted.is_empty() || satisfies(offered, wanted) {
            continue;
        }
        let (severity, code, message) = if offered.is_empty() {
            let message = format!(
                "needs {} {wanted}, which does not say its version",
                target.key
            );
            (Severity::Note, "version_unknown", message)
        } else {
            let message = format!("needs {} {wanted}, which is {offered}", target.key);
            (Severity::Warning, "version_mismatch", message)
        };
        findings.push(found(severity, code, &entity.key, message));
    }
}

/// Whether a version is the wanted one, or one of its line: `v2.3.1` satisfies `2.3`. A wanted text that is not a plain
/// version (`^1.2`, `latest`) is not judged.
fn satisfies(offered: &str, wanted: &str) -> bool {
    let plain = |version: &str| version.trim().trim_start_matches(['v', 'V']).to_owned();
    let (offered, wanted) = (plain(offered), plain(wanted));
    if !wanted.starts_with(|c: char| c.is_ascii_digit())
        || wanted.contains([' ', ',', '|', '*', 'x'])
    {
        return true;
    }
    offered
        .strip_prefix(&wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
}

fn pattern(snapshot: &Snapshot, entity: &Entity, findings: &mut Vec<Finding>) {
    let Some(body) = entity.pattern() else {
        return;
    };
    let mut add = |severity, code, message| {
        findings.push(found(severity, code, &entity.key, message));
    };
    if body.steps.is_empty() {
        add(Severity::Note, "empty_pattern", "has no steps".to_owned());
        return;
    }
    let mut ids = BTreeSet::new();
    for step in &body.steps {
        if !ids.insert(step.id.as_str()) {
            let message = format!("has more than one step {:?}", step.id);
            add(Severity::Error, "step_repeated", message);
        }
    }
    for step in &body.steps {
        for other in &step.depends_on {
            if !ids.contains(other.as_str()) {
                let message = format!(
                    "step {:?} waits for {other:?}, which is no step of it",
                    step.id
                );
                add(Severity::Error, "step_missing", message);
            }
        }
        for target in acts_on(step) {
            match target.entity(snapshot) {
                None => add(
                    Severity::Warning,
                    "step_target_missing",
                    format!(
                        "step {:?} acts on {:?}, which does not exist",
                        step.id, target.text
                    ),
                ),
                Some(target) if target.is_placeholder() => add(
                    Severity::Warning,
                    "step_target_missing",
                    format!(
                        "step {:?} acts on {}, which has not registered",
                        step.id, target.key
                    ),
                ),
                Some(_) => {}
            }
        }
    }
    let stuck = stuck_steps(body);
    if !stuck.is_empty() {
        let message = format!(
            "steps that wait for each other can never start: {}",
            listed(&stuck)
        );
        add(Severity::Error, "step_cycle", message);
    }
}

/// Steps that can never start because they wait, through others, for themselves. What can start is taken away until
/// nothing can; steps that only wait for such a cycle are stuck with it.
fn stuck_steps(body: &PatternBody) -> Vec<String> {
    let mut waits_for: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut waiting: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for step in &body.steps {
        waits_for.entry(&step.id).or_default();
    }
    for step in &body.steps {
        for other in step
            .depends_on
            .iter()
            .filter(|o| body.steps.iter().any(|s| s.id == **o))
        {
            waits_for.entry(&step.id).or_default().insert(other);
            waiting.entry(other).or_default().push(&step.id);
        }
    }
    let mut ready: Vec<&str> = waits_for
        .iter()
        .filter(|(_, others)| others.is_empty())
        .map(|(id, _)| *id)
        .collect();
    while let Some(id) = ready.pop() {
        waits_for.remove(id);
        for after in waiting.remove(id).into_iter().flatten() {
            if let Some(others) = waits_for.get_mut(after)
                && others.remove(id)
                && others.is_empty()
            {
                ready.push(after);
            }
        }
    }
    waits_for.into_keys().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_satisfies_its_own_line() {
        for (offered, wanted) in [
            ("1.2.3", "1.2.3"),
            ("v2.3.1", "2.3"),
            ("2", "v2"),
            ("1.0.0-rc1", "1.0.0"),
        ] {
            assert!(satisfies(offered, wanted), "{offered} for {wanted}");
        }
        for (offered, wanted) in [("v1", "v2"), ("1.20", "1.2"), ("", "1"), ("2.0", "2.0.1")] {
            assert!(!satisfies(offered, wanted), "{offered} for {wanted}");
        }
        assert!(satisfies("1.0", "^2"), "a range is not judged");
    }
}
