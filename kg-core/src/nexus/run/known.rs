//! What references stand for in a run.

use super::super::reference::{Found, Lookup, Reference, Root, RunFact};
use super::super::state::StepState;
use super::state::Run;
use crate::model::Value;

impl Lookup for Run {
    fn find(&self, reference: &Reference) -> Found {
        let text = |text: &str| Found::Value(Value::string(text));
        match &reference.root {
            Root::Input(name) => self
                .facts
                .inputs
                .get(name)
                .map_or(Found::Nothing, |value| Found::below(value, &reference.path)),
            Root::Result(id) => self
                .plan
                .place(id)
                .and_then(|step| self.steps[step].result.as_ref())
                .map_or(Found::Nothing, |value| Found::below(value, &reference.path)),
            Root::State(id) => self
                .plan
                .place(id)
                .map_or(Found::Nothing, |step| text(word(self.steps[step].state))),
            Root::Run(fact) => match fact {
                RunFact::Id => text(&self.facts.id),
                RunFact::Pattern => text(&self.plan.pattern),
                RunFact::Actor => text(&self.facts.actor),
                RunFact::CorrelationId => text(&self.facts.correlation),
                RunFact::StartedMs => whole(self.facts.started_ms),
                RunFact::GraphRevision => whole(self.facts.graph_revision),
            },
            Root::Item | Root::Index => Found::Later,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "times and revisions stay below 2^53 for longer than anything that counts them"
)]
fn whole(number: u64) -> Found {
    Found::Value(Value::Number(number as f64))
}

/// The state as conditions write it. A step that is being undone had succeeded, and whoever asked before then was told so: what
/// a run was called with must not change after it.
fn word(state: StepState) -> &'static str {
    match state {
        StepState::Compensating | StepState::Compensated | StepState::CompensationFailed => {
            StepState::Succeeded.as_str()
        }
        other => other.as_str(),
    }
}
