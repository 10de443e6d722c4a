//! A pattern as a picture, and a run drawn over it: each step in the color of how it is doing.

use std::collections::BTreeMap;

use super::run::Run;
use crate::limits::PICTURE_ENTITIES;
use crate::model::{EntityRef, Health, Kind, Label, Name, PatternBody};
use crate::query::{Picture, PictureEdge, PictureNode, QueryError, StepLook};

/// The steps of a pattern, and of a run of it. Lines lead from a step to those that wait for it, and are called `then`.
///
/// # Errors
/// More than [`PICTURE_ENTITIES`] steps.
pub fn picture(pattern: &PatternBody, run: Option<&Run>) -> Result<Picture, QueryError> {
    if pattern.steps.len() > PICTURE_ENTITIES {
        return Err(QueryError::PictureTooLarge(pattern.steps.len()));
    }
    // A pattern that was never checked may hold ids that are no names, and the same one twice.
    let steps: BTreeMap<Name, _> = pattern
        .steps
        .iter()
        .filter_map(|step| Some((Name::parse("id", &step.id).ok()?, step)))
        .collect();
    let (Ok(kind), Ok(then)) = (Kind::parse("kind", "step"), Label::parse("label", "then")) else {
        return Ok(Picture::default());
    };
    let places: BTreeMap<&str, usize> = steps.keys().map(Name::as_str).zip(0..).collect();
    let state = |id: &str| {
        let run = run?;
        Some(run.steps().get(run.plan().place(id)?)?.state)
    };
    let nodes = steps.iter().map(|(id, step)| PictureNode {
        key: EntityRef::new(kind.clone(), id.clone()),
        category: step.class.clone(),
        health: Health::Unknown,
        placeholder: false,
        step: Some(StepLook {
            kind: step.kind.as_str().into(),
            state: state(id.as_str()),
        }),
    });
    let mut edges = Vec::new();
    for (to, step) in steps.values().enumerate() {
        for id in &step.depends_on {
            edges.extend(places.get(id.as_str()).map(|from| (*from, to)));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    let edge = |(from, to)| PictureEdge {
        from,
        to,
        label: then.clone(),
    };
    Ok(Picture {
        nodes: nodes.collect(),
        edges: edges.into_iter().map(edge).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Failure, Plan, RunFacts, What};
    use super::*;
    use crate::query::{dot, mermaid};
    use crate::testing::nexus::patterns::{pattern, types};
    use std::sync::Arc;

    const FLOW: &str = r#"{"steps":[{"id":"pay","type":"grpc","target":"shop","action":"a","parameters":{"request":{}},"depends_on":["look","look"]},
        {"id":"look","type":"pass"}]}"#;

    #[test]
    fn a_pattern_is_drawn_in_the_order_of_its_steps() {
        let drawn = picture(&pattern(FLOW).body, None).expect("small");
        assert_eq!(
            mermaid(&drawn),
            "flowchart LR\n    n0(\"look #40;pass#41;\")\n    n1(\"pay #40;grpc#41;\")\n    n0 --> n1\n"
        );
    }

    #[test]
    fn a_run_is_drawn_over_its_pattern() {
        let flow = pattern(FLOW);
        let plan = Plan::of(&flow, &types()).expect("a plan");
        let mut run = Run::begin(Arc::new(plan), RunFacts::default());
        let failure = Failure::new("UNAVAILABLE", "gone");
        for what in [
            What::RunStarted,
            What::StepStarted {
                step: 1,
                attempt: 1,
            },
            What::StepFailed { step: 1, failure },
        ] {
            run.apply(&run.line(1, 5, what)).expect("the next line");
        }
        let drawn = picture(&flow.body, Some(&run)).expect("small");
        let text = mermaid(&drawn);
        assert!(text.contains("n0(\"look #40;pass#41;: failed\")"), "{text}");
        assert!(
            text.contains(
                "classDef step_failed fill:#fbe0de,stroke:#cb4b16\n    class n0 step_failed"
            ),
            "{text}"
        );
        let text = dot(&drawn);
        assert!(
            text.contains(
                "label=\"pay (grpc): pending\", style=\"filled,rounded\", fillcolor=\"#ffffff\""
            ),
            "{text}"
        );
        let json = drawn.json();
        assert!(
            json.contains("\"state\": \"failed\"") && json.contains("\"relation\": \"then\""),
            "{json}"
        );
    }
}
