//! What does not fail and does not do what it should: a database or a Redis that is slow, without room for another
//! connection, or set up so that an acknowledgement is worth less; and what leases and watches do meanwhile.

use std::time::{Duration, Instant};

use amadeus_proto::v1;
use testbed::{Mode, Postgres, Proxy, Signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use v1::Health;
use v1::consistency::Level;

use crate::cluster::{Cluster, database_server, level, put, read, soon};
use crate::degraded::{behind_a_proxy, redis};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_out_of_connections_is_waited_for() {
    let Some(server) = database_server() else {
        return;
    };
    let direct = server.database();
    let database = direct.rsplit('/').next().expect("a name");
    let role = format!("few_{database}");
    server.run(
        database,
        &format!("CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}"),
    );
    let store = direct.replace("amadeus@", &format!("{role}@"));
    let cluster = Cluster::start(store, 1, &[]).await;
    let member = &cluster.members[0];
    let mut graph = member.graph();
    graph
        .put_entity(put("a", 1, None, ""))
        .await
        .expect("written");
    server.run(
        database,
        &format!(
            "ALTER ROLE {role} CONNECTION LIMIT 0; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        ),
    );
    let refused = graph.put_entity(put("a", 2, None, "again")).await;
    let refused = refused.expect_err("there is no connection");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert_eq!(read(&mut graph, "a", None).await.expect("reads go on").0, 1);
    let last = read(&mut graph, "a", level(Level::Linearizable(true))).await;
    assert_eq!(last.expect_err("it cannot know").code(), Code::Unavailable);
    soon("it says why it is not ready", || async {
        let ready = member.http("/readyz?verbose").await;
        ready.contains("503")
            && ready.contains("[-] log failed")
            && ready.contains("too many connections")
    })
    .await;
    server.run(database, &format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
    soon("a write succeeds", || {
        let mut graph = graph.clone();
        async move { graph.put_entity(put("a", 2, None, "again")).await.is_ok() }
    })
    .await;
    soon("it is ready", || async {
        member.http("/readyz").await.contains("200 OK")
    })
    .await;
    assert_eq!(cluster.agree().await, 2);
}

#[tokio::test]
async fn a_database_that_may_lose_what_it_acknowledged_is_told_of_at_the_start() {
    let Some(server) = database_server() else {
        return;
    };
    let store = server.database();
    let database = store.rsplit('/').next().expect("a name");
    server.run(
        "postgres",
        &format!("ALTER DATABASE {database} SET synchronous_commit = off"),
    );
    let cluster = Cluster::start(store, 1, &[]).await;
    let said = cluster.members[0].process.tail();
    assert!(said.contains("synchronous_commit = off"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_slows_writes_and_nothing_else() {
    const LATER: Duration = Duration::from_millis(300);
    let Some(server) = database_server() else {
        return;
    };
    let (store, proxy) = behind_a_proxy(server);
    let cluster = Cluster::start(store, 1, &[]).await;
    let mut graph = cluster.members[0].graph();
    graph
        .put_entity(put("a", 1, None, ""))
        .await
        .expect("written");
    proxy.set(Mode::Slow(LATER));
    let began = Instant::now();
    let written = graph.put_entity(put("a", 2, None, "")).await;
    written.expect("it takes its time");
    assert!(began.elapsed() >= LATER * 2, "there and back");
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(read(&mut graph, "a", None).await.expect("there").0, 2);
    }
    assert!(
        began.elapsed() < LATER * 3,
        "reads ask nobody: {:?}",
        began.elapsed()
    );
    // Writes that wait share a trip.
    let many = (0..50).map(|number| {
        let mut graph = graph.clone();
        tokio::spawn(async move {
            graph
                .put_entity(put(&format!("n-{number}"), number, None, ""))
                .await
        })
    });
    let began = Instant::now();
    for one in many.collect::<Vec<_>>() {
        one.await.expect("no panic").expect("written");
    }
    assert!(began.elapsed() < LATER * 10, "{:?}", began.elapsed());
    proxy.set(Mode::Pass);
    assert_eq!(cluster.agree().await, 52);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_silent_redis_holds_nobody_up() {
    let (Some(server), Some(redis)) = (database_server(), redis()) else {
        return;
    };
    let proxy = Proxy::to(redis.port());
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let cluster = Cluster::start(server.database(), 2, &["--redis", &url]).await;
    let (mut one, mut other) = (cluster.members[0].graph(), cluster.members[1].graph());
    let mut number = 0;
    for mode in [Mode::Slow(Duration::from_secs(1)), Mode::Silent] {
        proxy.set(mode);
        for _ in 0..10 {
            number += 1;
            let began = Instant::now();
            let reply = one
                .put_entity(put("a", number, None, ""))
                .await
                .expect("written");
            let revision = reply.into_inner().header.expect("a header").revision;
            let seen = read(&mut other, "a", level(Level::AtLeast(revision))).await;
            assert_eq!(seen.expect("there").0, number);
            assert!(
                began.elapsed() < Duration::from_millis(900),
                "{mode:?}: {:?}",
                began.elapsed()
            );
        }
    }
    soon("it says so, and is ready all the same", || async {
        let ready = cluster.members[0].http("/readyz?verbose").await;
        ready.contains("200 OK") && ready.contains("[~] redis degraded")
    })
    .await;
    let metrics = cluster.members[0].http("/metrics").await;
    assert!(
        metrics.contains("amadeus_degraded{component=\"redis\"} 1"),
        "{metrics}"
    );
    proxy.set(Mode::Pass);
    proxy.cut();
    soon("hints are back", || async {
        !cluster.members[0]
            .http("/readyz?verbose")
            .await
            .contains("redis")
    })
    .await;
    assert_eq!(cluster.agree().await, number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_and_watches_outlast_a_database_that_is_gone() {
    let server = match Postgres::start() {
        Ok(server) => server,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let cluster = Cluster::start(server.database(), 1, &[]).await;
    let member = &cluster.members[0];
    let register = |name: &str| v1::RegisterServiceRequest {
        service: Some(v1::Service {
            name: name.into(),
            ..v1::Service::default()
        }),
        lease_ttl: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..v1::RegisterServiceRequest::default()
    };
    let mut leases = Vec::new();
    for name in ["calls", "is-silent"] {
        let reply = member.graph().register_service(register(name)).await;
        leases.push(
            reply
                .expect("it registers")
                .into_inner()
                .lease
                .expect("a lease")
                .id,
        );
    }
    let (calls, waiting) = mpsc::channel(1);
    let stream = member
        .liveness()
        .keep_alive(ReceiverStream::new(waiting))
        .await;
    let mut answers = stream.expect("it opens").into_inner();
    let call = |lease: &str| v1::KeepAliveRequest {
        lease_id: lease.into(),
        ..v1::KeepAliveRequest::default()
    };
    let watch = member.graph().watch(v1::WatchRequest::default()).await;
    let mut changes = watch.expect("it opens").into_inner();

    server.end(Signal::Kill);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        calls.send(call(&leases[0])).await.expect("it is open");
        let answer = answers
            .message()
            .await
            .expect("it answers")
            .expect("it goes on");
        assert_eq!(answer.kept, 1, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let late = timeout(
        Duration::from_secs(15),
        member.graph().register_service(register("late")),
    )
    .await;
    let late = late
        .expect("in bounded time")
        .expect_err("there is nowhere to keep it");
    assert_eq!(late.code(), Code::Unavailable, "{late:?}");
    soon("it says so", || async {
        let said = member.http("/readyz?verbose").await;
        said.contains("[~] leases degraded")
    })
    .await;

    server.resume();
    let mut seen = Vec::new();
    while !seen.contains(&("is-silent".to_owned(), Health::Down)) {
        calls.send(call(&leases[0])).await.expect("it is open");
        let answer = answers
            .message()
            .await
            .expect("it answers")
            .expect("it goes on");
        assert_eq!(answer.kept, 1, "{answer:?}");
        let message = timeout(Duration::from_millis(300), changes.message()).await;
        if let Ok(message) = message {
            let message = message.expect("it goes on").expect("it goes on");
            seen.extend(
                message
                    .changes
                    .iter()
                    .filter_map(|change| match &change.subject {
                        Some(v1::change::Subject::Entity(entity)) => match &entity.body {
                            Some(v1::entity::Body::Service(service)) => {
                                Some((service.name.clone(), service.health()))
                            }
                            _ => None,
                        },
                        _ => None,
                    }),
            );
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{seen:?}");
    }
    assert!(
        !seen
            .iter()
            .any(|(name, health)| name == "calls" && *health == Health::Down),
        "{seen:?}"
    );
}
