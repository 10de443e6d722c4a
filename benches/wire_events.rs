//! How many events become durable in a second in one stream of batches, beside Redis' `XADD`?
//!
//! One client, one `EmitEvents` stream, batches of 1,000 small events, each batch answered when it is synced; the client sends
//! the next ones meanwhile. Redis is given the same ids, types and payloads by `XADD`, 1,000 commands in a pipeline, 4 pipelines
//! under way, with `appendfsync always`: it syncs once for what it has read at once. Redis does not look for repetitions,
//! and knows no filter; Amadeus does both. The server and the client share the processor, the stores the file system.
//!
//! ```text
//! cargo xtask bench wire_events
//! ```

mod wire;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use amadeus_proto::v1;
use amadeus_proto::v1::nexus_service_client::NexusServiceClient;
use futures::stream;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::runtime::Builder;
use tonic::transport::Endpoint;
use wire::rounds::Ask;
use wire::servers::Server;

const CASE: &str = "durable events, one stream, batches of 1,000";
const READ: &str = "events delivered to one subscriber, from the first on";
const REDIS: &str = "Redis XADD, appendfsync always";

/// Events in a second that are asked for.
const BOUND: f64 = 50_000.0;

const BATCH: usize = 1_000;

/// Pipelines of Redis that are under way: as many as our server has batches.
const UNDER_WAY: usize = 4;

fn main() {
    let ask = Ask::new(
        "wire_events",
        "How many events become durable in a second in one stream of batches, beside Redis' XADD?",
    );
    let events = ask.mode.size(200_000, 2_000);
    for _ in 0..ask.mode.rounds() {
        let Some(ours) = ask.started(CASE, "", Server::amadeus()) else {
            return;
        };
        let (emitted, delivered) = measured(&ours, events);
        drop(ours);
        let its = match Server::redis() {
            Ok(redis) => added(&redis, events),
            Err(reason) => {
                ask.skip(CASE, REDIS, reason);
                f64::NAN
            }
        };
        ask.bounded(CASE, "events/s", ("Amadeus", emitted), BOUND);
        ask.bounded(READ, "events/s", ("Amadeus", delivered), BOUND);
        if its.is_finite() {
            ask.rate(CASE, "events/s", ("Amadeus", emitted), (REDIS, its), None);
        }
    }
}

fn payload(id: usize) -> String {
    format!("order {id} was paid")
}

fn event(id: usize) -> v1::Event {
    let text = Value {
        kind: Some(Kind::StringValue(payload(id))),
    };
    v1::Event {
        id: id.to_string(),
        r#type: "order.paid".into(),
        payload: Some(Struct {
            fields: BTreeMap::from([("text".to_owned(), text)]),
        }),
        ..v1::Event::default()
    }
}

/// Events emitted, and then delivered, in a second.
fn measured(server: &Server, events: usize) -> (f64, f64) {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.at));
        let endpoint = endpoint.expect("it is an address");
        let channel = endpoint.connect().await.expect("the server listens");
        let mut client = NexusServiceClient::new(channel);
        let batches: Vec<_> = (0..events)
            .step_by(BATCH)
            .map(|first| v1::EmitEventsRequest {
                events: (first..first + BATCH).map(event).collect(),
            })
            .collect();
        let began = Instant::now();
        let replies = client.emit_events(stream::iter(batches)).await;
        let mut replies = replies.expect("it begins").into_inner();
        let mut durable = 0;
        while let Some(reply) = replies.message().await.expect("there is room") {
            durable += reply.offsets.len();
        }
        assert_eq!(durable, events);
        let emitted = events as f64 / began.elapsed().as_secs_f64();
        let asked = v1::SubscribeEventsRequest {
            types: vec!["order.*".into()],
            from_offset: Some(1),
            ..v1::SubscribeEventsRequest::default()
        };
        let began = Instant::now();
        let messages = client.subscribe_events(asked).await;
        let mut messages = messages.expect("it begins").into_inner();
        let mut seen = 0;
        while seen < events {
            let message = messages.message().await.expect("it goes on");
            seen += message.expect("it does not end").events.len();
        }
        (emitted, events as f64 / began.elapsed().as_secs_f64())
    })
}

/// Entries added to a stream of Redis in a second.
fn added(server: &Server, events: usize) -> f64 {
    let mut connection = TcpStream::connect(server.at).expect("it listens");
    let pipelines: Vec<String> = (0..events)
        .step_by(BATCH)
        .map(|first| {
            let mut pipeline = String::new();
            for id in first..first + BATCH {
                let (id, payload) = (id.to_string(), payload(id));
                let words = [
                    "XADD",
                    "events",
                    "*",
                    "id",
                    &id,
                    "type",
                    "order.paid",
                    "text",
                    &payload,
                ];
                let _ = write!(pipeline, "*{}\r\n", words.len());
                for word in words {
                    let _ = write!(pipeline, "${}\r\n{word}\r\n", word.len());
                }
            }
            pipeline
        })
        .collect();
    let began = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    let mut replies = vec![0; 64 * 1024];
    let mut lines = 0;
    while answered < events {
        while sent < pipelines.len() && sent * BATCH < answered + UNDER_WAY * BATCH {
            connection
                .write_all(pipelines[sent].as_bytes())
                .expect("it reads");
            sent += 1;
        }
        let read = connection.read(&mut replies).expect("it answers");
        assert!(read > 0 && !replies[..read].starts_with(b"-"), "it is well");
        // Each answer is a length and an id, a line each.
        lines += replies[..read]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        answered = lines / 2;
    }
    events as f64 / began.elapsed().as_secs_f64()
}
