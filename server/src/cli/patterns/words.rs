//! States, durations, and how a run ended, in words.

use std::cmp::Reverse;

use amadeus_proto::v1::{Run, RunLine, RunState, StepState, StepStatus};
use prost_types::Timestamp;

use crate::cli::table;

/// How a run is doing, in one word.
pub fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Unspecified => "unknown",
        RunState::RunQueued => "queued",
        RunState::RunRunning => "running",
        RunState::RunCompensating => "compensating",
        RunState::RunSucceeded => "succeeded",
        RunState::RunFailed => "failed",
        RunState::RunCancelled => "cancelled",
    }
}

/// Whether nothing will change a run any more.
pub fn has_ended(state: RunState) -> bool {
    matches!(
        state,
        RunState::RunSucceeded | RunState::RunFailed | RunState::RunCancelled
    )
}

/// How a step is doing.
pub fn step_state(state: StepState) -> &'static str {
    match state {
        StepState::Unspecified => "unknown",
        StepState::StepPending => "pending",
        StepState::StepRunning => "running",
        StepState::StepRetrying => "retrying",
        StepState::StepSucceeded => "succeeded",
        StepState::StepFailed => "failed",
        StepState::StepSkipped => "skipped",
        StepState::StepCancelled => "cancelled",
        StepState::StepCompensating => "compensating",
        StepState::StepCompensated => "compensated",
        StepState::StepCompensationFailed => "compensation failed",
    }
}

/// `850 ms`, `12.3 s`, `5 min 2 s`.
pub fn duration(ms: f64) -> String {
    if ms < 1_000.0 {
        return format!("{ms:.0} ms");
    }
    let seconds = ms / 1_000.0;
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let minutes = (seconds / 60.0).floor();
    format!(
        "{minutes:.0} min {:.0} s",
        (seconds - minutes * 60.0).floor()
    )
}

/// From one moment to another, if both are known.
pub fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> String {
    let ms = |t: &Timestamp| t.seconds as f64 * 1_000.0 + f64::from(t.nanos) / 1e6;
    match (from, to) {
        (Some(from), Some(to)) => duration((ms(to) - ms(from)).max(0.0)),
        _ => String::new(),
    }
}

/// A line of a timeline: `  3  +120 ms  charge  step_retrying, attempt 1: UNAVAILABLE: no connection`.
pub fn line(line: &RunLine, began: Option<&Timestamp>) -> String {
    let since = between(began, line.time.as_ref());
    let about = match (line.step.as_str(), line.index) {
        ("", _) => String::new(),
        (step, None) => format!("{step}  "),
        (step, Some(index)) => format!("{step}[{index}]  "),
    };
    let attempt = match line.attempt {
        0 => String::new(),
        attempt => format!(", attempt {attempt}"),
    };
    let why = [line.code.as_str(), line.message.as_str()];
    let why: Vec<&str> = why.into_iter().filter(|word| !word.is_empty()).collect();
    let why = match why.is_empty() {
        true => String::new(),
        false => format!(": {}", why.join(": ")),
    };
    table::visible(&format!(
        "{:>5}  {:>10}  {about}{}{attempt}{why}",
        line.seq,
        format!("+{since}"),
        line.what.replace('_', " ")
    ))
}

/// The beginning of what stands in a table: whoever wants all of it asks for JSON.
pub fn shortened(text: &str) -> String {
    const LETTERS: usize = 100;
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// How a run ended, where it did not succeed: which step, after how many attempts, why, and what became of what had been done.
pub fn ending(run: &Run) -> String {
    // What succeeded last is undone first. Of two that succeeded within one millisecond, the later in the definition is told first.
    let when = |s: &&StepStatus| s.ended.map(|t| (t.seconds, t.nanos));
    let mut last_first: Vec<&StepStatus> = run.steps.iter().rev().collect();
    last_first.sort_by_key(|s| Reverse(when(s)));
    let named = |states: &[StepState]| {
        let has = |s: &&StepStatus| states.contains(&s.state());
        let ids = |steps: Vec<&StepStatus>| {
            let ids: Vec<&str> = steps.into_iter().map(|s| s.id.as_str()).collect();
            ids.join(", ")
        };
        if states == [StepState::StepCompensated] {
            ids(last_first.iter().copied().filter(has).collect())
        } else {
            ids(run.steps.iter().filter(has).collect())
        }
    };
    let mut text = format!("the run {} {}", run.id, run_state(run.state()));
    let failed: Vec<&StepStatus> = run
        .steps
        .iter()
        .filter(|s| s.state() == StepState::StepFailed)
        .collect();
    if failed.is_empty() && !run.message.is_empty() {
        text += &format!(": {}", reason(&run.code, &run.message));
    }
    for step in failed {
        text += &format!(
            "\n  step {} failed after {}: {}",
            step.id,
            table::count(step.attempts as usize, "attempt", "attempts"),
            reason(&step.code, &step.message)
        );
    }
    for (what, states) in [
        ("undone", &[StepState::StepCompensated][..]),
        (
            "could not be undone, and somebody has to look",
            &[StepState::StepCompensationFailed],
        ),
        ("has nothing that undoes it", &[StepState::StepSucceeded]),
        ("did not run", &[StepState::StepSkipped]),
        ("was cut", &[StepState::StepCancelled]),
    ] {
        let steps = named(states);
        if !steps.is_empty() {
            text += &format!("\n  {what}: {steps}");
        }
    }
    table_lines(&text)
}

fn reason(code: &str, message: &str) -> String {
    match (code, message) {
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    }
}

/// Each line by itself without control characters.
fn table_lines(text: &str) -> String {
    text.lines()
        .map(table::visible)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, state: StepState) -> StepStatus {
        StepStatus {
            id: id.into(),
            state: state.into(),
            ..StepStatus::default()
        }
    }

    #[test]
    fn a_failure_names_its_step_its_attempts_and_what_was_undone() {
        let failed = StepStatus {
            attempts: 3,
            code: "UNAVAILABLE".into(),
            message: "no connection".into(),
            ..step("charge", StepState::StepFailed)
        };
        let run = Run {
            id: "r1".into(),
            state: RunState::RunFailed.into(),
            code: "UNAVAILABLE".into(),
            message: "step charge failed".into(),
            steps: vec![
                step("reserve", StepState::StepCompensated),
                step("label", StepState::StepCompensationFailed),
                failed,
                step("ship", StepState::StepSkipped),
            ],
            ..Run::default()
        };
        assert_eq!(
            ending(&run),
            "the run r1 failed\n  step charge failed after 3 attempts: UNAVAILABLE: no connection\n  undone: reserve\n  \
             could not be undone, and somebody has to look: label\n  did not run: ship"
        );
    }

    #[test]
    fn what_was_undone_is_told_in_the_order_of_the_undoing() {
        let undone = |id: &str, seconds| StepStatus {
            ended: Some(Timestamp { seconds, nanos: 0 }),
            ..step(id, StepState::StepCompensated)
        };
        let run = Run {
            id: "r1".into(),
            state: RunState::RunFailed.into(),
            steps: vec![undone("b", 2), undone("c", 3), undone("a", 1)],
            ..Run::default()
        };
        assert_eq!(ending(&run), "the run r1 failed\n  undone: c, b, a");
    }

    #[test]
    fn a_line_of_a_timeline_says_when_what_and_why() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        let told = RunLine {
            seq: 3,
            time: Some(at(12)),
            what: "step_retrying".into(),
            step: "charge".into(),
            attempt: 1,
            code: "UNAVAILABLE".into(),
            message: "no connection".into(),
            ..RunLine::default()
        };
        assert_eq!(
            line(&told, Some(&at(10))),
            "    3      +2.0 s  charge  step retrying, attempt 1: UNAVAILABLE: no connection"
        );
    }

    #[test]
    fn durations_are_as_exact_as_they_are_short() {
        for (ms, text) in [
            (0.0, "0 ms"),
            (850.0, "850 ms"),
            (12_340.0, "12.3 s"),
            (302_000.0, "5 min 2 s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
