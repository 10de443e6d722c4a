//! Runs: begun, listed, shown, cancelled.

use amadeus_proto::v1::{
    CancelRunRequest, ExecutePatternRequest, GetPatternRequest, GetRunRequest, GetRunResponse,
    ListRunsRequest, Pattern, Run, RunState, StepStatus,
};
use serde_json::Value;

use super::{
    command::{CancelArgs, GetRunArgs, RunArgs, RunListArgs, State},
    follow::{Shown, to_the_end},
    words,
};
use crate::cli::{
    args::ListArgs, failure::CliError, literal, out, render, session::Session, table,
};

pub async fn run(session: &mut Session, args: RunArgs) -> Result<(), CliError> {
    let inputs = inputs(session, &args).await?;
    let request = ExecutePatternRequest {
        pattern: args.name,
        inputs: literal::properties(&inputs)?,
        wait: false,
        correlation_id: args.correlation,
        pattern_revision: args.expect,
        request_id: args.write.request_id.clone(),
        reason: args.write.reason,
    };
    let send = async |r| session.nexus().execute_pattern(r).await;
    let reply = session.write(&args.write.request_id, request, send).await?;
    let begun = reply.run.clone().unwrap_or_default();
    if args.no_wait {
        return session.show(&reply, |_| {
            format!("the run {} has begun\n", table::visible(&begun.id))
        });
    }
    let shown = match (args.follow, out::is_terminal()) {
        (true, _) => Shown::Everything,
        (false, true) => Shown::LinesAndEnd,
        (false, false) => Shown::End,
    };
    to_the_end(session, &begun.id, 0, shown).await
}

/// What the run is given: the file, and over it what was given one by one. Where the pattern says that something is text, it is taken
/// as text, whatever it looks like.
async fn inputs(session: &Session, args: &RunArgs) -> Result<Vec<(String, Value)>, CliError> {
    let mut inputs = match &args.file {
        Some(file) => members(&literal::text_of(file)?)?,
        None => Vec::new(),
    };
    if args.inputs.is_empty() {
        return Ok(inputs);
    }
    let request = GetPatternRequest {
        name: args.name.clone(),
        consistency: None,
    };
    let send = async |r| session.nexus().get_pattern(r).await;
    let pattern = session.call(request, send).await?.pattern;
    let pattern = pattern.unwrap_or_default();
    for (name, value) in &args.inputs {
        inputs.retain(|(given, _)| given != name);
        inputs.push((name.clone(), meant(&pattern, name, value)));
    }
    Ok(inputs)
}

fn meant(pattern: &Pattern, name: &str, value: &Value) -> Value {
    let is_text =
        |input: &amadeus_proto::v1::PatternInput| input.name == name && input.r#type == "string";
    match value {
        Value::Number(_) | Value::Bool(_) if pattern.inputs.iter().any(is_text) => {
            Value::String(value.to_string())
        }
        other => other.clone(),
    }
}

/// The members of an object, JSON or YAML.
fn members(text: &str) -> Result<Vec<(String, Value)>, CliError> {
    let wrong = |why: String| CliError::Usage(format!("the inputs are no object: {why}"));
    match serde_yaml_ng::from_str(text).map_err(|error| wrong(error.to_string()))? {
        Value::Object(members) => Ok(members.into_iter().collect()),
        Value::Null => Ok(Vec::new()),
        other => Err(wrong(other.to_string())),
    }
}

pub async fn list(session: &mut Session, args: RunListArgs) -> Result<(), CliError> {
    let request = ListRunsRequest {
        pattern: args.pattern,
        states: args
            .states
            .into_iter()
            .map(|state| RunState::from(state).into())
            .collect(),
        actor: args.actor,
        correlation_id: args.correlation,
        parent_run: args.parent,
        ..ListRunsRequest::default()
    };
    let limit = ListArgs {
        limit: Some(args.limit),
    };
    let send = async |r| session.nexus().list_runs(r).await;
    let reply = session.list(request, &limit, send).await?;
    session.show(&reply, |reply| {
        let heading = ["ID", "PATTERN", "STATE", "STEPS", "BEGUN", "TOOK", "BY", ""];
        table::columns(&heading, reply.runs.iter().map(row))
    })?;
    if out::is_terminal() {
        let more = match reply.next_page_token.is_empty() {
            true => "",
            false => "; more with --limit",
        };
        let count = table::count(reply.runs.len(), "run", "runs");
        out::note(&format!("{count}{more}"));
    }
    Ok(())
}

fn row(run: &Run) -> Vec<String> {
    vec![
        run.id.clone(),
        run.pattern.clone(),
        words::run_state(run.state()).to_owned(),
        format!("{}/{}", run.steps_done, run.steps_total),
        run.created
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        words::between(run.created.as_ref(), run.ended.as_ref()),
        run.actor.clone(),
        run.message.clone(),
    ]
}

impl From<State> for RunState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::RunQueued,
            State::Running => Self::RunRunning,
            State::Compensating => Self::RunCompensating,
            State::Succeeded => Self::RunSucceeded,
            State::Failed => Self::RunFailed,
            State::Cancelled => Self::RunCancelled,
        }
    }
}

pub async fn get(session: &mut Session, args: GetRunArgs) -> Result<(), CliError> {
    let reply = one(session, &args.id, args.timeline).await?;
    session.show(&reply, |reply| {
        let run = reply.run.clone().unwrap_or_default();
        let mut text = about(&run);
        if !reply.timeline.is_empty() {
            text += "\nTimeline\n";
            for line in &reply.timeline {
                text += &words::line(line, run.created.as_ref());
                text.push('\n');
            }
        }
        text
    })
}

/// One run, as it is now.
pub async fn one(session: &Session, id: &str, timeline: bool) -> Result<GetRunResponse, CliError> {
    let request = GetRunRequest {
        run_id: id.to_owned(),
        timeline,
    };
    let send = async |r| session.nexus().get_run(r).await;
    session.call(request, send).await
}

/// A run for people.
pub fn about(run: &Run) -> String {
    let moment =
        |time: Option<&prost_types::Timestamp>| time.map(ToString::to_string).unwrap_or_default();
    let step = |step: &StepStatus| {
        let told = match &step.result {
            Some(result) => literal::shown(result),
            None if step.code.is_empty() => step.message.clone(),
            None => format!("{}: {}", step.code, step.message),
        };
        vec![
            step.id.clone(),
            step.r#type.clone(),
            words::step_state(step.state()).to_owned(),
            step.attempts.to_string(),
            words::between(step.started.as_ref(), step.ended.as_ref()),
            words::shortened(&told),
        ]
    };
    let taken_over = match run.epoch {
        0 | 1 => String::new(),
        epoch => table::count(epoch as usize - 1, "time", "times"),
    };
    table::record(&[
        ("run", run.id.clone()),
        ("pattern", run.pattern.clone()),
        ("version", run.pattern_version.clone()),
        ("state", words::run_state(run.state()).to_owned()),
        ("code", run.code.clone()),
        ("message", run.message.clone()),
        ("begun", moment(run.created.as_ref())),
        ("ended", moment(run.ended.as_ref())),
        ("by", run.actor.clone()),
        ("reason", run.reason.clone()),
        ("correlation", run.correlation_id.clone()),
        ("graph", format!("at revision {}", run.graph_revision)),
        ("taken over", taken_over),
        ("inputs", literal::shown_properties(run.inputs.as_ref())),
        ("outputs", literal::shown_properties(run.outputs.as_ref())),
        ("left out", run.left_out.join(", ")),
    ]) + &table::section(
        "Steps",
        &["ID", "TYPE", "STATE", "ATTEMPTS", "TOOK", "RESULT"],
        run.steps.iter().map(step).collect(),
    )
}

pub async fn cancel(session: &mut Session, args: CancelArgs) -> Result<(), CliError> {
    let request = CancelRunRequest {
        run_id: args.id,
        reason: args.reason,
    };
    let send = async |r| session.nexus().cancel_run(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| {
        let run = reply.run.clone().unwrap_or_default();
        let state = words::run_state(run.state());
        let asked = if words::has_ended(run.state()) {
            "has ended"
        } else {
            "is asked to end"
        };
        format!("the run {} {asked}: {state}\n", table::visible(&run.id))
    })
}

/// For programs the reply, for people the run; and an error unless it succeeded.
pub async fn show_end(session: &mut Session, id: &str, shown: bool) -> Result<(), CliError> {
    let reply = one(session, id, false).await?;
    let run = reply.run.clone().unwrap_or_default();
    if shown {
        session.show(&reply, |_| about(&run))?;
    }
    session.out.flush()?;
    match run.state() {
        RunState::RunSucceeded => Ok(()),
        _ => Err(CliError::Stopped(words::ending(&run))),
    }
}

/// A tree of what a run said, for whoever follows as a program.
pub fn as_line(line: &amadeus_proto::v1::RunLine) -> Result<String, CliError> {
    render::json_line(&render::tree(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use amadeus_proto::v1::PatternInput;

    #[test]
    fn what_the_pattern_calls_text_is_text_whatever_it_looks_like() {
        let pattern = Pattern {
            inputs: vec![PatternInput {
                name: "order".into(),
                r#type: "string".into(),
                ..PatternInput::default()
            }],
            ..Pattern::default()
        };
        assert_eq!(meant(&pattern, "order", &4711.into()), Value::from("4711"));
        assert_eq!(meant(&pattern, "count", &3.into()), Value::from(3));
    }

    #[test]
    fn inputs_are_an_object_in_either_form() {
        let both = ["a: 1\nb: [x]\n", r#"{"a": 1, "b": ["x"]}"#];
        for text in both {
            let members = members(text).expect("an object");
            assert_eq!(members.len(), 2, "{text}");
        }
        assert!(members("[1]").is_err());
    }
}
