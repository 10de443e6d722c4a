//! What is wrong with a definition that is to run, in the words of the wire.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::model::{Kind, PatternSpec};
use kg_core::nexus::StepTypes;
use kg_core::snapshot::Snapshot;

/// What came of a check.
#[derive(Default)]
pub(super) struct Checked {
    /// Everything, in the order of the definition.
    pub(super) faults: Vec<v1::PatternFault>,
    /// The order in which its steps can begin.
    pub(super) levels: Vec<v1::StepLevel>,
}

impl Checked {
    /// Of what could not even be read.
    pub(super) fn of_faults(faults: Vec<Fault>) -> Self {
        let fault = |fault: Fault| v1::PatternFault {
            path: fault.field,
            reason: fault.reason,
            warning: false,
        };
        Self {
            faults: faults.into_iter().map(fault).collect(),
            levels: Vec::new(),
        }
    }

    /// What keeps it from being registered.
    pub(super) fn errors(&self) -> Vec<Fault> {
        let errors = self.faults.iter().filter(|fault| !fault.warning);
        errors
            .map(|fault| Fault::new(fault.path.clone(), fault.reason.clone()))
            .collect()
    }
}

/// Holds a definition against the types of steps that there are, and against the graph as its author sees it.
pub(super) fn checked(types: &StepTypes, spec: &PatternSpec, seen: &Snapshot) -> Checked {
    let patterns = |name: &str| {
        let entity = seen.find(Kind::pattern().as_str(), name)?;
        entity.pattern().cloned()
    };
    let services = |name: &str| seen.service(name).is_some_and(|e| !e.is_placeholder());
    let mut faults: Vec<v1::PatternFault> = Vec::new();
    for fault in kg_core::nexus::check(spec, types, &patterns, &services) {
        let path = Fault::new(fault.path, "").under("pattern").field;
        // What is wrong by itself is not told again for what follows from it.
        if faults.iter().all(|told| told.warning || told.path != path) {
            faults.push(v1::PatternFault {
                path,
                reason: fault.reason,
                warning: fault.warning,
            });
        }
    }
    let steps = &spec.body.steps;
    let level = |level: Vec<usize>| v1::StepLevel {
        steps: level.into_iter().map(|i| steps[i].id.clone()).collect(),
    };
    let levels = kg_core::nexus::levels(spec).unwrap_or_default();
    Checked {
        faults,
        levels: levels.into_iter().map(level).collect(),
    }
}
