//! What can go wrong with an input or a transaction, told to the person who must act.

use std::fmt;

/// One thing wrong with an input: which field, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field as the caller knows it, for example `service.dependencies[2].service`.
    pub field: String,
    /// What is wrong with it, in words that say what would be right.
    pub reason: String,
}

impl Fault {
    /// A fault of one field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same fault, seen from one level further out.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        if !parent.is_empty() {
            let joint = if self.field.is_empty() || self.field.starts_with('[') {
                ""
            } else {
                "."
            };
            self.field = format!("{parent}{joint}{}", self.field);
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

impl std::error::Error for Fault {}

/// Why a transaction was refused. A refused transaction leaves no trace. The variants differ where the caller would act
/// differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is malformed or breaks a rule of the model; repeating it cannot succeed.
    #[error("{}", list(.0))]
    Invalid(Vec<Fault>),
    /// Something that the request names does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The request wanted this not to exist.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// A precondition on a revision failed: read again and retry.
    #[error("{what} is at revision {}, not at {expected}: read it again and retry", actual.map_or("none (it is absent)".into(), |r| r.to_string()))]
    RevisionMismatch {
        /// What was expected at a revision.
        what: String,
        /// The revision that the caller expected.
        expected: u64,
        /// The revision at which it is; `None` when it is absent.
        actual: Option<u64>,
    },
    /// A precondition on the state failed, with who is in the way.
    #[error("{reason}{}", in_the_way(.blockers))]
    Precondition {
        /// What does not hold.
        reason: String,
        /// Who is in the way, sorted.
        blockers: Vec<String>,
    },
    /// The actor may not do that, whatever the state.
    #[error("{0}")]
    Denied(String),
    /// A bound was passed.
    #[error("{0}")]
    Exhausted(String),
    /// A bug: planning panicked. The cause is logged; the caller is told no more.
    #[error("internal error")]
    Internal(String),
}

impl Refusal {
    /// A refusal for one bad field.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault::new(field, reason)])
    }

    /// The same refusal, its fields seen from one level further out (`mutations[3]`).
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        match self {
            Self::Invalid(faults) => {
                Self::Invalid(faults.into_iter().map(|f| f.under(parent)).collect())
            }
            other => other,
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }
}

fn list(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn in_the_way(blockers: &[String]) -> String {
    use crate::limits::NAMED_IN_ERRORS;
    if blockers.is_empty() {
        return String::new();
    }
    let named = blockers
        .iter()
        .take(NAMED_IN_ERRORS)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match blockers.len().saturating_sub(NAMED_IN_ERRORS) {
        0 => format!(": {named}"),
        more => format!(": {named} and {more} more"),
    }
}
