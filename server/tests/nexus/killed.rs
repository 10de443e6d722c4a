//! Servers that are killed in the middle of their runs: every run ends as it would have, and each of its effects happens once
//! by its key.
//!
//! The binary carries out patterns whose steps call a service of this test, which does what it is asked once for each
//! idempotency key. Kills come at random; the seed is printed. `AMADEUS_KILLED_RUNS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amadeus_proto::v1;
use axum::Router;
use axum::extract::{Path as Of, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use testbed::Postgres;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use v1::RunState::{RunCompensating, RunFailed, RunQueued, RunRunning, RunSucceeded};
use v1::graph_service_client::GraphServiceClient;
use v1::nexus_service_client::NexusServiceClient;

use crate::process::Process;
use crate::random::{Random, seed, setting};

/// How long all runs together may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// What happened, by the key that it was asked for with, and how often that was.
#[derive(Clone, Default)]
struct Effects(Arc<Mutex<BTreeMap<String, u32>>>);

impl Effects {
    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let router = Router::new()
            .route("/{what}", post(Self::called))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    async fn called(
        State(effects): State<Self>,
        Of(what): Of<String>,
        headers: HeaderMap,
    ) -> StatusCode {
        if what == "refuse" {
            return StatusCode::BAD_REQUEST;
        }
        let key = headers["idempotency-key"]
            .to_str()
            .expect("text")
            .to_owned();
        // A moment, in which the caller may die.
        sleep(Duration::from_millis(5)).await;
        let mut effects = effects.0.lock().unwrap_or_else(PoisonError::into_inner);
        *effects.entry(key).or_default() += 1;
        StatusCode::OK
    }

    fn keys(&self) -> BTreeMap<String, u32> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn text(text: &str) -> prost_types::Value {
    prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.into())),
    }
}

fn number(number: f64) -> prost_types::Value {
    prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(number)),
    }
}

fn step(id: &str, kind: &str, action: &str, after: &[&str]) -> v1::PatternStep {
    let wait = || prost_types::Struct {
        fields: [("ms".to_owned(), number(100.0))].into(),
    };
    v1::PatternStep {
        id: id.into(),
        r#type: kind.into(),
        action: action.into(),
        target: if kind == "http" {
            "effects".into()
        } else {
            String::new()
        },
        depends_on: after.iter().map(|id| (*id).to_owned()).collect(),
        parameters: (kind == "wait").then(wait),
        // A server that was killed while it connected finds the service there; still, a machine may be busy.
        retry: (kind == "http").then(|| v1::RetryPolicy {
            max_attempts: 5,
            backoff_ms: 20,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A chain with a fork that succeeds, and one that fails at its end and is undone.
fn patterns() -> [v1::Pattern; 2] {
    let undo = |path: &str| v1::Compensation {
        r#type: "http".into(),
        target: "effects".into(),
        action: format!("POST /{path}"),
        ..Default::default()
    };
    let mut steps = vec![
        step("first", "pass", "", &[]),
        step("a", "http", "POST /a", &["first"]),
        step("pause", "wait", "", &["a"]),
        step("b", "http", "POST /b", &["pause"]),
        step("c", "http", "POST /c", &["pause"]),
        step("d", "http", "POST /d", &["b", "c"]),
    ];
    let settle = v1::Pattern {
        name: "settle".into(),
        active: true,
        steps: steps.clone(),
        outputs: vec![v1::PatternOutput {
            name: "run".into(),
            value: Some(text("${run.id}")),
            ..Default::default()
        }],
        ..Default::default()
    };
    for (at, path) in [(1, "undo-a"), (3, "undo-b"), (4, "undo-c")] {
        steps[at].compensation = Some(undo(path));
    }
    steps[5].action = "POST /refuse".into();
    let undone = v1::Pattern {
        name: "undone".into(),
        active: true,
        steps,
        ..Default::default()
    };
    [settle, undone]
}

/// The keys of everything that has to have happened in a run.
fn expected(run: &v1::Run) -> Vec<String> {
    let steps: &[&str] = match run.pattern.as_str() {
        "settle" => &["a", "b", "c", "d"],
        _ => &["a", "b", "c", "a/undo", "b/undo", "c/undo"],
    };
    steps
        .iter()
        .map(|step| format!("{}/{step}", run.id))
        .collect()
}

async fn prepare(channel: &Channel, service: SocketAddr) {
    let register = v1::RegisterServiceRequest {
        service: Some(v1::Service {
            name: "effects".into(),
            endpoints: vec![v1::Endpoint {
                path: format!("http://{service}"),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut graph = GraphServiceClient::new(channel.clone());
    graph.register_service(register).await.expect("registered");
    for pattern in patterns() {
        let register = v1::RegisterPatternRequest {
            pattern: Some(pattern),
            ..Default::default()
        };
        let mut nexus = NexusServiceClient::new(channel.clone());
        nexus.register_pattern(register).await.expect("registered");
    }
}

/// Begins a run, if the server lives long enough. The same number is the same run.
async fn begin(channel: Channel, number: usize) -> bool {
    let execute = v1::ExecutePatternRequest {
        pattern: if number.is_multiple_of(3) {
            "undone"
        } else {
            "settle"
        }
        .into(),
        request_id: format!("run {number}"),
        ..Default::default()
    };
    let mut nexus = NexusServiceClient::new(channel);
    let begun = timeout(Duration::from_secs(20), nexus.execute_pattern(execute)).await;
    matches!(begun, Ok(Ok(_)))
}

async fn list(channel: &Channel, states: &[v1::RunState]) -> Result<Vec<v1::Run>, tonic::Status> {
    let wanted = v1::ListRunsRequest {
        states: states.iter().map(|state| i32::from(*state)).collect(),
        page_size: 1_000,
        ..Default::default()
    };
    let mut nexus = NexusServiceClient::new(channel.clone());
    Ok(nexus.list_runs(wanted).await?.into_inner().runs)
}

async fn all_ended(channel: &Channel) {
    let waiting = async {
        loop {
            let open = list(channel, &[RunQueued, RunRunning, RunCompensating]).await;
            if open.is_ok_and(|open| open.is_empty()) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("all runs end");
}

/// Every run ended as it would have without a kill, and what it did happened for each of its keys.
async fn judge(channel: &Channel, effects: &Effects, many: usize) {
    let runs = list(channel, &[]).await.expect("listed");
    assert_eq!(runs.len(), many, "each request is one run");
    let mut keys = BTreeSet::new();
    for run in &runs {
        let state = if run.pattern == "settle" {
            RunSucceeded
        } else {
            RunFailed
        };
        assert_eq!(run.state(), state, "{run:?}");
        keys.extend(expected(run));
    }
    let happened = effects.keys();
    let found: BTreeSet<_> = happened.keys().cloned().collect();
    assert_eq!(
        found, keys,
        "exactly what had to happen, each under its key"
    );
    let taken_over = runs.iter().filter(|run| run.epoch > 1).count();
    assert!(taken_over > 0, "no run was killed in its middle");
    let again = happened.values().filter(|times| **times > 1).count();
    eprintln!("{many} runs, {taken_over} taken over, {again} calls repeated under their keys");
    let mut nexus = NexusServiceClient::new(channel.clone());
    for (pattern, count) in [
        ("settle", many - many.div_ceil(3)),
        ("undone", many.div_ceil(3)),
    ] {
        let get = v1::GetPatternRequest {
            name: pattern.into(),
            ..Default::default()
        };
        let got = nexus
            .get_pattern(get)
            .await
            .expect("it is there")
            .into_inner();
        let counted = got.statistics.expect("counted");
        assert_eq!(counted.usage_count as usize, count);
        assert_eq!((counted.succeeded + counted.failed) as usize, count);
    }
}

fn many() -> usize {
    setting("AMADEUS_KILLED_RUNS").unwrap_or(40)
}

fn start(folder: &Path, store: &str) -> Process {
    Process::with(folder, &[], "", &["--store", store])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_goes_on_with_every_run() {
    let (many, mut random) = (many(), Random::of(seed()));
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite://{}", folder.path().join("graph.db").display());
    let effects = Effects::default();
    let service = effects.serve().await;
    let mut process = start(folder.path(), &store);
    let mut channel = process.ready().await.expect("it serves");
    prepare(&channel, service).await;
    let mut next = 0;
    while next < many {
        let together = (1 + random.below(16) as usize).min(many - next);
        let begun = (next..next + together).map(|number| begin(channel.clone(), number));
        let begun = futures::future::join_all(begun);
        let killed = Duration::from_millis(random.below(250));
        tokio::select! {
            begun = begun => {
                if begun.iter().all(|begun| *begun) {
                    next += together;
                }
                sleep(Duration::from_millis(random.below(150))).await;
            }
            () = sleep(killed) => {}
        }
        process.end().await;
        process = start(folder.path(), &store);
        channel = process.ready().await.expect("it serves again");
    }
    all_ended(&channel).await;
    judge(&channel, &effects, many).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_leaves_its_runs_to_another() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(missing) => {
            eprintln!("skipped: {missing}");
            return;
        }
    };
    let (many, mut random) = (many() / 2, Random::of(seed()));
    let (folder, store) = (tempfile::tempdir().expect("a folder"), server.database());
    let effects = Effects::default();
    let service = effects.serve().await;
    let mut owner = start(folder.path(), &store);
    let channel = owner.ready().await.expect("it serves");
    prepare(&channel, service).await;
    let mut other = start(folder.path(), &store);
    let survivor = other.ready().await.expect("it serves");
    let begun = (0..many).map(|number| begin(channel.clone(), number));
    let begun = tokio::spawn(futures::future::join_all(begun.collect::<Vec<_>>()));
    while list(&survivor, &[]).await.expect("listed").len() < many / 2 {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(random.below(80))).await;
    owner.end().await;
    begun
        .await
        .expect("each has its answer, or knows that it has none");
    // Whoever had no answer asks again, elsewhere.
    for number in 0..many {
        while !begin(survivor.clone(), number).await {
            sleep(Duration::from_millis(100)).await;
        }
    }
    all_ended(&survivor).await;
    judge(&survivor, &effects, many).await;
}
