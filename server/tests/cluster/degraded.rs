//! What is lost and comes back: Redis, and the database.

use std::time::{Duration, Instant};

use amadeus_proto::v1;
use amadeus_proto::v1::consistency::Level;
use testbed::{Mode, Postgres, Proxy, Redis, Signal, free_port};
use tonic::Code;

use crate::cluster::{Cluster, database_server, level, put, read, soon};
use crate::process::Process;

pub fn redis() -> Option<Redis> {
    Redis::start()
        .map_err(|missing| eprintln!("skipped: {missing}"))
        .ok()
}

#[tokio::test]
async fn hints_of_redis_spare_the_wait_for_the_next_look_and_are_not_needed() {
    let (Some(server), Some(redis)) = (database_server(), redis()) else {
        return;
    };
    let cluster = Cluster::start(server.database(), 2, &["--redis", &redis.url()]).await;
    let (mut one, mut other) = (cluster.members[0].graph(), cluster.members[1].graph());
    let mut lags = Vec::new();
    for number in 1..=40 {
        let reply = one.put_entity(put("a", number, None, "")).await;
        let revision = reply
            .expect("written")
            .into_inner()
            .header
            .expect("a header")
            .revision;
        let began = Instant::now();
        let seen = read(&mut other, "a", level(Level::AtLeast(revision))).await;
        assert_eq!(seen.expect("there").0, number);
        lags.push(began.elapsed());
    }
    lags.sort();
    // Without hints it would be half of what lies between two looks, 50 ms.
    assert!(lags[20] < Duration::from_millis(40), "{lags:?}");
    redis.end(Signal::Kill);
    one.put_entity(put("a", 41, None, ""))
        .await
        .expect("written");
    assert_eq!(cluster.agree().await, 41);
    redis.resume();
    one.put_entity(put("a", 42, None, ""))
        .await
        .expect("written");
    assert_eq!(cluster.agree().await, 42);
    soon("both say that Redis is back", || async {
        let back =
            |member: &crate::cluster::Member| member.process.tail().contains("Redis is back");
        cluster.members.iter().all(back)
    })
    .await;
}

#[tokio::test]
async fn a_server_starts_without_redis_and_says_so() {
    let Some(server) = database_server() else {
        return;
    };
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let cluster = Cluster::start(server.database(), 1, &["--redis", &nowhere]).await;
    let mut graph = cluster.members[0].graph();
    graph
        .put_entity(put("a", 1, None, ""))
        .await
        .expect("written");
    assert!(cluster.members[0].process.tail().contains("Redis is away"));
    let mut admin = cluster.members[0].admin();
    let status = admin
        .status(v1::StatusRequest {})
        .await
        .expect("it answers");
    let components = status.into_inner().components;
    let health = |name: &str| {
        let found = components.iter().find(|component| component.name == name);
        found.map(v1::status_response::Component::health)
    };
    assert_eq!(health("redis"), Some(v1::Health::Degraded));
    assert_eq!(health("log"), Some(v1::Health::Up));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_database_gone_reads_go_on_and_writes_recover_without_a_call() {
    let server = match Postgres::start() {
        Ok(server) => server,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let cluster = Cluster::start(server.database(), 2, &[]).await;
    let (mut one, mut other) = (cluster.members[0].graph(), cluster.members[1].graph());
    one.put_entity(put("a", 1, None, "first"))
        .await
        .expect("written");
    assert_eq!(cluster.agree().await, 1);
    server.end(Signal::Kill);
    for graph in [&mut one, &mut other] {
        assert_eq!(read(graph, "a", None).await.expect("reads go on").0, 1);
    }
    let refused = one.put_entity(put("a", 2, None, "second")).await;
    let refused = refused.expect_err("there is no log");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    server.resume();
    soon("a write succeeds", || async {
        let written = cluster.members[1]
            .graph()
            .put_entity(put("a", 2, None, "second"))
            .await;
        written.is_ok()
    })
    .await;
    assert_eq!(cluster.agree().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_leaves_an_unknown_outcome_that_a_retry_settles() {
    let server = match Postgres::start() {
        Ok(server) => server,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let cluster = Cluster::start(server.database(), 2, &[]).await;
    let mut one = cluster.members[0].graph();
    one.put_entity(put("a", 1, None, "first"))
        .await
        .expect("written");
    server.signal(Signal::Stop);
    let unknown = one.put_entity(put("a", 2, Some(1), "second")).await;
    let unknown = unknown.expect_err("nobody answers");
    assert_eq!(unknown.code(), Code::Unavailable, "{unknown:?}");
    assert!(unknown.message().contains("request id"), "{unknown:?}");
    assert_eq!(read(&mut one, "a", None).await.expect("reads go on").0, 1);
    server.signal(Signal::Continue);
    let mut other = cluster.members[1].graph();
    soon("the retry is answered", || {
        let retry = put("a", 2, Some(1), "second");
        let mut other = other.clone();
        async move { other.put_entity(retry).await.is_ok() }
    })
    .await;
    assert_eq!(cluster.agree().await, 2, "it was applied once");
    assert_eq!(read(&mut other, "a", None).await.expect("there").0, 2);
}

/// A new database of this server, by way of a proxy.
pub fn behind_a_proxy(server: &Postgres) -> (String, Proxy) {
    let proxy = Proxy::to(server.port());
    let direct = server.database();
    let database = direct.rsplit('/').next().expect("a name");
    let store = format!("postgres://amadeus@127.0.0.1:{}/{database}", proxy.port());
    (store, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_lost_after_the_insert_is_found_by_the_retry() {
    let Some(server) = database_server() else {
        return;
    };
    let (store, proxy) = behind_a_proxy(server);
    let database = store.rsplit('/').next().expect("a name").to_owned();
    let cluster = Cluster::start(store.clone(), 1, &[]).await;
    let mut graph = cluster.members[0].graph();
    graph
        .put_entity(put("a", 1, None, "first"))
        .await
        .expect("written");
    proxy.set(Mode::Mute);
    let lost = graph.put_entity(put("a", 2, Some(1), "second")).await;
    let lost = lost.expect_err("the reply is swallowed");
    assert_eq!(lost.code(), Code::Unavailable, "{lost:?}");
    let records = || server.run(&database, "SELECT count(*) FROM amadeus_records");
    assert_eq!(records(), "2", "it was carried out");
    proxy.set(Mode::Pass);
    proxy.cut();
    soon("the retry is answered", || {
        let mut graph = graph.clone();
        async move {
            let reply = graph.put_entity(put("a", 2, Some(1), "second")).await;
            let header = reply.ok().and_then(|reply| reply.into_inner().header);
            header.is_some_and(|header| {
                assert_eq!(header.revision, 2, "the first outcome");
                true
            })
        }
    })
    .await;
    assert_eq!(records(), "2");
    assert_eq!(cluster.agree().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_cut_off_serves_reads_and_comes_back() {
    let Some(server) = database_server() else {
        return;
    };
    let (store, proxy) = behind_a_proxy(server);
    let mut cluster = Cluster::start(store.clone(), 1, &[]).await;
    let direct = server.url_of(store.rsplit('/').next().expect("a name"));
    let other = crate::cluster::Member::start(&cluster.folder, &direct, &[]).await;
    cluster.members.push(other);
    let (mut cut_off, mut other) = (cluster.members[0].graph(), cluster.members[1].graph());
    cut_off
        .put_entity(put("a", 1, None, ""))
        .await
        .expect("written");
    for mode in [Mode::Refuse, Mode::Silent] {
        let (before, _) = read(&mut cut_off, "a", None).await.expect("there");
        proxy.set(mode);
        if mode == Mode::Refuse {
            proxy.cut();
        }
        let reply = other.put_entity(put("a", before + 1, None, "")).await;
        reply.expect("the other one writes");
        assert_eq!(
            read(&mut cut_off, "a", None).await.expect("there").0,
            before
        );
        let last = read(&mut cut_off, "a", level(Level::Linearizable(true))).await;
        let last = last.expect_err("it cannot know");
        assert_eq!(last.code(), Code::Unavailable, "{last:?}");
        proxy.set(Mode::Pass);
        proxy.cut();
        soon("it follows again", || {
            let mut graph = cut_off.clone();
            async move { read(&mut graph, "a", None).await.expect("there").0 == before + 1 }
        })
        .await;
    }
    cluster.agree().await;
}

#[tokio::test]
async fn a_server_whose_database_is_not_there_ends_with_a_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("postgres://me:hush@127.0.0.1:{}/db", free_port());
    let began = Instant::now();
    let mut process = Process::with(folder.path(), &[], "", &["--store", &store]);
    assert!(process.ready().await.is_none(), "it must not start");
    assert!(began.elapsed() < Duration::from_secs(30));
    let said = process.tail();
    assert!(said.contains("could not be used within"), "{said}");
    assert!(
        said.contains("No other store is used in its place"),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_set_back_is_not_written_to() {
    let Some(server) = database_server() else {
        return;
    };
    let cluster = Cluster::start(server.database(), 1, &[]).await;
    let mut graph = cluster.members[0].graph();
    for number in 1..=5 {
        graph
            .put_entity(put("a", number, None, ""))
            .await
            .expect("written");
    }
    let database = cluster.store.rsplit('/').next().expect("a name");
    server.run(
        database,
        "DELETE FROM amadeus_records WHERE revision > 3; UPDATE amadeus_store SET revision = 3",
    );
    soon("it says so", || async {
        cluster.members[0]
            .process
            .tail()
            .contains("it is not the log that was written to")
    })
    .await;
    let refused = graph.put_entity(put("a", 6, None, "")).await;
    assert_eq!(refused.expect_err("it must not").code(), Code::Unavailable);
    assert_eq!(read(&mut graph, "a", None).await.expect("reads go on").0, 5);
    let count = server.run(database, "SELECT count(*) FROM amadeus_records");
    assert_eq!(count, "3", "nothing was appended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_holds_another_record_where_ours_ends_is_not_written_to() {
    let Some(server) = database_server() else {
        return;
    };
    // One server for each of two databases; then the one's log is put in the place of the other's.
    let (mine, theirs) = (
        Cluster::start(server.database(), 1, &[]).await,
        Cluster::start(server.database(), 1, &[]).await,
    );
    for (cluster, number) in [(&mine, 1), (&theirs, 2)] {
        let reply = cluster.members[0]
            .graph()
            .put_entity(put("a", number, None, ""))
            .await;
        reply.expect("written");
    }
    let name = |cluster: &Cluster| cluster.store.rsplit('/').next().expect("a name").to_owned();
    let record = server.run(&name(&theirs), "SELECT body FROM amadeus_records");
    server.run(
        &name(&mine),
        &format!("UPDATE amadeus_records SET body = '{record}'"),
    );
    soon("it says so", || async {
        let said = mine.members[0].process.tail();
        said.contains("holds another record of revision 1")
    })
    .await;
    let mut graph = mine.members[0].graph();
    let refused = graph.put_entity(put("a", 3, None, "")).await;
    assert_eq!(refused.expect_err("it must not").code(), Code::Unavailable);
    assert_eq!(read(&mut graph, "a", None).await.expect("reads go on").0, 1);
}
