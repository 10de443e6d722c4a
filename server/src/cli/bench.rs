//! The load generator: keeps a number of calls in flight over a number of connections, and says how many were answered and
//! how long each took.
//!
//! It is a closed loop: a slot makes its next call when the last is answered, so a stalled server is asked less, and the
//! percentiles flatter it. Give it more in flight before believing a tail.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use amadeus_proto::v1::{
    CommitRequest, DeleteEntityRequest, Entity, EntityRef, GetEntityRequest, Mutation,
    PutEntityRequest, graph_service_client::GraphServiceClient, mutation,
};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use prost_types::{Struct, Value, value::Kind};
use serde::Serialize;
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};

use super::{
    args::{Output, fresh_request_id},
    failure::CliError,
    session::{Session, dial},
    table,
};

const KIND: &str = "bench";

#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// TCP connections
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Calls in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: u32,
    /// What to call
    #[arg(long, value_enum, default_value_t = Mix::Mixed)]
    mix: Mix,
    /// For how long
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Among how many entities
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    entities: u32,
    /// Leave the entities in the graph
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mix {
    /// GetEntity
    Read,
    /// PutEntity, each a transaction of its own that changes something
    Write,
    /// Nine reads for each write
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Read,
    Write,
}

pub async fn run(session: &mut Session, addr: &str, args: BenchArgs) -> Result<(), CliError> {
    let names: Arc<[EntityRef]> = names(args.entities).into();
    commit(session, names.iter().map(put_first)).await?;
    let load = apply_load(addr, &args, &names).await;
    if !args.keep {
        commit(session, names.iter().map(delete)).await?;
    }
    let report = Report::new(&args, load?);
    let text = match session.output {
        Output::Table => report.table(),
        Output::Json => {
            serde_json::to_string_pretty(&report).map_err(|e| CliError::Reply(e.to_string()))?
        }
        Output::Yaml => {
            serde_yaml_ng::to_string(&report).map_err(|e| CliError::Reply(e.to_string()))?
        }
    };
    session.out.text(&text)?;
    match report.first_error {
        Some(error) => Err(CliError::Stopped(format!(
            "some calls failed, the first with {error}"
        ))),
        None => Ok(()),
    }
}

/// Names of this run alone, so that two runs at once do not meet.
fn names(count: u32) -> Vec<EntityRef> {
    let run = fresh_request_id();
    let named = |n: u32| EntityRef {
        kind: KIND.to_owned(),
        name: format!("{run}-{n:05}"),
    };
    (0..count).map(named).collect()
}

fn put_first(name: &EntityRef) -> mutation::Mutation {
    mutation::Mutation::PutEntity(PutEntityRequest {
        entity: Some(entity(name, 0)),
        ..PutEntityRequest::default()
    })
}

fn delete(name: &EntityRef) -> mutation::Mutation {
    mutation::Mutation::DeleteEntity(DeleteEntityRequest {
        r#ref: Some(name.clone()),
        force: true,
        ..DeleteEntityRequest::default()
    })
}

async fn commit(
    session: &Session,
    mutations: impl Iterator<Item = mutation::Mutation>,
) -> Result<(), CliError> {
    let request_id = fresh_request_id();
    let request = CommitRequest {
        mutations: mutations.map(|m| Mutation { mutation: Some(m) }).collect(),
        request_id: request_id.clone(),
        reason: "load test".to_owned(),
        ..CommitRequest::default()
    };
    session
        .write(&request_id, request, async |r| {
            session.graph().commit(r).await
        })
        .await?;
    Ok(())
}

fn entity(name: &EntityRef, count: u64) -> Entity {
    let number = Value {
        kind: Some(Kind::NumberValue(count as f64)),
    };
    Entity {
        r#ref: Some(name.clone()),
        properties: Some(Struct {
            fields: BTreeMap::from([("count".to_owned(), number)]),
        }),
        ..Entity::default()
    }
}

/// What was measured.
#[derive(Default)]
struct Load {
    latencies_us: BTreeMap<Operation, Vec<u32>>,
    errors: BTreeMap<Operation, u64>,
    first_error: Option<Status>,
    took: Duration,
}

impl Load {
    fn merge(&mut self, other: Self) {
        for (operation, latencies_us) in other.latencies_us {
            self.latencies_us
                .entry(operation)
                .or_default()
                .extend(latencies_us);
        }
        for (operation, n) in other.errors {
            *self.errors.entry(operation).or_default() += n;
        }
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

async fn apply_load(
    addr: &str,
    args: &BenchArgs,
    names: &Arc<[EntityRef]>,
) -> Result<Load, CliError> {
    let mut channels = Vec::new();
    for _ in 0..args.connections {
        channels.push(dial(addr).await?);
    }
    let begun = Instant::now();
    let end = begun + Duration::from_secs(args.seconds);
    let mut slots = JoinSet::new();
    for (i, channel) in channels
        .iter()
        .cycle()
        .take((args.connections * args.in_flight) as usize)
        .enumerate()
    {
        slots.spawn(slot(
            i as u64,
            channel.clone(),
            args.mix,
            names.clone(),
            end,
        ));
    }
    let bar = seconds_bar(args.seconds);
    let mut load = Load::default();
    loop {
        tokio::select! {
            finished = slots.join_next() => match finished {
                Some(Ok(one)) => load.merge(one),
                Some(Err(lost)) => return Err(CliError::Stopped(format!("a slot of the load was lost: {lost}"))),
                None => break,
            },
            () = tokio::time::sleep(Duration::from_millis(250)) => bar.set_position(begun.elapsed().as_secs()),
            _ = tokio::signal::ctrl_c() => return Err(CliError::Stopped("stopped before the time was up".to_owned())),
        }
    }
    load.took = begun.elapsed();
    bar.finish_and_clear();
    Ok(load)
}

fn seconds_bar(seconds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seconds);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} s") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// One call after another, until the time is up.
async fn slot(
    number: u64,
    channel: Channel,
    mix: Mix,
    names: Arc<[EntityRef]>,
    end: Instant,
) -> Load {
    let mut graph = GraphServiceClient::new(channel);
    let mut random = Random::seeded(number);
    let mut load = Load::default();
    // Every write must change something, so each slot counts in a range of its own.
    let mut count = (number + 1) << 32;
    while Instant::now() < end {
        let name = &names[(random.next() % names.len() as u64) as usize];
        let operation = mix.pick(&mut random);
        let begun = Instant::now();
        let result = match operation {
            Operation::Read => {
                let request = GetEntityRequest {
                    r#ref: Some(name.clone()),
                    consistency: None,
                };
                graph.get_entity(request).await.map(drop)
            }
            Operation::Write => {
                count += 1;
                let request = PutEntityRequest {
                    entity: Some(entity(name, count)),
                    ..PutEntityRequest::default()
                };
                graph.put_entity(request).await.map(drop)
            }
        };
        match result {
            Ok(()) => {
                let us = begun.elapsed().as_micros().try_into().unwrap_or(u32::MAX);
                load.latencies_us.entry(operation).or_default().push(us);
            }
            Err(status) => {
                *load.errors.entry(operation).or_default() += 1;
                // A server that refuses at once would otherwise be asked a million times to no purpose.
                let pause_ms = if status.code() == Code::ResourceExhausted {
                    1
                } else {
                    20
                };
                load.first_error.get_or_insert(status);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        }
    }
    load
}

impl Mix {
    fn pick(self, random: &mut Random) -> Operation {
        match self {
            Self::Read => Operation::Read,
            Self::Write => Operation::Write,
            Self::Mixed if random.next().is_multiple_of(10) => Operation::Write,
            Self::Mixed => Operation::Read,
        }
    }
}

/// SplitMix64: the same choices in every run.
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What is shown.
#[derive(Serialize)]
struct Report {
    connections: u32,
    in_flight: u32,
    seconds: f64,
    operations: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_error: Option<String>,
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
    fn new(args: &BenchArgs, mut load: Load) -> Self {
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

    fn table(&self) -> String {
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
    use super::*;

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
    fn a_mixed_load_is_nine_reads_for_each_write() {
        let mut random = Random::seeded(7);
        let writes = (0..100_000)
            .filter(|_| Mix::Mixed.pick(&mut random) == Operation::Write)
            .count();
        assert!((9_500..10_500).contains(&writes), "{writes}");
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
