//! The rows of runs, in memory, in SQLite and in PostgreSQL: one suite that all three are held to.

use std::sync::Arc;
use std::time::Duration;

use amadeus::auth::UserId;
use amadeus::nexus::rows::{
    About, Append, Begun, Cancel, Fenced, LEASE, NewRun, OwnerId, Progress, RunFilter, RunId,
    RunKey, RunRows, RunRowsError, Statistics,
};
use amadeus::storage::{OpenOptions, Opened, ServerId, open};
use kg_core::nexus::RunState;
use testbed::Postgres;

const A: ServerId = ServerId(1);
/// The sign of a signed number must make no difference.
const B: ServerId = ServerId(u64::MAX);

/// Rows of a new store, as two servers have them. Where only one process can have them, they share a handle.
trait Subject {
    async fn fresh(&mut self) -> [RunRows; 2];
}

async fn rows_of(url: &str, kept: &mut Vec<Opened>) -> RunRows {
    let opened = open(url, &OpenOptions::default()).await.expect("it opens");
    let rows = RunRows::open(&opened).await.expect("they open");
    kept.push(opened);
    rows
}

#[derive(Default)]
struct InMemory(Vec<Opened>);

impl Subject for InMemory {
    async fn fresh(&mut self) -> [RunRows; 2] {
        let rows = rows_of("memory:", &mut self.0).await;
        [rows.clone(), rows]
    }
}

/// The folders of all stores so far, which must stay.
#[derive(Default)]
struct InFile(Vec<tempfile::TempDir>, Vec<Opened>);

impl Subject for InFile {
    async fn fresh(&mut self) -> [RunRows; 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("a.db").display());
        self.0.push(folder);
        let rows = rows_of(&url, &mut self.1).await;
        [rows.clone(), rows]
    }
}

struct Shared(&'static Postgres, Vec<Opened>);

impl Subject for Shared {
    async fn fresh(&mut self) -> [RunRows; 2] {
        let url = self.0.database();
        [
            rows_of(&url, &mut self.1).await,
            rows_of(&url, &mut self.1).await,
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_rows_in_memory_conform() {
    conformance(&mut InMemory::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_rows_in_sqlite_conform() {
    conformance(&mut InFile::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_rows_in_postgres_conform() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(missing) => {
            eprintln!("skipped: {missing}");
            return;
        }
    };
    conformance(&mut Shared(server, Vec::new())).await;
}

async fn conformance(subject: &mut impl Subject) {
    a_run_is_kept_as_it_was_begun(subject.fresh().await).await;
    one_request_begins_one_run(subject.fresh().await).await;
    lines_are_read_back_in_order(subject.fresh().await).await;
    who_has_another_epoch_writes_nothing(subject.fresh().await).await;
    a_write_that_is_repeated_is_made_once(subject.fresh().await).await;
    a_thousand_runs_count_exactly(subject.fresh().await).await;
    what_nobody_carries_out_is_adopted_once(subject.fresh().await).await;
    a_cancel_is_told_to_the_owner(subject.fresh().await).await;
    lists_are_filtered_and_go_on(subject.fresh().await).await;
    what_is_old_or_too_many_is_trimmed_and_still_counted(subject.fresh().await).await;
}

fn new(id: &str, request: Option<&str>) -> NewRun {
    NewRun {
        id: RunId(id.into()),
        request: request.map(str::to_owned),
        body: u64::MAX - 7,
        about: About {
            pattern: "settle".into(),
            pattern_version: "1.2".into(),
            pattern_revision: 3,
            graph_revision: 4,
            event_offset: 5,
            actor: "alice/ci".into(),
            owner: OwnerId::User(UserId("u1".into())),
            reason: "because".into(),
            correlation: format!("order {id}").into(),
            parent: "".into(),
            parent_step: "".into(),
            depth: 0,
            steps_total: 2,
            created_ms: 1_000,
        },
        inputs: b"inputs".to_vec(),
        definition: b"definition".to_vec(),
    }
}

async fn begin(rows: &RunRows, id: &str, me: ServerId) -> RunKey {
    match rows.begin(new(id, None), me).await.expect("it is reached") {
        Begun::New(key) => key,
        other => panic!("{other:?}"),
    }
}

fn lines(run: RunKey, epoch: u32, seq: u32, texts: &[&str], state: RunState) -> Append {
    Append {
        run,
        epoch,
        seq,
        lines: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        now: Progress {
            state,
            steps_done: seq,
            code: "".into(),
            message: "a\0b".into(),
            ended_ms: state.has_ended().then_some(1_250),
        },
    }
}

async fn append(rows: &RunRows, append: Append) -> Result<(), Fenced> {
    rows.append(append)
        .await
        .expect("it is open")
        .durable()
        .await
}

async fn a_run_is_kept_as_it_was_begun([rows, other]: [RunRows; 2]) {
    assert_eq!(rows.get("a").await, Ok(None));
    let key = begin(&rows, "a", A).await;
    let kept = other.get("a").await.expect("reached").expect("there");
    assert_eq!((kept.row.key, kept.row.epoch, kept.row.server), (key, 1, A));
    assert_eq!(kept.row.about, new("a", None).about);
    assert_eq!(kept.row.state, RunState::Queued);
    assert_eq!(
        (&*kept.inputs, &*kept.definition),
        (&b"inputs"[..], &b"definition"[..])
    );
    assert!(kept.lines.is_empty() && kept.row.cancel.is_none() && !kept.row.told);
}

async fn one_request_begins_one_run([rows, other]: [RunRows; 2]) {
    let asked = |id: String, rows: RunRows| async move {
        rows.begin(new(&id, Some("alice once")), A)
            .await
            .expect("reached")
    };
    let many = (0..64).map(|i| {
        let rows = if i % 2 == 0 {
            rows.clone()
        } else {
            other.clone()
        };
        tokio::spawn(asked(format!("r{i}"), rows))
    });
    let (mut begun, mut known) = (Vec::new(), Vec::new());
    for one in futures::future::join_all(many).await {
        match one.expect("it ends") {
            Begun::New(key) => begun.push(key),
            Begun::Known(key, _) => known.push(key),
            Begun::Reused => panic!("it is the same request"),
        }
    }
    assert_eq!((begun.len(), known.len()), (1, 63));
    assert!(known.iter().all(|key| *key == begun[0]));
    let mut another = new("x", Some("alice once"));
    another.body = 1;
    assert_eq!(rows.begin(another, A).await, Ok(Begun::Reused));
    assert_eq!(rows.statistics("settle").await.expect("reached").usage, 1);
}

async fn lines_are_read_back_in_order([rows, other]: [RunRows; 2]) {
    let key = begin(&rows, "a", A).await;
    // Handed over without waiting, and one that is waited for.
    let first = rows
        .append(lines(key, 1, 1, &["1", "2"], RunState::Running))
        .await;
    let second = rows
        .append(lines(key, 1, 3, &["3"], RunState::Running))
        .await;
    drop(first);
    second.expect("open").durable().await.expect("written");
    append(&rows, lines(key, 1, 4, &["", "5"], RunState::Running))
        .await
        .expect("written");
    let kept = other.get("a").await.expect("reached").expect("there");
    let texts: Vec<_> = kept
        .lines
        .iter()
        .map(|l| String::from_utf8_lossy(l))
        .collect();
    assert_eq!(texts, ["1", "2", "3", "", "5"]);
    assert_eq!((kept.row.last_seq, kept.row.steps_done), (5, 4));
    let last = other.lines(key, 5).await.expect("reached");
    assert_eq!(last.last().map(Vec::as_slice), Some(&b"5"[..]));
    assert!(last.len() <= 2);
}

async fn who_has_another_epoch_writes_nothing([rows, other]: [RunRows; 2]) {
    let key = begin(&rows, "a", A).await;
    let fine = begin(&rows, "b", A).await;
    assert_eq!(adopt(&other, B).await, ["a", "b"]);
    let (late, fresh) = (
        rows.append(lines(key, 1, 1, &["late"], RunState::Running))
            .await
            .expect("open"),
        rows.append(lines(fine, 2, 1, &["fine"], RunState::Running))
            .await
            .expect("open"),
    );
    assert_eq!(late.durable().await, Err(Fenced::MovedOn));
    assert_eq!(fresh.durable().await, Ok(()));
    assert!(rows.lines(key, 1).await.expect("reached").is_empty());
    let gap = append(&rows, lines(key, 2, 7, &["gap"], RunState::Running)).await;
    assert_eq!(gap, Err(Fenced::Broken));
    let nobody = append(
        &rows,
        lines(RunKey(99_999), 1, 1, &["x"], RunState::Running),
    )
    .await;
    assert_eq!(nobody, Err(Fenced::MovedOn));
}

async fn a_write_that_is_repeated_is_made_once([rows, _]: [RunRows; 2]) {
    let key = begin(&rows, "a", A).await;
    for _ in 0..3 {
        append(&rows, lines(key, 1, 1, &["1"], RunState::Running))
            .await
            .expect("there");
    }
    for _ in 0..3 {
        append(&rows, lines(key, 1, 2, &["2"], RunState::Failed))
            .await
            .expect("there");
    }
    assert_eq!(rows.lines(key, 1).await.expect("reached").len(), 2);
    let counted = rows.statistics("settle").await.expect("reached");
    let expected = Statistics {
        usage: 1,
        failed: 1,
        total_ms: 250,
        min_ms: 250,
        max_ms: 250,
        last_ms: 1_000,
        ..Statistics::default()
    };
    assert_eq!(counted, expected);
}

async fn a_thousand_runs_count_exactly([rows, other]: [RunRows; 2]) {
    let tasks = (0..1_000).map(|i| {
        let rows = if i % 2 == 0 {
            rows.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let key = begin(&rows, &format!("r{i}"), A).await;
            let state = if i % 10 == 0 {
                RunState::Cancelled
            } else {
                RunState::Succeeded
            };
            append(&rows, lines(key, 1, 1, &["end"], state))
                .await
                .expect("written");
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.expect("it ends");
    }
    let counted = other.statistics("settle").await.expect("reached");
    assert_eq!(
        (counted.usage, counted.succeeded, counted.cancelled),
        (1_000, 900, 100)
    );
    assert_eq!((counted.total_ms, counted.failed), (250_000, 0));
    assert_eq!(rows.statistics("no such").await, Ok(Statistics::default()));
}

/// Everything that can be adopted now. In a database a server that has never said that it lives is dead.
async fn adopt(rows: &RunRows, me: ServerId) -> Vec<String> {
    let adopted = rows.adopt(me, LEASE).await.expect("reached");
    adopted.iter().map(ToString::to_string).collect()
}

async fn what_nobody_carries_out_is_adopted_once([rows, other]: [RunRows; 2]) {
    for i in 0..50 {
        begin(&rows, &format!("r{i:02}"), A).await;
    }
    let ended = begin(&rows, "ended", A).await;
    append(&rows, lines(ended, 1, 1, &["end"], RunState::Succeeded))
        .await
        .expect("written");
    let told = begin(&rows, "told", A).await;
    append(&rows, lines(told, 1, 1, &["end"], RunState::Succeeded))
        .await
        .expect("written");
    rows.told(told).await;
    // Behind it in the same queue.
    begin(&rows, "last", A).await;
    if rows.is_shared() {
        rows.beat(A).await.expect("reached");
        assert_eq!(adopt(&other, B).await, [""; 0], "it lives");
        rows.leave(A).await.expect("reached");
    }
    // Whoever adopts lives.
    rows.beat(B).await.expect("reached");
    other.beat(ServerId(3)).await.expect("reached");
    let (one, two) = tokio::join!(adopt(&rows, B), adopt(&other, ServerId(3)));
    // The second may have taken from the first where a dead server is whoever is somebody else.
    if rows.is_shared() {
        let mut all = [one, two].concat();
        all.sort();
        assert_eq!(all.len(), 52, "{all:?}");
        all.dedup();
        assert_eq!(all.len(), 52);
        assert!(all.contains(&"ended".to_owned()) && !all.contains(&"told".to_owned()));
    } else {
        assert_eq!((one.len(), two.len()), (52, 52));
    }
    let row = other.row("r00").await.expect("reached").expect("there");
    assert!(row.epoch >= 2 && row.server != A);
    let mine = other.mine(row.server).await.expect("reached");
    assert!(mine.contains(&RunId("r00".into())));
}

async fn a_cancel_is_told_to_the_owner([rows, other]: [RunRows; 2]) {
    let key = begin(&rows, "a", A).await;
    begin(&rows, "b", A).await;
    let cancel = Cancel {
        actor: "bob".into(),
        reason: "enough".into(),
    };
    assert_eq!(other.ask_cancel("a", &cancel).await, Ok(true));
    assert_eq!(other.ask_cancel("a", &cancel).await, Ok(false), "once");
    assert_eq!(other.ask_cancel("none", &cancel).await, Ok(false));
    let told = rows.beat(A).await.expect("reached").cancels;
    assert_eq!(told, [(key, cancel.clone())]);
    append(&rows, lines(key, 1, 1, &["end"], RunState::Cancelled))
        .await
        .expect("written");
    assert!(rows.beat(A).await.expect("reached").cancels.is_empty());
    assert_eq!(
        rows.row("a").await.expect("reached").expect("there").cancel,
        Some(cancel)
    );
}

async fn lists_are_filtered_and_go_on([rows, other]: [RunRows; 2]) {
    for i in 0..7 {
        begin(&rows, &format!("r{i}"), A).await;
    }
    let mut child = new("child", None);
    child.about.parent = "r0".into();
    child.about.pattern = "inner".into();
    child.about.owner = OwnerId::Nobody;
    let Ok(Begun::New(key)) = rows.begin(child, A).await else {
        panic!("it is new")
    };
    append(&rows, lines(key, 1, 1, &["end"], RunState::Succeeded))
        .await
        .expect("written");
    let ids = |filter: RunFilter, limit| {
        let other = other.clone();
        async move {
            let rows = other.list(&filter, limit).await.expect("reached");
            (
                rows.iter()
                    .map(|row| row.id.to_string())
                    .collect::<Vec<_>>(),
                rows.last().map(|row| row.key),
            )
        }
    };
    let (first, before) = ids(RunFilter::default(), 3).await;
    assert_eq!(first, ["child", "r6", "r5"]);
    let next = RunFilter {
        before,
        ..RunFilter::default()
    };
    assert_eq!(ids(next, 2).await.0, ["r4", "r3"]);
    for (filter, count) in [
        (
            RunFilter {
                pattern: "settle".into(),
                ..RunFilter::default()
            },
            7,
        ),
        (
            RunFilter {
                states: vec![RunState::Succeeded, RunState::Failed],
                ..RunFilter::default()
            },
            1,
        ),
        (
            RunFilter {
                parent: "r0".into(),
                ..RunFilter::default()
            },
            1,
        ),
        (
            RunFilter {
                correlation: "order r3".into(),
                ..RunFilter::default()
            },
            1,
        ),
        (
            RunFilter {
                actor: "alice/ci".into(),
                ..RunFilter::default()
            },
            8,
        ),
        (
            RunFilter {
                begun_by: Some("u1".into()),
                ..RunFilter::default()
            },
            7,
        ),
        (
            RunFilter {
                begun_by: Some(String::new()),
                ..RunFilter::default()
            },
            1,
        ),
    ] {
        assert_eq!(ids(filter.clone(), 100).await.0.len(), count, "{filter:?}");
    }
}

async fn what_is_old_or_too_many_is_trimmed_and_still_counted([rows, _]: [RunRows; 2]) {
    let mut ended = Vec::new();
    for i in 0..10 {
        let key = begin(&rows, &format!("r{i}"), A).await;
        if i != 1 {
            append(&rows, lines(key, 1, 1, &["end"], RunState::Succeeded))
                .await
                .expect("written");
            rows.told(key).await;
            ended.push(key);
        }
    }
    begin(&rows, "goes on", A).await;
    assert_eq!(rows.trim(0, 100).await, Ok(0));
    assert_eq!(
        rows.trim(0, 4).await,
        Ok(5),
        "all but the newest four that ended"
    );
    assert_eq!(rows.get("r0").await, Ok(None));
    assert!(rows.lines(ended[0], 1).await.expect("reached").is_empty());
    assert!(
        rows.get("r1").await.expect("reached").is_some(),
        "it goes on"
    );
    assert_eq!(rows.trim(1_250, 100).await, Ok(0));
    assert_eq!(rows.trim(1_251, 100).await, Ok(4));
    assert_eq!(rows.statistics("settle").await.expect("reached").usage, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("a.db").display());
    let mut kept = Vec::new();
    let rows = rows_of(&url, &mut kept).await;
    let key = begin(&rows, "a", A).await;
    append(&rows, lines(key, 1, 1, &["1"], RunState::Running))
        .await
        .expect("written");
    rows.close().await;
    assert!(rows.get("a").await.is_err());
    kept.remove(0).backend.close().await.expect("it closes");
    let again = rows_of(&url, &mut kept).await;
    assert_eq!(
        again.adopt(B, Duration::ZERO).await,
        Ok(vec![RunId("a".into())])
    );
    let row = again.row("a").await.expect("reached").expect("there");
    assert_eq!((row.epoch, row.last_seq, row.server), (2, 1, B));
    let _: Arc<str> = row.about.pattern;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_a_database_does_not_answer_keep_no_connection() {
    use sqlx::Connection as _;
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(missing) => {
            eprintln!("skipped: {missing}");
            return;
        }
    };
    let url = server.database();
    let mut kept = Vec::new();
    let rows = rows_of(&url, &mut kept).await;
    let mut other = sqlx::PgConnection::connect(&url)
        .await
        .expect("it is there");
    let mut holding = other.begin().await.expect("it is there");
    sqlx::raw_sql("LOCK TABLE amadeus_runs")
        .execute(&mut *holding)
        .await
        .expect("nobody has it");
    // More than there are connections, each for as long as a question waits.
    let asked = futures::future::join_all((0..6).map(|_| rows.row("a"))).await;
    for one in asked {
        assert!(matches!(one, Err(RunRowsError::Unavailable(_))), "{one:?}");
    }
    // What the others wait for is still held, and this one does not need it.
    let statistics = rows.statistics("settle").await.expect("it is answered");
    assert_eq!(statistics.usage, 0);
}
