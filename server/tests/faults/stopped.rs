//! A server that stands still (SIGSTOP) for longer than anybody waits, and then goes on.
//!
//! It looks like a machine that swaps, or a network that swallows: connections stand, nothing comes back. Who calls
//! meanwhile is told that the time is over and never anything wrong; what was acknowledged stays; what was not can be asked
//! for again under its id, and a watch goes on behind its bookmark.
//!
//! It stands for 3 seconds; `AMADEUS_STOP_SECONDS=90` is longer than every keepalive there is (20 and 30 seconds).

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use amadeus_proto::v1;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use v1::graph_service_client::GraphServiceClient;

use crate::line::Server;
use crate::process::{PATIENCE, Process};
use crate::random::setting;

/// How long a client waits for an answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// Slack for a machine that does much else.
const SLACK: Duration = Duration::from_secs(10);

type Graph = GraphServiceClient<Channel>;

fn endpoint(process: &Process) -> Endpoint {
    let address = process.heard().address.expect("it serves");
    Channel::from_shared(format!("http://{address}")).expect("an address")
}

/// Sends a signal, and waits until the process is in the state that it leads to.
async fn signal(process: &Process, name: &str, stopped: bool) {
    let id = process.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status();
    assert!(sent.is_ok_and(|sent| sent.success()), "kill {name} {id}");
    let is_stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it is there");
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
    };
    while is_stopped() != stopped {
        tokio::task::yield_now().await;
    }
}

/// Puts an entity of this number, under its own request id.
async fn put(graph: &mut Graph, number: u64) -> Result<u64, Status> {
    let request = v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(key(number)),
            ..Default::default()
        }),
        request_id: format!("put-{number}"),
        ..Default::default()
    };
    let reply = graph.put_entity(request).await?.into_inner();
    Ok(reply.header.map_or(0, |header| header.revision))
}

fn key(number: u64) -> v1::EntityRef {
    v1::EntityRef {
        kind: "part".into(),
        name: format!("p{number}"),
    }
}

async fn get(graph: &mut Graph, number: u64) -> Result<v1::GetEntityResponse, Status> {
    let request = v1::GetEntityRequest {
        r#ref: Some(key(number)),
        ..Default::default()
    };
    Ok(graph.get_entity(request).await?.into_inner())
}

/// Follows from the beginning to a revision; goes on behind its bookmark whenever the stream ends.
async fn follow(mut graph: Graph, end: u64) -> Vec<u64> {
    let (mut seen, mut bookmark) = (Vec::new(), 0);
    while bookmark < end {
        let request = v1::WatchRequest {
            from_revision: bookmark + 1,
            ..Default::default()
        };
        let Ok(stream) = graph.watch(request).await else {
            continue;
        };
        let mut stream = stream.into_inner();
        while let Ok(Some(message)) = stream.message().await {
            seen.extend(message.changes.iter().map(|change| change.revision));
            bookmark = bookmark.max(message.bookmark);
            if bookmark >= end {
                break;
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stood_still_has_lost_nothing_and_said_nothing_wrong() {
    const BEFORE: u64 = 30;
    const MEANWHILE: u64 = 12;
    const END: u64 = BEFORE + MEANWHILE;
    let seconds = setting("AMADEUS_STOP_SECONDS").unwrap_or(3);
    let server = Server::start().await.expect("it starts");
    let endpoint = endpoint(&server.process);
    let watching = endpoint.connect().await.expect("it listens");
    let watcher = tokio::spawn(follow(GraphServiceClient::new(watching), END));
    let hurried = endpoint.clone().timeout(DEADLINE);
    let old = hurried.connect().await.expect("it listens");
    let mut graph = GraphServiceClient::new(old.clone());
    let mut revisions = Vec::new();
    for number in 0..BEFORE {
        // Others have the machine as well, and a write may be late.
        let revision = loop {
            match put(&mut graph, number).await {
                Ok(revision) => break revision,
                Err(status) => assert!(is_late(&status), "{status}"),
            }
        };
        revisions.push(revision);
    }

    signal(&server.process, "-STOP", true).await;
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for number in BEFORE..END {
        // Half of them on a connection that was there, half on new ones, which the kernel accepts.
        let channel = match number % 2 {
            0 => old.clone(),
            _ => hurried.connect_lazy(),
        };
        calls.spawn(async move {
            let mut graph = GraphServiceClient::new(channel);
            let wrote = put(&mut graph, number).await.map(|_| ());
            let read = get(&mut graph, 0).await.map(|_| ());
            (wrote, read)
        });
    }
    while let Some(call) = calls.join_next().await {
        let (wrote, read) = call.expect("it does not panic");
        for told in [wrote, read] {
            let status = told.expect_err("nobody was there to answer");
            assert!(is_late(&status), "{status}");
        }
    }
    let waited = began.elapsed();
    assert!(
        waited < 2 * DEADLINE + SLACK,
        "clients waited for {waited:?}"
    );
    // Not to wait for a state: this is how long it stands still.
    tokio::time::sleep(Duration::from_secs(seconds).saturating_sub(waited)).await;
    signal(&server.process, "-CONT", false).await;

    let awake = Instant::now();
    for number in BEFORE..END {
        let revision = loop {
            match put(&mut graph, number).await {
                Ok(revision) => break revision,
                Err(status) => assert!(awake.elapsed() < PATIENCE, "it does not serve: {status}"),
            }
        };
        revisions.push(revision);
    }
    let served = awake.elapsed();
    eprintln!(
        "it stood for {:?} and then wrote {MEANWHILE} in {served:?}",
        began.elapsed() - served
    );
    let distinct: BTreeSet<u64> = revisions.iter().copied().collect();
    assert_eq!(
        distinct,
        (1..=END).collect(),
        "each applied once: {revisions:?}"
    );
    for (number, revision) in (0..).zip(&revisions) {
        let mut graph = GraphServiceClient::new(endpoint.connect_lazy());
        let reply = get(&mut graph, number).await.expect("it was acknowledged");
        assert_eq!(reply.entity.expect("found").created_revision, *revision);
        assert_eq!(reply.header.expect("a header").revision, END);
    }
    let seen = tokio::time::timeout(PATIENCE, watcher).await;
    let seen = seen.expect("the watch goes on").expect("it does not panic");
    assert_eq!(seen, (1..=END).collect::<Vec<_>>());
}

/// Whether a status says that the time is over; tonic's client says it as CANCELLED.
fn is_late(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}
