//! How many calls were answered, and how long they took.

use serde::Serialize;

use super::{
    command::BenchArgs,
    load::{Load, Operation},
};
use crate::cli::{failure::CliError, table};

/// What is shown.
#[derive(Serialize)]
pub struct Report {
    connections: u32,
    in_flight: u32,
    seconds: f64,
    operations: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
}

#[derive(Serialize)]
struct Row {
    operation: &'static str,
    calls: u64,
    errors: u64,
    per_second: f64,
    p50_us: u32,
    p90_us: u32,
    p99_us: u32,
    p99_9_us: u32,
    max_us: u32,
}

impl Report {
    pub fn new(args: &BenchArgs, mut load: Load) -> Self {
        let seconds = load.took.as_secs_f64();
        let named = [
            ("GetEntity", Operation::Read),
            ("PutEntity", Operation::Write),
        ];
        let operations = named
            .into_iter()
            .filter_map(|(name, operation)| {
                let latencies_us = load.latencies_us.remove(&operation).unwrap_or_default();
                let errors = load.errors.remove(&operation).unwrap_or(0);
                (errors > 0 || !latencies_us.is_empty())
                    .then(|| Row::new(name, latencies_us, errors, seconds))
            })
            .collect();
        Self {
            connections: args.connections,
            in_flight: args.in_flight,
            seconds,
            operations,
            first_error: load
                .first_error
                .map(|status| CliError::call(status).to_string()),
        }
    }

    pub fn table(&self) -> String {
        let ms = |us: u32| format!("{:.3}", f64::from(us) / 1_000.0);
        let row = |row: &Row| {
            vec![
                row.operation.to_owned(),
                row.calls.to_string(),
                row.errors.to_string(),
                format!("{:.0}", row.per_second),
                ms(row.p50_us),
                ms(row.p90_us),
                ms(row.p99_us),
                ms(row.p99_9_us),
                ms(row.max_us),
            ]
        };
        let heading = [
            "CALL",
            "ANSWERED",
            "FAILED",
            "PER SECOND",
            "P50 ms",
            "P90 ms",
            "P99 ms",
            "P99.9 ms",
            "MAX ms",
        ];
        let about = format!(
            "{} connections with {} calls in flight each, {:.1} s\n",
            self.connections, self.in_flight, self.seconds
        );
        about + &table::columns(&heading, self.operations.iter().map(row))
    }
}

impl Row {
    fn new(operation: &'static str, mut latencies_us: Vec<u32>, errors: u64, seconds: f64) -> Self {
        latencies_us.sort_unstable();
        let at = |per_mille| percentile(&latencies_us, per_mille);
        Self {
            operation,
            calls: latencies_us.len() as u64,
            errors,
            per_second: latencies_us.len() as f64 / seconds.max(f64::EPSILON),
            p50_us: at(500),
            p90_us: at(900),
            p99_us: at(990),
            p99_9_us: at(999),
            max_us: at(1_000),
        }
    }
}

/// The smallest value that at least this share of the values does not exceed (nearest rank). 0 for no values.
fn percentile(sorted: &[u32], per_mille: usize) -> u32 {
    let rank = (sorted.len() * per_mille).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::{super::load::Mix, *};

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<u32> = (1..=1_000).collect();
        for (per_mille, expected) in [
            (500, 500),
            (900, 900),
            (990, 990),
            (999, 999),
            (1_000, 1_000),
        ] {
            assert_eq!(percentile(&values, per_mille), expected);
        }
        assert_eq!(percentile(&[7], 500), 7);
        assert_eq!(percentile(&[7], 999), 7);
        assert_eq!(percentile(&[], 500), 0);
    }

    #[test]
    fn a_report_shows_only_what_was_called() {
        let load = Load {
            latencies_us: BTreeMap::from([(Operation::Read, vec![1_000, 2_000])]),
            took: Duration::from_secs(1),
            ..Load::default()
        };
        let args = BenchArgs {
            connections: 1,
            in_flight: 2,
            mix: Mix::Read,
            seconds: 1,
            entities: 1,
            keep: false,
        };
        let text = Report::new(&args, load).table();
        assert!(
            text.contains("GetEntity  2         0       2           1.000"),
            "{text}"
        );
        assert!(!text.contains("PutEntity"), "{text}");
    }
}
