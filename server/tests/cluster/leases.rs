//! Leases: what holders that call, fall silent, move and come back look like in the graph, on one server and on many.

use std::time::{Duration, Instant};

use amadeus_client::{Registration, State};
use amadeus_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use v1::Health;
use v1::consistency::Level;
use v1::liveness_service_client::LivenessServiceClient;

use crate::cluster::{Cluster, Member, database_server, level, soon};

/// Registers a service with a lease, by whichever server; the lease's id.
async fn register(member: &Member, name: &str, ttl_ms: u64) -> String {
    let request = v1::RegisterServiceRequest {
        service: Some(v1::Service {
            name: name.into(),
            ..v1::Service::default()
        }),
        lease_ttl: prost_types::Duration::try_from(Duration::from_millis(ttl_ms)).ok(),
        ..v1::RegisterServiceRequest::default()
    };
    let reply = member
        .graph()
        .register_service(request)
        .await
        .expect("it registers");
    let reply = reply.into_inner();
    assert_eq!(reply.service.expect("a service").health(), Health::Up);
    reply.lease.expect("a lease").id
}

async fn health(member: &Member, name: &str) -> (Health, u64) {
    let request = v1::GetServiceRequest {
        name: name.into(),
        consistency: level(Level::Linearizable(true)),
    };
    let reply = member
        .graph()
        .get_service(request)
        .await
        .expect("it answers")
        .into_inner();
    let revision = reply.header.expect("a header").revision;
    (reply.service.expect("a service").health(), revision)
}

/// Waits until a service is as healthy as that; for how long it was not.
async fn becomes(member: &Member, name: &str, wanted: Health) -> Duration {
    let began = Instant::now();
    while health(member, name).await.0 != wanted {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{name} never became {wanted:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// A stream of calls.
struct Calls {
    requests: mpsc::Sender<v1::KeepAliveRequest>,
    answers: Streaming<v1::KeepAliveResponse>,
}

impl Calls {
    async fn to(channel: Channel) -> Self {
        let (requests, waiting) = mpsc::channel(4);
        let stream = LivenessServiceClient::new(channel)
            .keep_alive(ReceiverStream::new(waiting))
            .await;
        Self {
            requests,
            answers: stream.expect("it opens").into_inner(),
        }
    }

    async fn call(&mut self, request: v1::KeepAliveRequest) -> v1::KeepAliveResponse {
        self.requests.send(request).await.expect("it is open");
        self.answers
            .message()
            .await
            .expect("it answers")
            .expect("it goes on")
    }

    async fn for_one(&mut self, lease: &str) -> v1::KeepAliveResponse {
        self.call(v1::KeepAliveRequest {
            lease_id: lease.into(),
            ..v1::KeepAliveRequest::default()
        })
        .await
    }

    async fn for_all(&mut self, leases: &[String]) -> v1::KeepAliveResponse {
        self.call(v1::KeepAliveRequest {
            lease_ids: leases.to_vec(),
            ..v1::KeepAliveRequest::default()
        })
        .await
    }
}

#[tokio::test]
async fn a_call_makes_no_revision_and_a_service_that_stops_calling_is_down_within_its_time() {
    const TTL_MS: u64 = 2_000;
    let cluster = Cluster::alone().await;
    let member = &cluster.members[0];
    let lease = register(member, "checkout", TTL_MS).await;
    let mut calls = Calls::to(member.channel()).await;
    let before = health(member, "checkout").await;
    assert_eq!(before.0, Health::Up);
    let mut called = Instant::now();
    for _ in 0..20 {
        called = Instant::now();
        let answer = calls.for_one(&lease).await;
        assert_eq!((answer.kept, answer.lost.len()), (1, 0));
        assert_eq!(answer.ttl.expect("how long").seconds, 2);
        tokio::time::sleep(Duration::from_millis(TTL_MS / 5)).await;
    }
    assert_eq!(
        health(member, "checkout").await,
        before,
        "20 calls made no revision"
    );
    becomes(member, "checkout", Health::Down).await;
    let silent = called.elapsed().as_millis() as u64;
    assert!(
        (TTL_MS..TTL_MS * 12 / 10).contains(&silent),
        "down after {silent} ms of {TTL_MS}"
    );
    let (_, revision) = health(member, "checkout").await;
    assert_eq!(revision, before.1 + 1, "one transition, one revision");

    // Its holder calls again, and says that something is missing, and then goes in order.
    assert_eq!(calls.for_one(&lease).await.kept, 1);
    becomes(member, "checkout", Health::Up).await;
    let degraded = v1::KeepAliveRequest {
        lease_id: lease.clone(),
        health: Some(Health::Degraded.into()),
        ..v1::KeepAliveRequest::default()
    };
    calls.call(degraded).await;
    becomes(member, "checkout", Health::Degraded).await;
    let request = v1::RevokeLeaseRequest {
        lease_id: lease.clone(),
        ..v1::RevokeLeaseRequest::default()
    };
    let mut liveness = member.liveness();
    liveness
        .revoke_lease(request.clone())
        .await
        .expect("it is over");
    assert_eq!(health(member, "checkout").await.0, Health::Down, "at once");
    let answer = calls.for_one(&lease).await;
    assert!(answer.kept == 0 && answer.lost[0].gone, "{answer:?}");
}

#[tokio::test]
async fn a_service_lives_as_long_as_one_of_its_instances_does() {
    let cluster = Cluster::alone().await;
    let member = &cluster.members[0];
    let (one, _other) = (
        register(member, "checkout", 600).await,
        register(member, "checkout", 600).await,
    );
    let mut calls = Calls::to(member.channel()).await;
    let (_, before) = health(member, "checkout").await;
    for _ in 0..15 {
        calls.for_one(&one).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(health(member, "checkout").await, (Health::Up, before));
    becomes(member, "checkout", Health::Down).await;
}

#[tokio::test]
async fn the_guard_holds_when_most_fall_silent_at_once() {
    const LEASES: usize = 20;
    const TTL_MS: u64 = 2_000;
    let cluster = Cluster::alone().await;
    let member = &cluster.members[0];
    let mut leases = Vec::new();
    for n in 0..LEASES {
        leases.push(register(member, &format!("service-{n}"), TTL_MS).await);
    }
    let mut calls = Calls::to(member.channel()).await;
    assert_eq!(calls.for_all(&leases).await.kept as usize, LEASES);
    let (_, before) = health(member, "service-0").await;
    // Nine of ten fall silent.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(TTL_MS * 4) {
        calls.for_all(&leases[..LEASES / 10]).await;
        tokio::time::sleep(Duration::from_millis(TTL_MS / 5)).await;
    }
    assert_eq!(
        health(member, "service-19").await,
        (Health::Up, before),
        "the guard holds"
    );
    let metrics = member.http("/metrics").await;
    assert!(metrics.contains("amadeus_lease_guard 1"), "{metrics}");
    assert!(
        metrics.contains("amadeus_leases{state=\"overdue\"} 18"),
        "{metrics}"
    );
    // Most come back. What does not is down now.
    for _ in 0..10 {
        calls.for_all(&leases[..LEASES - 2]).await;
        tokio::time::sleep(Duration::from_millis(TTL_MS / 5)).await;
    }
    becomes(member, "service-19", Health::Down).await;
    becomes(member, "service-18", Health::Down).await;
    assert_eq!(health(member, "service-17").await.0, Health::Up);
    assert!(
        member
            .http("/metrics")
            .await
            .contains("amadeus_lease_guard 0")
    );
}

#[tokio::test]
async fn a_service_that_goes_up_and_down_is_damped() {
    const TTL_MS: u64 = 200;
    let cluster = Cluster::alone().await;
    let member = &cluster.members[0];
    register(member, "flapping", TTL_MS).await;
    let (_, before) = health(member, "flapping").await;
    const TIMES: u64 = 12;
    for _ in 0..TIMES {
        // It crashes, and takes a new lease with each start.
        tokio::time::sleep(Duration::from_millis(TTL_MS * 3 / 2)).await;
        let request = v1::RegisterServiceRequest {
            service: Some(v1::Service {
                name: "flapping".into(),
                ..v1::Service::default()
            }),
            lease_ttl: prost_types::Duration::try_from(Duration::from_millis(TTL_MS)).ok(),
            ..v1::RegisterServiceRequest::default()
        };
        member
            .graph()
            .register_service(request)
            .await
            .expect("it registers");
    }
    let (shown, after) = health(member, "flapping").await;
    assert!(
        after - before <= 6,
        "{TIMES} starts made {} revisions",
        after - before
    );
    assert_eq!(shown, Health::Down, "until it is steady");
}

#[tokio::test]
async fn leases_outlive_a_restart_and_have_a_whole_time_to_live_after_it() {
    const TTL_MS: u64 = 2_000;
    let mut cluster = Cluster::alone().await;
    let lease = register(&cluster.members[0], "checkout", TTL_MS).await;
    cluster.members[0].process.end().await;
    tokio::time::sleep(Duration::from_millis(TTL_MS)).await;
    cluster.members = vec![Member::start(&cluster.folder, &cluster.store, &[]).await];
    let member = &cluster.members[0];
    let began = Instant::now();
    assert_eq!(health(member, "checkout").await.0, Health::Up);
    let mut calls = Calls::to(member.channel()).await;
    assert_eq!(calls.for_one(&lease).await.kept, 1, "the same lease");
    becomes(member, "checkout", Health::Down).await;
    assert!(began.elapsed() >= Duration::from_millis(TTL_MS));
}

#[tokio::test]
async fn a_lease_goes_where_its_holder_goes_and_outlives_its_server() {
    const TTL_MS: u64 = 1_500;
    let Some(server) = database_server() else {
        return;
    };
    let mut cluster = Cluster::start(server.database(), 3, &[]).await;
    let moved = register(&cluster.members[0], "moved", TTL_MS).await;
    let left = register(&cluster.members[0], "left", TTL_MS).await;
    let quiet = register(&cluster.members[2], "quiet", TTL_MS).await;
    let mut calls = Calls::to(cluster.members[0].channel()).await;
    let mut elsewhere = Calls::to(cluster.members[1].channel()).await;
    calls.for_all(&[moved.clone(), left.clone()]).await;
    // It calls another server from now on. The one that it left judges it no more, and nobody is told anything.
    let (_, before) = health(&cluster.members[1], "moved").await;
    for _ in 0..20 {
        assert_eq!(elsewhere.for_one(&moved).await.kept, 1);
        calls.for_one(&left).await;
        elsewhere.for_one(&quiet).await;
        tokio::time::sleep(Duration::from_millis(TTL_MS / 10)).await;
    }
    assert_eq!(
        health(&cluster.members[1], "moved").await,
        (Health::Up, before)
    );
    // A server dies. Whoever called it and does not come back is down in the end, and whoever calls elsewhere is not.
    drop(calls);
    cluster.members.remove(0);
    let began = Instant::now();
    let member = &cluster.members[0];
    while health(member, "left").await.0 != Health::Down {
        assert!(began.elapsed() < Duration::from_secs(30), "never down");
        assert_eq!(
            elsewhere
                .for_all(&[moved.clone(), quiet.clone()])
                .await
                .kept,
            2
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(health(member, "moved").await.0, Health::Up);
    assert_eq!(health(member, "quiet").await.0, Health::Up);
    // A list is as old as the last vouching of the server that is asked.
    soon("another server lists them as they are", || async {
        let mut liveness = cluster.members[1].liveness();
        let listed = liveness.list_leases(v1::ListLeasesRequest::default()).await;
        let listed = listed.expect("it answers").into_inner().leases;
        let mut all: Vec<_> = listed
            .iter()
            .map(|lease| (&*lease.service, lease.health()))
            .collect();
        all.sort_unstable();
        all == [
            ("left", Health::Down),
            ("moved", Health::Up),
            ("quiet", Health::Up),
        ]
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_ended_by_whichever_server_is_asked() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 2, &[]).await;
    for round in 0..5 {
        let name = format!("service-{round}");
        let lease = register(&cluster.members[0], &name, 60_000).await;
        // The other one has not learned of it yet.
        let request = v1::RevokeLeaseRequest {
            lease_id: lease,
            ..v1::RevokeLeaseRequest::default()
        };
        let mut liveness = cluster.members[1].liveness();
        for _ in 0..2 {
            let revoked = liveness.revoke_lease(request.clone()).await;
            revoked.expect("it is over, and stays so");
            assert_eq!(health(&cluster.members[0], &name).await.0, Health::Down);
        }
    }
}

#[tokio::test]
async fn a_server_that_was_paused_tells_nobody_that_its_leases_lapsed() {
    const TTL_MS: u64 = 1_000;
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 2, &[]).await;
    let lease = register(&cluster.members[0], "checkout", TTL_MS).await;
    let mut calls = Calls::to(cluster.members[1].channel()).await;
    // For this one nobody calls: it is taken over with the server that it called.
    register(&cluster.members[0], "quiet", 60_000).await;
    let (_, before) = health(&cluster.members[1], "quiet").await;
    cluster.members[0].signal("-STOP");
    for _ in 0..80 {
        assert_eq!(calls.for_one(&lease).await.kept, 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let taken_over = async |server: usize| {
        let mut liveness = cluster.members[server].liveness();
        let listed = liveness.list_leases(v1::ListLeasesRequest::default()).await;
        let listed = listed.expect("it answers").into_inner().leases;
        let held = listed.iter().filter(|lease| lease.silent.is_some());
        held.count()
    };
    assert_eq!(taken_over(1).await, 2, "the other one judges both");
    cluster.members[0].signal("-CONT");
    for _ in 0..30 {
        assert_eq!(calls.for_one(&lease).await.kept, 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for member in &cluster.members {
        assert_eq!(health(member, "checkout").await, (Health::Up, before));
    }
    // What it holds from now on it judges as before.
    let again = register(&cluster.members[0], "again", TTL_MS).await;
    assert!(!again.is_empty());
    becomes(&cluster.members[1], "again", Health::Down).await;
}

#[tokio::test]
async fn the_client_keeps_a_registration_registers_again_and_gives_it_back() {
    let Some(server) = database_server() else {
        return;
    };
    let mut cluster = Cluster::start(server.database(), 2, &[]).await;
    let addresses: Vec<String> = cluster.members.iter().map(|m| m.address()).collect();
    let service = v1::Service {
        name: "checkout".into(),
        ..v1::Service::default()
    };
    let registration =
        Registration::keep(&addresses, service, Duration::from_millis(1_500)).expect("addresses");
    let mut state = registration.state();
    let kept = state
        .wait_for(|state| matches!(state, State::Kept(_)))
        .await
        .expect("it is kept")
        .clone();
    assert_eq!(health(&cluster.members[1], "checkout").await.0, Health::Up);
    registration.say(Health::Degraded);
    becomes(&cluster.members[1], "checkout", Health::Degraded).await;
    registration.say(Health::Up);
    becomes(&cluster.members[1], "checkout", Health::Up).await;
    // Its server dies: it calls the other one, under the same lease.
    cluster.members.remove(0);
    state
        .wait_for(|state| matches!(state, State::Away(_)))
        .await
        .expect("it notices");
    let moved = state
        .wait_for(|state| matches!(state, State::Kept(_)))
        .await
        .expect("it is kept")
        .clone();
    assert_eq!(moved, kept);
    // Somebody takes it out of the graph: it registers again.
    let member = &cluster.members[0];
    let request = v1::DeregisterServiceRequest {
        name: "checkout".into(),
        ..v1::DeregisterServiceRequest::default()
    };
    member
        .graph()
        .deregister_service(request)
        .await
        .expect("it is gone");
    let again = |state: &State| matches!(state, State::Kept(_)) && *state != kept;
    state.wait_for(again).await.expect("it registers again");
    assert_eq!(health(member, "checkout").await.0, Health::Up);
    registration.end().await;
    assert_eq!(health(member, "checkout").await.0, Health::Down);
}

#[tokio::test]
async fn bad_leases_are_refused_by_the_field() {
    let cluster = Cluster::alone().await;
    let member = &cluster.members[0];
    let mut liveness = member.liveness();
    let ttl = |ms: i64| {
        Some(prost_types::Duration {
            seconds: ms / 1_000,
            nanos: (ms % 1_000 * 1_000_000) as i32,
        })
    };
    let grant = |service: &str, ttl, health| v1::GrantLeaseRequest {
        service: service.into(),
        ttl,
        health,
        ..v1::GrantLeaseRequest::default()
    };
    for (request, code, word) in [
        (
            grant("", ttl(1_000), None),
            Code::InvalidArgument,
            "service",
        ),
        (
            grant("absent", ttl(1_000), None),
            Code::NotFound,
            "service/absent",
        ),
        (grant("absent", None, None), Code::InvalidArgument, "ttl"),
        (
            grant("absent", ttl(199), None),
            Code::InvalidArgument,
            "ttl",
        ),
        (
            grant("absent", ttl(86_400_001), None),
            Code::InvalidArgument,
            "ttl",
        ),
        (
            grant("absent", ttl(-5_000), None),
            Code::InvalidArgument,
            "ttl",
        ),
        (
            grant("absent", ttl(1_000), Some(0)),
            Code::InvalidArgument,
            "health",
        ),
        (
            grant("absent", ttl(1_000), Some(9)),
            Code::InvalidArgument,
            "health",
        ),
    ] {
        let status = liveness
            .grant_lease(request.clone())
            .await
            .expect_err("refused");
        assert!(
            status.code() == code && status.message().contains(word),
            "{request:?}: {status:?}"
        );
    }
    for (lease, code) in [
        ("", Code::InvalidArgument),
        ("x", Code::InvalidArgument),
        ("00000000000000aa", Code::NotFound),
    ] {
        let request = v1::RevokeLeaseRequest {
            lease_id: lease.into(),
            ..v1::RevokeLeaseRequest::default()
        };
        let status = liveness.revoke_lease(request).await.expect_err("refused");
        assert_eq!(status.code(), code, "{status:?}");
    }
    let mut calls = Calls::to(member.channel()).await;
    let answer = calls.for_one("00000000000000aa").await;
    assert!(answer.lost[0].gone && answer.kept == 0, "{answer:?}");
    calls
        .requests
        .send(v1::KeepAliveRequest::default())
        .await
        .expect("it is open");
    let status = calls.answers.message().await.expect_err("it ends");
    assert!(
        status.code() == Code::InvalidArgument && status.message().contains("lease_id"),
        "{status:?}"
    );

    // The same request id gives the same lease, and none of another service.
    register(member, "checkout", 1_000).await;
    register(member, "cart", 1_000).await;
    let named = |service: &str| v1::GrantLeaseRequest {
        request_id: "one".into(),
        ..grant(service, ttl(1_000), None)
    };
    let first = liveness
        .grant_lease(named("checkout"))
        .await
        .expect("granted")
        .into_inner()
        .lease;
    let second = liveness
        .grant_lease(named("checkout"))
        .await
        .expect("granted")
        .into_inner()
        .lease;
    assert_eq!(first.expect("one").id, second.expect("the same").id);
    let status = liveness
        .grant_lease(named("cart"))
        .await
        .expect_err("refused");
    assert!(
        status.code() == Code::InvalidArgument && status.message().contains("request_id"),
        "{status:?}"
    );
    soon("they lapse", async || {
        health(member, "cart").await.0 == Health::Down
    })
    .await;
}
