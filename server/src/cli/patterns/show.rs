//! A pattern for people: what it is given, what it does, what it gives back, and how it has run.

use amadeus_proto::v1::{
    Pattern, PatternInput, PatternOutput, PatternStatistics, PatternStep, RetryPolicy,
    pattern_step::Join,
};

use super::words;
use crate::cli::{literal, table};

/// What a definition says.
pub fn definition(pattern: &Pattern) -> String {
    let bound = |n: u32| if n == 0 { String::new() } else { n.to_string() };
    let classes: Vec<String> = pattern
        .classes
        .iter()
        .map(|(class, most)| format!("{class}: {most}"))
        .collect();
    let about = table::record(&[
        ("name", pattern.name.clone()),
        ("description", pattern.description.clone()),
        ("version", pattern.version.clone()),
        ("category", pattern.category.clone()),
        ("owner", pattern.owner.clone()),
        ("origin", pattern.origin.clone()),
        ("active", pattern.active.to_string()),
        ("runs at once", bound(pattern.max_runs)),
        ("steps at once", bound(pattern.max_parallel)),
        ("classes", classes.join(", ")),
        ("timeout", milliseconds(pattern.timeout_ms)),
        (
            "metadata",
            literal::shown_properties(pattern.metadata.as_ref()),
        ),
    ]);
    about
        + &table::section(
            "Inputs",
            &["NAME", "TYPE", "REQUIRED", "DEFAULT", "DESCRIPTION"],
            pattern.inputs.iter().map(input).collect(),
        )
        + &table::section(
            "Steps",
            &[
                "ID",
                "TYPE",
                "TARGET",
                "ACTION",
                "AFTER",
                "RETRIES",
                "UNDONE BY",
            ],
            pattern.steps.iter().map(step).collect(),
        )
        + &table::section(
            "Outputs",
            &["NAME", "TYPE", "VALUE", "DESCRIPTION"],
            pattern.outputs.iter().map(output).collect(),
        )
}

fn kind(kind: &str) -> String {
    match kind {
        "" => "any".to_owned(),
        kind => kind.to_owned(),
    }
}

fn input(input: &PatternInput) -> Vec<String> {
    vec![
        input.name.clone(),
        kind(&input.r#type),
        if input.required { "yes" } else { "no" }.to_owned(),
        input
            .default
            .as_ref()
            .map(literal::shown)
            .unwrap_or_default(),
        input.description.clone(),
    ]
}

fn output(output: &PatternOutput) -> Vec<String> {
    vec![
        output.name.clone(),
        kind(&output.r#type),
        output
            .value
            .as_ref()
            .map(literal::shown)
            .unwrap_or_default(),
        output.description.clone(),
    ]
}

fn step(step: &PatternStep) -> Vec<String> {
    let after = match (step.join(), step.depends_on.join(", ")) {
        (Join::Any, after) => format!("any of {after}"),
        (Join::All, after) => after,
    };
    let undo = step.compensation.as_ref();
    let undo = undo.map(|undo| {
        let words = [undo.r#type.as_str(), &undo.target, &undo.action];
        words
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    });
    vec![
        step.id.clone(),
        step.r#type.clone(),
        step.target.clone(),
        step.action.clone(),
        after,
        step.retry.as_ref().map(retries).unwrap_or_default(),
        undo.unwrap_or_default(),
    ]
}

fn retries(retry: &RetryPolicy) -> String {
    match retry.max_attempts {
        0 | 1 => String::new(),
        attempts => format!("{attempts} attempts"),
    }
}

fn milliseconds(ms: u32) -> String {
    match ms {
        0 => String::new(),
        ms => words::duration(f64::from(ms)),
    }
}

/// How a pattern has run.
pub fn statistics(statistics: &PatternStatistics) -> String {
    let ended = statistics.succeeded + statistics.failed + statistics.cancelled;
    let average = (ended > 0).then(|| {
        format!(
            "{} on average, {} to {}",
            words::duration(statistics.total_ms / f64::from(ended)),
            words::duration(statistics.min_ms),
            words::duration(statistics.max_ms)
        )
    });
    let last = statistics.last_used.as_ref().map(ToString::to_string);
    let about = table::record(&[
        ("runs", statistics.usage_count.to_string()),
        ("succeeded", statistics.succeeded.to_string()),
        ("failed", statistics.failed.to_string()),
        ("cancelled", statistics.cancelled.to_string()),
        ("took", average.unwrap_or_default()),
        ("last begun", last.unwrap_or_default()),
    ]);
    format!("\nRuns\n{about}")
}
