//! Patterns: multi-step workflows that run across services. Here only what they say; running them is not the graph's.

use super::name::Name;
use super::service::Faults;
use super::value::Object;
use crate::error::Fault;
use crate::limits::LIST_ENTRIES;

/// One node of a pattern's graph of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Its id within the pattern.
    pub id: String,
    /// What kind of step it is.
    pub kind: String,
    /// What it acts on: `service/name`, a method, a query.
    pub target: String,
    /// Ids of the steps that must have succeeded before it.
    pub depends_on: Vec<String>,
    /// Its arguments.
    pub parameters: Object,
}

/// The typed body of a pattern.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatternBody {
    /// What it is for.
    pub description: String,
    /// Its version, free text.
    pub version: String,
    /// A group of patterns.
    pub category: String,
    /// Who answers for it.
    pub owner: String,
    /// Where it comes from: `system` or `user`, free text.
    pub origin: String,
    /// Whether it may be run.
    pub active: bool,
    /// Its steps, in the order given.
    pub steps: Vec<Step>,
}

/// Everything that a pattern's definition says.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternSpec {
    /// Its name.
    pub name: Name,
    /// Its typed body.
    pub body: PatternBody,
    /// Anything else.
    pub metadata: Object,
}

impl PatternSpec {
    /// Everything that is wrong with it by itself.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        let body = &self.body;
        for (field, text) in [
            ("description", &body.description),
            ("version", &body.version),
            ("category", &body.category),
            ("owner", &body.owner),
            ("origin", &body.origin),
        ] {
            faults.text(field, text);
        }
        faults.count("steps", body.steps.len(), LIST_ENTRIES);
        for (i, step) in body.steps.iter().enumerate() {
            let at = |field: &str| format!("steps[{i}].{field}");
            if step.id.is_empty() {
                faults.list.push(Fault::new(at("id"), "must not be empty"));
            }
            faults.text(&at("id"), &step.id);
            faults.text(&at("type"), &step.kind);
            faults.text(&at("target"), &step.target);
            faults.texts(&at("depends_on"), &step.depends_on);
            faults.keep(super::relation::check_properties(
                &at("parameters"),
                &step.parameters,
            ));
        }
        faults.keep(super::relation::check_properties(
            "metadata",
            &self.metadata,
        ));
        faults.list
    }
}
