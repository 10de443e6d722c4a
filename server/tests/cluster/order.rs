//! One order: what clients of three servers were told fits together.

use std::collections::BTreeSet;

use amadeus_proto::v1;
use tonic::Code;
use tonic::transport::Channel;
use v1::consistency::Level;
use v1::graph_service_client::GraphServiceClient;

use crate::cluster::{Cluster, database_server, level, put, read};

const CLIENTS: usize = 64;
const WRITES: u64 = 10;
const COUNTERS: usize = 4;

/// Adds one to a counter, against whoever does the same; the revisions that it made.
async fn count(mut graph: GraphServiceClient<Channel>, client: usize) -> Vec<u64> {
    let name = format!("counter-{}", client % COUNTERS);
    let mut made = Vec::new();
    while (made.len() as u64) < WRITES {
        let last = level(Level::Linearizable(true));
        let (number, revision) = match read(&mut graph, &name, last).await {
            Ok((number, revision)) => (number, revision),
            Err(status) if status.code() == Code::NotFound => (0, 0),
            Err(status) => panic!("{status:?}"),
        };
        let request = format!("{client}-{}-{revision}", made.len());
        let write = put(&name, number + 1, Some(revision), &request);
        match graph.put_entity(write).await {
            Ok(reply) => made.push(reply.into_inner().header.expect("a header").revision),
            Err(status) if matches!(status.code(), Code::Aborted | Code::AlreadyExists) => {}
            Err(status) => panic!("{status:?}"),
        }
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_three_servers_lose_no_update_and_each_has_one_winner() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 3, &[]).await;
    let clients = (0..CLIENTS).map(|client| {
        let graph = cluster.members[client % 3].graph();
        tokio::spawn(count(graph, client))
    });
    let mut made = BTreeSet::new();
    let mut writes = 0;
    for client in clients.collect::<Vec<_>>() {
        for revision in client.await.expect("no panic") {
            writes += 1;
            assert!(made.insert(revision), "two made revision {revision}");
        }
    }
    assert_eq!(writes, CLIENTS as u64 * WRITES);
    assert_eq!(cluster.agree().await, writes, "a revision for each write");
    for member in &cluster.members {
        for counter in 0..COUNTERS {
            let name = format!("counter-{counter}");
            let (number, _) = read(&mut member.graph(), &name, None).await.expect("there");
            assert_eq!(number, writes / COUNTERS as u64, "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_written_on_one_server_is_read_on_another() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 2, &[]).await;
    let (mut one, mut other) = (cluster.members[0].graph(), cluster.members[1].graph());
    for number in 1..=20 {
        let reply = one.put_entity(put("a", number, None, "")).await;
        let revision = reply
            .expect("written")
            .into_inner()
            .header
            .expect("a header")
            .revision;
        let seen = read(&mut other, "a", level(Level::AtLeast(revision))).await;
        assert_eq!(seen.expect("there").0, number);
        std::mem::swap(&mut one, &mut other);
    }
}

#[tokio::test]
async fn a_request_that_is_repeated_on_another_server_has_its_first_outcome() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 3, &[]).await;
    let mut revisions = BTreeSet::new();
    for member in &cluster.members {
        let reply = member
            .graph()
            .put_entity(put("a", 1, Some(0), "once"))
            .await;
        let reply = reply.expect("written, or written before").into_inner();
        revisions.insert(reply.header.expect("a header").revision);
    }
    assert_eq!(revisions.into_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(cluster.agree().await, 1);
}

#[tokio::test]
async fn a_server_that_starts_late_has_what_the_others_wrote() {
    let Some(server) = database_server() else {
        return;
    };
    let mut cluster = Cluster::start(server.database(), 1, &["--checkpoint-every", "10"]).await;
    let mut graph = cluster.members[0].graph();
    for number in 0..50 {
        let name = format!("n-{number}");
        graph
            .put_entity(put(&name, number, None, ""))
            .await
            .expect("written");
    }
    let database = cluster.store.rsplit('/').next().expect("a name").to_owned();
    crate::cluster::soon("a checkpoint is written", || {
        let count = server.run(&database, "SELECT count(*) FROM amadeus_checkpoints");
        async move { count != "0" }
    })
    .await;
    let late = crate::cluster::Member::start(&cluster.folder, &cluster.store, &[]).await;
    cluster.members.push(late);
    assert_eq!(cluster.agree().await, 50);
}

#[tokio::test]
async fn a_server_that_slept_while_the_others_compacted_past_it_goes_on_from_a_checkpoint() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 2, &["--checkpoint-every", "10"]).await;
    let (mut awake, mut asleep) = (cluster.members[0].graph(), cluster.members[1].graph());
    asleep
        .put_entity(put("a", 1, None, ""))
        .await
        .expect("written");
    cluster.members[1].signal("-STOP");
    for number in 2..=60 {
        awake
            .put_entity(put("a", number, None, ""))
            .await
            .expect("written");
    }
    let request = v1::CompactRequest {
        keep_from_revision: 50,
    };
    let reply = cluster.members[0].admin().compact(request).await;
    let reply = reply.expect("there is room").into_inner();
    assert!(reply.first_kept_revision > 2, "{reply:?}");
    cluster.members[1].signal("-CONT");
    let revision = cluster.agree().await;
    assert!(revision >= 60, "{revision}");
    let reply = asleep.put_entity(put("a", 61, None, "")).await;
    reply.expect("it writes again");
    assert_eq!(cluster.agree().await, revision + 1);
}

#[tokio::test]
async fn a_refusal_is_judged_by_the_end_of_the_log() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 2, &[]).await;
    let (mut one, mut other) = (cluster.members[0].graph(), cluster.members[1].graph());
    let mut last = 0;
    for number in 0..20 {
        // The one that is asked has not shown yet what the other one has just written.
        let reply = one.put_entity(put("a", number, Some(last), "")).await;
        let reply = reply.expect("nobody else writes").into_inner();
        last = reply.header.expect("a header").revision;
        std::mem::swap(&mut one, &mut other);
    }
    assert_eq!(cluster.agree().await, 20);
}
