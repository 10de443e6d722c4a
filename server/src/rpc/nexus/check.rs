//! What is wrong with a definition that is to run, in the words of the wire.

use std::collections::HashSet;

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::model::Kind;
use kg_core::nexus::StepTypes;
use kg_core::snapshot::Snapshot;

use crate::rpc::from_proto;

/// What came of a check.
#[derive(Default)]
pub(super) struct Checked {
    /// Everything, in the order of the definition.
    pub(super) faults: Vec<v1::PatternFault>,
    /// The order in which its steps can begin.
    pub(super) levels: Vec<v1::StepLevel>,
}

impl Checked {
    /// What keeps it from being registered.
    pub(super) fn errors(&self) -> Vec<Fault> {
        let errors = self.faults.iter().filter(|fault| !fault.warning);
        errors
            .map(|fault| Fault::new(fault.path.clone(), fault.reason.clone()))
            .collect()
    }
}

/// Holds a definition against the types of steps that there are, and against the graph as its author sees it. Everything is told at
/// once: also what follows where a field could not even be read.
pub(super) fn checked(types: &StepTypes, given: &v1::Pattern, seen: &Snapshot) -> Checked {
    let (spec, unread) = from_proto::read_pattern(given);
    let patterns = |name: &str| {
        let entity = seen.find(Kind::pattern().as_str(), name)?;
        entity.pattern().cloned()
    };
    let services = |name: &str| seen.service(name).is_some_and(|e| !e.is_placeholder());
    let mut told = Told::default();
    for fault in unread {
        told.add(&fault.field, fault.reason, false);
    }
    for fault in kg_core::nexus::check(&spec, types, &patterns, &services) {
        told.add(&fault.path, fault.reason, fault.warning);
    }
    let steps = &spec.body.steps;
    let level = |level: Vec<usize>| v1::StepLevel {
        steps: level.into_iter().map(|i| steps[i].id.clone()).collect(),
    };
    let levels = kg_core::nexus::levels(&spec).unwrap_or_default();
    Checked {
        faults: told.faults,
        levels: levels.into_iter().map(level).collect(),
    }
}

/// What was told so far. What is wrong by itself is not told again for what follows from it.
#[derive(Default)]
struct Told {
    faults: Vec<v1::PatternFault>,
    paths: HashSet<String>,
}

impl Told {
    fn add(&mut self, path: &str, reason: String, warning: bool) {
        let path = Fault::new(path, "").under("pattern").field;
        if !self.paths.contains(&path) {
            if !warning {
                self.paths.insert(path.clone());
            }
            self.faults.push(v1::PatternFault {
                path,
                reason,
                warning,
            });
        }
    }
}
