//! Very many watchers at once: each gets every change once, what one costs is told, and who writes beside them is answered.
//!
//! There are 1,000; `AMADEUS_CROWD_WATCHERS=10000` is half of what `limits.rs` allows. A hundred share a connection.

use std::time::{Duration, Instant};

use amadeus_proto::v1;
use tokio::task::JoinSet;
use tonic::Streaming;
use v1::graph_service_client::GraphServiceClient;

use crate::line::Server;
use crate::process::Process;
use crate::random::setting;

/// Streams of one connection.
const STREAMS: u64 = 100;

const WRITES: u64 = 20;

/// No write may take longer beside them, also in a debug build on a machine that does much else.
const BOUND: Duration = Duration::from_secs(10);

/// Resident memory in KiB.
fn memory(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.id());
    let status = std::fs::read_to_string(path).expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// The revisions of everything up to the end, in the order in which they came.
async fn follow(mut stream: Streaming<v1::WatchResponse>, end: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let message = stream.message().await.expect("no error").expect("no end");
        seen.extend(message.changes.iter().map(|change| change.revision));
        if message.bookmark >= end {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_watchers_gets_every_change_once_and_holds_no_writer_up() {
    let watchers: u64 = setting("AMADEUS_CROWD_WATCHERS").unwrap_or(1_000);
    let server = Server::start().await.expect("it starts");
    let address = server.process.heard().address.expect("it serves");
    let endpoint = tonic::transport::Channel::from_shared(format!("http://{address}"));
    let endpoint = endpoint.expect("an address");
    let mut line = server.line();
    let mut put = async |number: u64| {
        let request = v1::PutEntityRequest {
            entity: Some(v1::Entity {
                r#ref: Some(v1::EntityRef {
                    kind: "part".into(),
                    name: format!("p{number}"),
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let began = Instant::now();
        let reply = line.graph.put_entity(request).await.expect("written");
        let header = reply.into_inner().header.expect("a header");
        (header.revision, began.elapsed())
    };
    let (first, _) = put(0).await;
    let alone = memory(&server.process);
    let opening = Instant::now();
    let mut connections = JoinSet::new();
    for connection in 0..watchers.div_ceil(STREAMS) {
        let endpoint = endpoint.clone();
        let share = STREAMS.min(watchers - connection * STREAMS);
        connections.spawn(async move {
            let channel = endpoint.connect().await.expect("it listens");
            let mut streams = Vec::new();
            for _ in 0..share {
                let request = v1::WatchRequest::default();
                let stream = GraphServiceClient::new(channel.clone())
                    .watch(request)
                    .await;
                streams.push(stream.expect("a stream").into_inner());
            }
            streams
        });
    }
    let mut crowd = JoinSet::new();
    while let Some(streams) = connections.join_next().await {
        for stream in streams.expect("it does not panic") {
            crowd.spawn(follow(stream, first + WRITES));
        }
    }
    let opened = opening.elapsed();
    let idle = memory(&server.process);

    let writing = Instant::now();
    let mut times = Vec::new();
    for number in 1..=WRITES {
        let (revision, took) = put(number).await;
        assert_eq!(revision, first + number);
        times.push(took);
    }
    let written = writing.elapsed();
    let all: Vec<u64> = (first + 1..=first + WRITES).collect();
    let mut served = 0;
    while let Some(seen) = crowd.join_next().await {
        assert_eq!(seen.expect("it does not panic"), all);
        served += 1;
    }
    let delivered = writing.elapsed();
    assert_eq!(served, watchers);
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    let busy = memory(&server.process);
    eprintln!(
        "{watchers} watchers opened in {opened:.1?}, {:.1} KiB each ({alone} KiB alone, {idle} with them, {busy} afterwards)",
        kib_each(idle.saturating_sub(alone), watchers),
    );
    eprintln!(
        "{WRITES} writes beside them in {written:.1?}: median {median:.1?}, longest {longest:.1?}; all of it delivered after {delivered:.1?}"
    );
    assert!(
        longest < BOUND,
        "a write took {longest:?} beside {watchers} watchers"
    );
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn kib_each(kib: u64, watchers: u64) -> f64 {
    kib as f64 / watchers as f64
}
