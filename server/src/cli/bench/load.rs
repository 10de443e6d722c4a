//! Calls in flight: each slot makes its next call when the last is answered.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use amadeus_proto::v1::{
    Entity, EntityRef, GetEntityRequest, PutEntityRequest, graph_service_client::GraphServiceClient,
};
use clap::ValueEnum;
use prost_types::{Struct, Value, value::Kind};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::command::BenchArgs;
use crate::cli::{
    failure::CliError,
    progress::seconds_bar,
    session::{Calls, Session},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// GetEntity
    Read,
    /// PutEntity, each a transaction of its own that changes something
    Write,
    /// Nine reads for each write
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Read,
    Write,
}

/// What was measured.
#[derive(Default)]
pub struct Load {
    pub latencies_us: BTreeMap<Operation, Vec<u32>>,
    pub errors: BTreeMap<Operation, u64>,
    pub first_error: Option<Status>,
    pub took: Duration,
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

pub async fn apply_load(
    session: &Session,
    args: &BenchArgs,
    names: &Arc<[EntityRef]>,
) -> Result<Load, CliError> {
    let mut channels = Vec::new();
    for _ in 0..args.connections {
        channels.push(session.dial().await?);
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

/// One call after another, until the time is up.
async fn slot(
    number: u64,
    channel: Calls,
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

/// An entity of the bench, which counts.
pub fn entity(name: &EntityRef, count: u64) -> Entity {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_load_is_nine_reads_for_each_write() {
        let mut random = Random::seeded(7);
        let writes = (0..100_000)
            .filter(|_| Mix::Mixed.pick(&mut random) == Operation::Write)
            .count();
        assert!((9_500..10_500).contains(&writes), "{writes}");
    }
}
