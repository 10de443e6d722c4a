//! Runs, carried out over a graph in memory and rows in memory, in a file and in a database.

use std::sync::Arc;
use std::time::Duration;

use amadeus::auth::Caller;
use amadeus::events::{Events, Keep};
use amadeus::hints::Hints;
use amadeus::metrics::Metrics;
use amadeus::nexus::Runs;
use amadeus::nexus::owner::Owners;
use amadeus::nexus::rows::{Cancel, RunFilter, RunId, RunRows};
use amadeus::nexus::runs::{KEPT, Order, Parts};
use amadeus::nexus::step::World;
use amadeus::storage::{OpenOptions, Opened, ServerId, open};
use amadeus_proto::v1;
use kg_core::model::{
    Compensation, Input, Name, Object, Output, PatternBody, PatternSpec, Retry, Step, Value,
    ValueType,
};
use kg_core::mutation::{Mutation, Transaction};
use tonic::Code;
use v1::RunState::{RunCancelled, RunFailed, RunQueued, RunSucceeded};
use v1::StepState::{StepCancelled, StepCompensated, StepFailed, StepSkipped, StepSucceeded};

use crate::harness::Server;
use crate::scripted::Scripted;

struct Bench {
    server: Server,
    scripted: Scripted,
    runs: Runs,
    opened: Opened,
    _folder: tempfile::TempDir,
}

/// How a bench differs from others.
#[derive(Clone)]
struct With {
    store: Option<String>,
    max_runs: usize,
    me: u64,
}

impl Default for With {
    fn default() -> Self {
        Self {
            store: Some("memory:".into()),
            max_runs: 100,
            me: 1,
        }
    }
}

impl Bench {
    async fn start() -> Self {
        Self::with(With::default()).await
    }

    async fn in_file() -> Self {
        let with = With {
            store: None,
            ..With::default()
        };
        Self::with(with).await
    }

    async fn with(with: With) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = with.store.clone();
        let url =
            url.unwrap_or_else(|| format!("sqlite://{}", folder.path().join("a.db").display()));
        let opened = open(&url, &OpenOptions::default()).await.expect("it opens");
        let (server, scripted) = (Server::start().await, Scripted::default());
        let runs = runs(&server, &scripted, &opened, &with).await;
        Self {
            server,
            scripted,
            runs,
            opened,
            _folder: folder,
        }
    }

    /// Ends the runs where they are, and goes on with them as another process would.
    async fn restart(&mut self) {
        self.runs.end().await;
        let with = With {
            me: 77,
            ..With::default()
        };
        self.runs = runs(&self.server, &self.scripted, &self.opened, &with).await;
        self.runs.start();
    }

    async fn put(&self, name: &str, body: PatternBody) {
        put(&self.server, name, body).await;
    }

    async fn begin(&self, pattern: &str) -> RunId {
        self.runs
            .begin(order(pattern, "{}"))
            .await
            .expect("it begins")
    }

    async fn ended(&self, id: &RunId) -> v1::Run {
        ended(&self.runs, id).await
    }
}

async fn runs(server: &Server, scripted: &Scripted, opened: &Opened, with: &With) -> Runs {
    let events = Events::open(opened, Keep::default(), Hints::default()).await;
    let (events, _) = events.expect("they open");
    Runs::new(Parts {
        rows: RunRows::open(opened).await.expect("they open"),
        kinds: scripted.kinds(),
        world: World {
            graph: server.context.clone(),
            events,
        },
        owners: Owners::trusted(),
        metrics: Arc::new(Metrics::new().expect("the names differ")),
        clock: amadeus::app::now_ms,
        me: ServerId(with.me),
        max_runs: with.max_runs,
        kept: KEPT,
    })
}

async fn put(server: &Server, name: &str, body: PatternBody) {
    let spec = PatternSpec {
        name: Name::parse("name", name).expect("a name"),
        body: PatternBody {
            active: true,
            ..body
        },
        metadata: Object::new(),
    };
    let put = Mutation::PutPattern(Box::new(spec));
    server
        .context
        .commit(Transaction::of(vec![put]))
        .await
        .expect("it is taken");
}

async fn ended(runs: &Runs, id: &RunId) -> v1::Run {
    let waited = tokio::time::timeout(Duration::from_secs(30), runs.ended(id)).await;
    waited.expect("it ends in time").expect("it is there");
    runs.run(id).await.expect("reached").expect("there")
}

fn json(text: &str) -> Object {
    let value = Value::from_json(text.as_bytes()).expect("JSON");
    value.as_object().expect("an object").clone()
}

fn order(pattern: &str, inputs: &str) -> Order {
    Order {
        caller: Caller::trusted(),
        pattern: Name::parse("pattern", pattern).expect("a name"),
        inputs: json(inputs),
        correlation: "".into(),
        reason: String::new(),
        expected: None,
        request: None,
        body: 1,
    }
}

/// A scripted step: `a<b,c:hang` is `a`, which depends on `b` and `c`, and hangs.
fn step(text: &str) -> Step {
    let (before, action) = text.split_once(':').unwrap_or((text, "ok"));
    let (id, needs) = before.split_once('<').unwrap_or((before, ""));
    Step {
        id: id.into(),
        kind: "scripted".into(),
        action: action.into(),
        depends_on: needs
            .split(',')
            .filter(|n| !n.is_empty())
            .map(str::to_owned)
            .collect(),
        ..Step::default()
    }
}

fn steps(texts: &[&str]) -> PatternBody {
    PatternBody {
        steps: texts.iter().map(|text| step(text)).collect(),
        ..PatternBody::default()
    }
}

fn states(run: &v1::Run) -> Vec<v1::StepState> {
    run.steps.iter().map(v1::StepStatus::state).collect()
}

fn by(actor: &str) -> Cancel {
    Cancel {
        actor: actor.into(),
        reason: "enough".into(),
    }
}

async fn a_chain_runs_and_gives_back(bench: Bench) {
    let mut body = steps(&["a", "b<a", "c<a", "d<b,c"]);
    body.steps[0].parameters = json(r#"{"n": "${inputs.n}"}"#);
    body.steps[3].parameters = json(r#"{"twice": ["${steps.a.result.n}", "${run.id}"]}"#);
    body.inputs = vec![Input {
        name: "n".into(),
        kind: ValueType::Integer,
        required: true,
        ..Input::default()
    }];
    body.outputs = vec![Output {
        name: "list".into(),
        value: Value::string("${steps.d.result.twice}"),
        ..Output::default()
    }];
    bench.put("chain", body).await;
    let id = bench
        .runs
        .begin(order("chain", r#"{"n": 7}"#))
        .await
        .expect("it begins");
    let run = bench.ended(&id).await;
    assert_eq!(
        (run.state(), run.steps_done, run.steps_total),
        (RunSucceeded, 4, 4)
    );
    assert_eq!(states(&run), [StepSucceeded; 4]);
    let outputs = run.outputs.expect("it has them");
    assert!(
        format!("{outputs:?}").contains(&id.to_string()),
        "{outputs:?}"
    );
    let view = bench
        .runs
        .view(&id.0)
        .await
        .expect("reached")
        .expect("there");
    let whats: Vec<_> = view.lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(
        (whats[0], whats[whats.len() - 1], whats.len()),
        ("run_started", "run_succeeded", 10)
    );
    assert!(
        view.lines
            .iter()
            .zip(1..)
            .all(|(line, seq)| line.seq == seq)
    );
    let wrong = bench
        .runs
        .begin(order("chain", r#"{"n": "x", "m": 1}"#))
        .await
        .expect_err("wrong");
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(
        wrong.message().contains("inputs.n") && wrong.message().contains("inputs.m"),
        "{wrong}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_runs_and_gives_back_in_memory() {
    a_chain_runs_and_gives_back(Bench::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_runs_and_gives_back_in_a_file() {
    a_chain_runs_and_gives_back(Bench::in_file().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_tried_again_as_often_as_it_says() {
    let bench = Bench::start().await;
    let mut body = steps(&["a:flaky", "b<a"]);
    body.steps[0].parameters = json(r#"{"times": 2}"#);
    body.steps[0].retry = Some(Retry {
        max_attempts: 3,
        backoff_ms: 5,
        ..Retry::default()
    });
    bench.put("flaky", body).await;
    let run = bench.ended(&bench.begin("flaky").await).await;
    assert_eq!((run.state(), run.steps[0].attempts), (RunSucceeded, 3));
    let key = &run.steps[0].idempotency_key;
    assert_eq!(
        bench.scripted.calls().get(key),
        Some(&3),
        "one key for all attempts"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_undoes_what_succeeded_and_fails_the_run() {
    let bench = Bench::start().await;
    let mut body = steps(&["a", "b<a", "c<b:fail", "d<c"]);
    for at in [0, 1] {
        body.steps[at].compensation = Some(Compensation {
            kind: "scripted".into(),
            action: "undo".into(),
            ..Compensation::default()
        });
    }
    bench.put("undone", body).await;
    let run = bench.ended(&bench.begin("undone").await).await;
    assert_eq!(
        (run.state(), run.code.as_str()),
        (RunFailed, "INVALID_ARGUMENT")
    );
    assert_eq!(
        states(&run),
        [StepCompensated, StepCompensated, StepFailed, StepSkipped]
    );
    let undone = format!("{}/undo", run.steps[0].idempotency_key);
    assert_eq!(bench.scripted.calls().get(&undone), Some(&1));
    let counted = bench.runs.statistics("undone").await.expect("reached");
    assert_eq!((counted.usage, counted.failed), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_run_and_no_other() {
    let bench = Bench::start().await;
    bench.put("bad", steps(&["a:panic", "b<a"])).await;
    bench.put("good", steps(&["a", "b<a"])).await;
    let mut ids = Vec::new();
    for i in 0..20 {
        ids.push(bench.begin(if i % 2 == 0 { "bad" } else { "good" }).await);
    }
    for (i, id) in ids.iter().enumerate() {
        let run = bench.ended(id).await;
        let expected = if i % 2 == 0 {
            (RunFailed, "INTERNAL")
        } else {
            (RunSucceeded, "")
        };
        assert_eq!((run.state(), run.code.as_str()), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_ends_with_its_time() {
    let bench = Bench::start().await;
    let mut body = steps(&["a:hang"]);
    body.steps[0].timeout_ms = 30;
    bench.put("slow", body).await;
    let run = bench.ended(&bench.begin("slow").await).await;
    assert_eq!(
        (run.state(), run.code.as_str()),
        (RunFailed, "DEADLINE_EXCEEDED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_cut_and_says_by_whom() {
    let bench = Bench::in_file().await;
    bench.put("long", steps(&["a:hang", "b<a"])).await;
    let id = bench.begin("long").await;
    bench.scripted.called(1).await;
    bench
        .runs
        .cancel(&id, by("bob"))
        .await
        .expect("it is asked");
    let run = bench.ended(&id).await;
    assert_eq!(run.state(), RunCancelled);
    assert_eq!(states(&run), [StepCancelled, StepCancelled]);
    assert!(
        run.message.contains("bob") && run.message.contains("enough"),
        "{}",
        run.message
    );
    bench
        .runs
        .cancel(&id, by("carol"))
        .await
        .expect("nothing happens");
    assert_eq!(bench.ended(&id).await.state(), RunCancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_after_a_restart_with_the_same_keys() {
    let mut bench = Bench::in_file().await;
    bench.put("long", steps(&["a", "b<a:hang", "c<b"])).await;
    let id = bench.begin("long").await;
    bench.scripted.called(2).await;
    bench.restart().await;
    bench.scripted.called(3).await;
    bench.scripted.open();
    let run = bench.ended(&id).await;
    assert_eq!((run.state(), run.epoch), (RunSucceeded, 2));
    let calls = bench.scripted.calls();
    let of = |step: usize| calls[&run.steps[step].idempotency_key];
    assert_eq!(
        (of(0), of(1), of(2)),
        (1, 2, 1),
        "only what was under way is begun again"
    );
    assert_eq!(run.steps[1].attempts, 1, "and it is the same attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_lets_runs_wait_and_a_waiting_run_can_be_cancelled() {
    let bench = Bench::with(With {
        max_runs: 2,
        ..With::default()
    })
    .await;
    bench.put("long", steps(&["a:hang"])).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bench.begin("long").await);
    }
    bench.scripted.called(2).await;
    let mut queued = Vec::new();
    for id in &ids {
        let run = bench.runs.run(id).await.expect("reached").expect("there");
        if run.state() == RunQueued {
            queued.push(id.clone());
        }
    }
    assert_eq!(queued.len(), 2);
    bench
        .runs
        .cancel(&queued[0], by("bob"))
        .await
        .expect("it is asked");
    assert_eq!(bench.ended(&queued[0]).await.state(), RunCancelled);
    bench.scripted.open();
    assert_eq!(bench.ended(&queued[1]).await.state(), RunSucceeded);
    assert_eq!(bench.scripted.most(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_a_class_share_its_bound_over_all_runs() {
    let bench = Bench::start().await;
    let mut body = steps(&["a:sleep", "b:sleep", "c:sleep", "d:sleep"]);
    for step in &mut body.steps {
        step.class = "narrow".into();
        step.parameters = json(r#"{"ms": 3}"#);
    }
    body.classes = [("narrow".to_owned(), 3)].into();
    bench.put("classed", body).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(bench.begin("classed").await);
    }
    for id in &ids {
        assert_eq!(bench.ended(id).await.state(), RunSucceeded);
    }
    assert!(bench.scripted.most() <= 3, "{}", bench.scripted.most());
}

fn calls_pattern(name: &str) -> PatternBody {
    PatternBody {
        steps: vec![Step {
            id: "inner".into(),
            kind: "pattern".into(),
            target: name.into(),
            ..Step::default()
        }],
        ..PatternBody::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_within_a_run_needs_no_place_and_is_cancelled_with_it() {
    let bench = Bench::with(With {
        max_runs: 1,
        ..With::default()
    })
    .await;
    bench.put("inner", steps(&["a:hang"])).await;
    bench.put("outer", calls_pattern("inner")).await;
    let id = bench.begin("outer").await;
    bench.scripted.called(1).await;
    let run = bench.runs.run(&id).await.expect("reached").expect("there");
    let child = RunId(run.steps[0].child_run.as_str().into());
    let inner = bench
        .runs
        .run(&child)
        .await
        .expect("reached")
        .expect("it has this id");
    assert_eq!(
        (inner.parent_run, inner.parent_step.as_str()),
        (id.to_string(), "inner")
    );
    bench
        .runs
        .cancel(&id, by("bob"))
        .await
        .expect("it is asked");
    assert_eq!(bench.ended(&child).await.state(), RunCancelled);
    assert_eq!(bench.ended(&id).await.state(), RunCancelled);
    bench.scripted.open();
    assert_eq!(
        bench.ended(&bench.begin("outer").await).await.state(),
        RunSucceeded
    );
}

/// The row of the inner run may appear after whoever cancels what was left behind has looked: the cut comes at every moment of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_within_a_run_that_begins_as_its_step_is_cut_is_cancelled() {
    let bench = Bench::in_file().await;
    bench.put("inner", steps(&["a:hang"])).await;
    for timeout_ms in 1..=8 {
        let mut body = calls_pattern("inner");
        body.steps[0].timeout_ms = timeout_ms;
        let name = format!("outer-{timeout_ms}");
        bench.put(&name, body).await;
        let begun = (0..25).map(|_| bench.begin(&name));
        for id in futures::future::join_all(begun).await {
            assert_eq!(bench.ended(&id).await.state(), RunFailed);
        }
    }
    let left = async {
        while bench.runs.carried() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let left = tokio::time::timeout(Duration::from_secs(20), left).await;
    assert!(left.is_ok(), "{} go on", bench.runs.carried());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_within_a_run_is_found_again_after_a_restart() {
    let mut bench = Bench::in_file().await;
    bench.put("inner", steps(&["a:hang"])).await;
    bench.put("outer", calls_pattern("inner")).await;
    let id = bench.begin("outer").await;
    bench.scripted.called(1).await;
    bench.restart().await;
    bench.scripted.open();
    assert_eq!(bench.ended(&id).await.state(), RunSucceeded);
    let filter = RunFilter::default();
    assert_eq!(
        bench.runs.list(&filter, 10).await.expect("reached").len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_begins_one_run_and_an_inactive_pattern_none() {
    let bench = Bench::start().await;
    bench.put("once", steps(&["a"])).await;
    let mut asked = order("once", "{}");
    asked.request = Some("alice\n1".into());
    let first = bench.runs.begin(asked.clone()).await.expect("it begins");
    assert_eq!(
        bench.runs.begin(asked.clone()).await.expect("it is known"),
        first
    );
    asked.body = 2;
    let refused = bench.runs.begin(asked).await.expect_err("another body");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let absent = bench
        .runs
        .begin(order("none", "{}"))
        .await
        .expect_err("none");
    assert_eq!(absent.code(), Code::NotFound);
    let mut moved = order("once", "{}");
    moved.expected = Some(99);
    assert_eq!(
        bench.runs.begin(moved).await.expect_err("moved").code(),
        Code::Aborted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_run_sees_every_line_once_and_its_end() {
    let bench = Bench::in_file().await;
    bench
        .put("chain", steps(&["a", "b<a", "c<b:sleep", "d<c"]))
        .await;
    let id = bench.begin("chain").await;
    let mut watch = bench.runs.watch(&id, 1);
    let mut seqs = Vec::new();
    loop {
        let watched = watch.next().await.expect("it is there");
        seqs.extend(watched.lines.iter().map(|line| line.seq));
        if watched.last {
            assert_eq!(
                (watched.run.state(), watched.run.steps.len()),
                (RunSucceeded, 4)
            );
            break;
        }
        assert!(watched.run.steps.is_empty());
    }
    let all: Vec<u32> = (1..=10).collect();
    assert_eq!(seqs, all);
    let mut late = bench.runs.watch(&id, 8);
    let watched = late.next().await.expect("it is there");
    assert_eq!((watched.lines.len(), watched.last), (3, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_at_once_are_counted_exactly_and_change_no_definition() {
    let bench = Bench::with(With {
        store: None,
        max_runs: 1_000,
        ..With::default()
    })
    .await;
    bench.put("many", steps(&["a", "b<a"])).await;
    let before = bench.server.context.graph.revisions().0;
    let begun = (0..1_000).map(|_| {
        let runs = bench.runs.clone();
        tokio::spawn(async move {
            let id = runs.begin(order("many", "{}")).await.expect("it begins");
            ended(&runs, &id).await.state()
        })
    });
    for one in futures::future::join_all(begun).await {
        assert_eq!(one.expect("it ends"), RunSucceeded);
    }
    let counted = bench.runs.statistics("many").await.expect("reached");
    assert_eq!((counted.usage, counted.succeeded), (1_000, 1_000));
    assert_eq!(bench.server.context.graph.revisions().0, before);
    assert_eq!(bench.scripted.calls().len(), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_paused_loses_its_runs_and_writes_nothing() {
    let server = match testbed::Postgres::shared() {
        Ok(server) => server,
        Err(missing) => {
            eprintln!("skipped: {missing}");
            return;
        }
    };
    let url = server.database();
    // It never says that it lives, as if it was held: its steps are under way all the same.
    let with = With {
        store: Some(url.clone()),
        ..With::default()
    };
    let paused = Bench::with(with.clone()).await;
    paused.put("long", steps(&["a:hang", "b<a"])).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(paused.begin("long").await);
    }
    paused.scripted.called(20).await;
    let other = Bench::with(With { me: 2, ..with }).await;
    other.runs.start();
    other.scripted.called(20).await;
    // Now the first one wakes up, and finds that what it did is nobody's business any more.
    paused.scripted.open();
    for id in &ids {
        paused.runs.ended_here(id).await;
    }
    assert!(
        paused
            .scripted
            .calls()
            .keys()
            .all(|key| key.ends_with("/a")),
        "it began nothing more"
    );
    other.scripted.open();
    for id in &ids {
        let run = ended(&other.runs, id).await;
        assert_eq!((run.state(), run.epoch), (RunSucceeded, 2));
        let view = other
            .runs
            .view(&id.0)
            .await
            .expect("reached")
            .expect("there");
        let ends = view
            .lines
            .iter()
            .filter(|line| line.what == "step_succeeded")
            .count();
        assert_eq!(ends, 2);
    }
    let counted = other.runs.statistics("long").await.expect("reached");
    assert_eq!((counted.usage, counted.succeeded), (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_lets_go_of_runs_that_were_taken_over_though_their_steps_say_nothing() {
    let server = match testbed::Postgres::shared() {
        Ok(server) => server,
        Err(missing) => {
            eprintln!("skipped: {missing}");
            return;
        }
    };
    let with = With {
        store: Some(server.database()),
        ..With::default()
    };
    let paused = Bench::with(with.clone()).await;
    paused.put("long", steps(&["a:hang"])).await;
    let id = paused.begin("long").await;
    paused.scripted.called(1).await;
    let other = Bench::with(With { me: 2, ..with }).await;
    other.runs.start();
    other.scripted.called(1).await;
    // It goes on, and its step would hang for ever.
    paused.runs.start();
    let gone = tokio::time::timeout(Duration::from_secs(30), paused.runs.ended_here(&id)).await;
    assert!(gone.is_ok(), "it still carries the run out");
    assert_eq!(paused.runs.carried(), 0);
    let run = paused.runs.run(&id).await.expect("reached").expect("there");
    assert_eq!(run.epoch, 2, "what it tells is what the other one does");
    other.scripted.open();
    assert_eq!(ended(&paused.runs, &id).await.state(), RunSucceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_run_keeps_no_other_from_going_on() {
    use sqlx::Connection as _;
    let mut bench = Bench::in_file().await;
    bench.put("long", steps(&["a:hang"])).await;
    let (damaged, other) = (bench.begin("long").await, bench.begin("long").await);
    bench.scripted.called(2).await;
    bench.runs.end().await;
    let file = bench._folder.path().join("a.db.runs");
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .expect("it opens");
    let spoiled = sqlx::query(
        "UPDATE amadeus_run_lines SET body = x'ff' WHERE run = (SELECT run FROM amadeus_runs WHERE id = ?)",
    )
    .bind(&*damaged.0)
    .execute(&mut connection)
    .await
    .expect("spoiled");
    assert!(spoiled.rows_affected() > 0);
    connection.close().await.expect("closed");
    bench.restart().await;
    bench.scripted.open();
    assert_eq!(bench.ended(&other).await.state(), RunSucceeded);
    assert!(bench.runs.fault().is_some_and(|why| why.contains("cut")));
    let epoch = async || {
        let row = bench.runs.row(&damaged.0).await.expect("reached");
        row.expect("there").epoch
    };
    let before = epoch().await;
    // Longer than it takes until runs that nobody carries out are looked for again.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(epoch().await, before, "it was taken again");
    assert!(bench.runs.fault().is_some(), "it stays known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_run_on_another_server() {
    let server = match testbed::Postgres::shared() {
        Ok(server) => server,
        Err(missing) => {
            eprintln!("skipped: {missing}");
            return;
        }
    };
    let with = With {
        store: Some(server.database()),
        ..With::default()
    };
    let one = Bench::with(with.clone()).await;
    one.runs.start();
    one.put("long", steps(&["a:hang"])).await;
    let id = one.begin("long").await;
    one.scripted.called(1).await;
    let other = Bench::with(With { me: 2, ..with }).await;
    other
        .runs
        .cancel(&id, by("bob"))
        .await
        .expect("it is asked");
    assert_eq!(ended(&other.runs, &id).await.state(), RunCancelled);
    assert_eq!(other.scripted.calls().len(), 0);
}
