//! Why the oracle refuses, and whether a refusal of the graph says the same.

use crate::error::Refusal;
use std::collections::BTreeSet;

/// The transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// It breaks a rule by itself.
    Invalid,
    /// It names what does not exist.
    NotFound,
    /// It wanted this not to exist.
    AlreadyExists,
    /// It expected another revision, where this is the revision found.
    Mismatch(Option<u64>),
    /// A precondition on the state does not hold; who is in the way.
    Precondition(Vec<String>),
    /// There is a cycle of these relations. Which one is told is not fixed.
    Cycle(BTreeSet<(String, String)>),
}

impl No {
    /// Whether a refusal is of this kind, and names those who are in the way.
    #[must_use]
    pub fn agrees(&self, refusal: &Refusal) -> bool {
        match (self, refusal) {
            (Self::Invalid, Refusal::Invalid(faults)) => !faults.is_empty(),
            (Self::NotFound, Refusal::NotFound(_))
            | (Self::AlreadyExists, Refusal::AlreadyExists(_)) => true,
            (Self::Mismatch(found), Refusal::RevisionMismatch { actual, .. }) => found == actual,
            (Self::Precondition(expected), Refusal::Precondition { blockers, .. }) => {
                expected == blockers
            }
            (Self::Cycle(relations), Refusal::Precondition { blockers, .. }) => {
                let leads =
                    |pair: &[String]| relations.contains(&(pair[0].clone(), pair[1].clone()));
                blockers.len() > 1
                    && blockers.first() == blockers.last()
                    && blockers.windows(2).all(leads)
            }
            _ => false,
        }
    }
}
