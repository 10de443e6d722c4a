//! The types of step that there are, by name.

use super::step_type::StepType;
use std::collections::BTreeMap;

/// Types of step by name. Who provides them lists them.
#[derive(Clone, Debug, Default)]
pub struct StepTypes(BTreeMap<&'static str, &'static StepType>);

impl StepTypes {
    /// These types.
    pub fn of(types: impl IntoIterator<Item = &'static StepType>) -> Self {
        Self(types.into_iter().map(|one| (one.name, one)).collect())
    }

    /// The type of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'static StepType> {
        self.0.get(name).copied()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}
