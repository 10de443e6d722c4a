//! One thing that is wrong with a pattern, and the list that they are collected in.

use crate::error::Fault;

/// One thing that is wrong with a pattern, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault {
    /// Where, inside the pattern: `steps[2].depends_on[0]`.
    pub path: String,
    /// What, and what would be right.
    pub reason: String,
    /// Whether it may be registered all the same: what it names is not in the graph (yet).
    pub warning: bool,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Found(pub(super) Vec<PatternFault>);

impl Found {
    pub(super) fn fault(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.0.push(PatternFault {
            path: path.into(),
            reason: reason.into(),
            warning: false,
        });
    }

    pub(super) fn warning(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.0.push(PatternFault {
            path: path.into(),
            reason: reason.into(),
            warning: true,
        });
    }

    /// Faults of a part, which stands at `at`.
    pub(super) fn under(&mut self, at: &str, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            let Fault { field, reason } = fault.under(at);
            self.fault(field, reason);
        }
    }
}

/// What is wrong with the id of a step.
pub(super) fn bad_id(id: &str, dash: bool, most: usize) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (dash && c == '-');
    if id.len() > most {
        Some(format!(
            "has {} bytes, at most {most} are allowed",
            id.len()
        ))
    } else if id.is_empty() {
        Some("must not be empty".into())
    } else if !id.chars().all(fits) {
        let dash = if dash { " and `-`" } else { "" };
        Some(format!(
            "is {id:?}: only letters, digits, `_`{dash} are allowed"
        ))
    } else {
        None
    }
}
