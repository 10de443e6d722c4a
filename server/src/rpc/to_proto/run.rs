//! Runs, their steps and their timelines, onto the wire.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::nexus::{Line, Run, RunState, StepState, StepStatus, What};
use prost::Message as _;

use super::{count, object, timestamp, value};
use crate::nexus::rows::{About, RunRow};
use crate::nexus::runs::child_id;
use crate::storage::ServerId;

/// A run as the rows list it: without inputs, outputs and steps.
#[must_use]
pub fn listed(row: &RunRow) -> v1::Run {
    v1::Run {
        id: row.id.to_string(),
        state: state(row.state).into(),
        message: row.message.clone(),
        code: row.code.clone(),
        ended: row.ended_ms.map(timestamp),
        epoch: row.epoch,
        server: server(row.server, row.ended_ms.is_some()),
        last_seq: row.last_seq,
        steps_done: row.steps_done,
        ..of_about(&row.about)
    }
}

/// A run as its journal tells it; `whole`: with inputs, outputs and steps. Epoch and server are for whoever knows them.
#[must_use]
pub fn run(about: &About, run: &Run, whole: bool) -> v1::Run {
    let failure = run.failure();
    let succeeded = run.state() == RunState::Succeeded;
    let steps = || (0..run.steps().len()).map(|at| step(run, at)).collect();
    v1::Run {
        id: run.facts().id.to_string(),
        state: state(run.state()).into(),
        message: failure.map_or_else(String::new, |failure| failure.message.to_string()),
        code: failure.map_or_else(String::new, |failure| failure.code.to_string()),
        inputs: whole.then(|| object(&run.facts().inputs)),
        outputs: (whole && succeeded).then(|| object(run.outputs())),
        steps: if whole { steps() } else { Vec::new() },
        ended: run.ended_ms().map(timestamp),
        last_seq: run.last_seq(),
        steps_done: count(run.settled()),
        ..of_about(about)
    }
}

/// Leaves out of a run what does not fit into so many bytes, the largest results first, and names it. A run may hold far more than
/// a message, and whoever asks for it should be told all the rest.
pub fn fit(run: &mut v1::Run, room: usize) {
    let mut bytes = run.encoded_len();
    if bytes <= room {
        return;
    }
    let mut results: Vec<(usize, usize)> = (0..)
        .zip(&run.steps)
        .filter_map(|(at, step)| Some((step.result.as_ref()?.encoded_len(), at)))
        .collect();
    results.sort_unstable_by(|a, b| b.cmp(a));
    for (size, at) in results {
        if bytes <= room {
            return;
        }
        let step = &mut run.steps[at];
        step.result = None;
        let name = format!("steps.{}.result", step.id);
        bytes = (bytes + name.len() + 8).saturating_sub(size);
        run.left_out.push(name);
    }
    for (name, member) in [("outputs", &mut run.outputs), ("inputs", &mut run.inputs)] {
        if bytes > room
            && let Some(left_out) = member.take()
        {
            bytes = (bytes + name.len() + 8).saturating_sub(left_out.encoded_len());
            run.left_out.push(name.to_owned());
        }
    }
}

/// The server that carries a run out, as an opaque word.
#[must_use]
pub fn server(server: ServerId, ended: bool) -> String {
    if ended {
        String::new()
    } else {
        server.to_string()
    }
}

fn of_about(about: &About) -> v1::Run {
    v1::Run {
        pattern: about.pattern.to_string(),
        pattern_version: about.pattern_version.clone(),
        pattern_revision: about.pattern_revision,
        graph_revision: about.graph_revision,
        actor: about.actor.to_string(),
        reason: about.reason.clone(),
        correlation_id: about.correlation.to_string(),
        created: Some(timestamp(about.created_ms)),
        parent_run: about.parent.to_string(),
        parent_step: about.parent_step.to_string(),
        steps_total: about.steps_total,
        ..v1::Run::default()
    }
}

fn step(run: &Run, at: usize) -> v1::StepStatus {
    let (planned, status) = (&run.plan().steps[at], &run.steps()[at]);
    let failure = status.undo_failure.as_ref().or(status.failure.as_ref());
    let why = || status.why.as_deref().unwrap_or_default();
    let child = planned.call.kind.name == "pattern" && status.attempts > 0;
    v1::StepStatus {
        id: planned.id.to_string(),
        r#type: planned.call.kind.name.to_owned(),
        state: step_state(status).into(),
        attempts: status.attempts,
        result: status.result.as_ref().map(value),
        message: failure
            .map_or_else(why, |failure| &failure.message)
            .to_owned(),
        code: failure.map_or_else(String::new, |failure| failure.code.to_string()),
        started: status.started_ms.map(timestamp),
        ended: status.ended_ms.map(timestamp),
        idempotency_key: run.key(at).to_string(),
        compensation_attempts: status.undo_attempts,
        child_run: if child {
            child_id(&run.key(at), status.attempts).to_string()
        } else {
            String::new()
        },
    }
}

/// A line of a timeline, from the run after it.
#[must_use]
pub fn line(after: &Run, line: &Line) -> v1::RunLine {
    let what = &line.what;
    let step = what.step();
    let failure = what.failure();
    let index = match what {
        What::ItemSucceeded { index, .. } => Some(*index),
        _ => None,
    };
    let message = match what {
        What::StepSkipped { why, .. } => why.to_string(),
        What::TakenOver { server } => format!("by the server {server}"),
        What::CancelAsked { actor, reason } if reason.is_empty() => format!("by {actor}"),
        What::CancelAsked { actor, reason } => format!("by {actor}: {reason}"),
        _ => failure.map_or_else(String::new, |failure| failure.message.to_string()),
    };
    v1::RunLine {
        seq: line.seq,
        time: Some(timestamp(line.time_ms)),
        what: what.word().to_owned(),
        step: step.map_or_else(String::new, |at| after.plan().steps[at].id.to_string()),
        attempt: what.attempt().unwrap_or_default(),
        index,
        message,
        code: failure.map_or_else(String::new, |failure| failure.code.to_string()),
        run_state: state(after.state()).into(),
        step_state: step.map_or(0, |at| step_state(&after.steps()[at]).into()),
        epoch: line.epoch,
    }
}

/// A state of a run.
#[must_use]
pub fn state(state: RunState) -> v1::RunState {
    match state {
        RunState::Queued => v1::RunState::RunQueued,
        RunState::Running => v1::RunState::RunRunning,
        RunState::Compensating => v1::RunState::RunCompensating,
        RunState::Succeeded => v1::RunState::RunSucceeded,
        RunState::Failed => v1::RunState::RunFailed,
        RunState::Cancelled => v1::RunState::RunCancelled,
    }
}

/// The same, the other way.
///
/// # Errors
/// A number that is none.
pub fn state_of(number: i32) -> Result<RunState, Fault> {
    let all = [
        RunState::Queued,
        RunState::Running,
        RunState::Compensating,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Cancelled,
    ];
    let found = all.into_iter().find(|one| i32::from(state(*one)) == number);
    found.ok_or_else(|| {
        Fault::new(
            "states",
            format!("holds {number}, which is no state of a run"),
        )
    })
}

fn step_state(status: &StepStatus) -> v1::StepState {
    match status.state {
        StepState::Pending => v1::StepState::StepPending,
        StepState::Running => v1::StepState::StepRunning,
        StepState::Retrying => v1::StepState::StepRetrying,
        StepState::Succeeded => v1::StepState::StepSucceeded,
        StepState::Failed => v1::StepState::StepFailed,
        StepState::Skipped => v1::StepState::StepSkipped,
        StepState::Cancelled => v1::StepState::StepCancelled,
        StepState::Compensating => v1::StepState::StepCompensating,
        StepState::Compensated => v1::StepState::StepCompensated,
        StepState::CompensationFailed => v1::StepState::StepCompensationFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_named_the_largest_first() {
        let text = |bytes: usize| prost_types::Value::from("x".repeat(bytes));
        let step = |id: &str, bytes| v1::StepStatus {
            id: id.into(),
            result: Some(text(bytes)),
            ..Default::default()
        };
        let whole = v1::Run {
            id: "r".into(),
            steps: vec![step("a", 100), step("b", 2_000), step("c", 1_000)],
            outputs: Some(prost_types::Struct {
                fields: [("o".to_owned(), text(500))].into(),
            }),
            ..Default::default()
        };
        let fitted = |room| {
            let mut run = whole.clone();
            fit(&mut run, room);
            assert!(run.encoded_len() <= room, "{room}");
            run.left_out
        };
        assert!(fitted(10_000).is_empty());
        assert_eq!(fitted(2_000), ["steps.b.result"]);
        assert_eq!(fitted(1_000), ["steps.b.result", "steps.c.result"]);
        assert_eq!(fitted(200).last().map(String::as_str), Some("outputs"));
    }
}
