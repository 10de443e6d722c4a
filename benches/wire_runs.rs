//! How many steps that do nothing become durable in a second, with 1,000 runs at once, beside a transaction for each step?
//!
//! A pattern is a chain of 20 `pass` steps. 1,000 runs of it are begun at once over a few connections, each waited for; told is
//! the number of steps by the time from the first beginning to the last end. A step is two lines in its run's journal, and the
//! end of one is synced before the next begins. The rival is what a server without group commit would do at best: a file of
//! SQLite, one connection, no wire and no decisions, one synced transaction for the two lines of each step, one after the other.
//! The server and the client share the processor, the files the file system.
//!
//! ```text
//! cargo xtask bench wire_runs
//! ```

mod wire;

use std::time::Instant;

use amadeus_proto::v1;
use amadeus_proto::v1::nexus_service_client::NexusServiceClient;
use futures::future::{join_all, try_join_all};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::Builder;
use tonic::transport::{Channel, Endpoint};
use wire::rounds::{Ask, CONNECTIONS};
use wire::servers::{Server, folder};

const CASE: &str = "no-op steps, durable, 1,000 runs at once";
const NAIVE: &str = "SQLite, a synced transaction a step";

/// Steps in a second that are asked for.
const BOUND: f64 = 5_000.0;

/// Steps of a run.
const STEPS: usize = 20;

fn main() {
    let ask = Ask::new(
        "wire_runs",
        "How many steps that do nothing become durable in a second, with 1,000 runs at once?",
    );
    let (runs, naive) = ask.mode.size((1_000, 2_000), (20, 50));
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be had");
    for _ in 0..ask.mode.rounds() {
        let Some(server) = ask.started(CASE, "", Server::amadeus()) else {
            return;
        };
        let ours = runtime.block_on(carried_out(&server, runs));
        drop(server);
        let its = runtime.block_on(one_by_one(naive));
        ask.bounded(CASE, "steps/s", ("Amadeus", ours), BOUND);
        ask.rate(CASE, "steps/s", ("Amadeus", ours), (NAIVE, its), None);
    }
}

/// Steps carried out in a second.
async fn carried_out(server: &Server, runs: usize) -> f64 {
    let channels = connected(server).await;
    let mut client = NexusServiceClient::new(channels[0].clone());
    let register = v1::RegisterPatternRequest {
        pattern: Some(chain()),
        ..v1::RegisterPatternRequest::default()
    };
    client
        .register_pattern(register)
        .await
        .expect("it is valid");
    let began = Instant::now();
    let runs = (0..runs).map(|run| {
        let mut client = NexusServiceClient::new(channels[run % channels.len()].clone());
        async move {
            let execute = v1::ExecutePatternRequest {
                pattern: "chain".into(),
                wait: true,
                ..v1::ExecutePatternRequest::default()
            };
            let run = client
                .execute_pattern(execute)
                .await
                .expect("there is room");
            let run = run.into_inner().run.expect("it is told");
            assert_eq!(run.state(), v1::RunState::RunSucceeded);
            run.steps.len()
        }
    });
    let steps: usize = join_all(runs).await.into_iter().sum();
    steps as f64 / began.elapsed().as_secs_f64()
}

async fn connected(server: &Server) -> Vec<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.at));
    let endpoint = endpoint.expect("it is an address");
    let channels = (0..CONNECTIONS).map(|_| endpoint.connect());
    try_join_all(channels).await.expect("the server listens")
}

fn chain() -> v1::Pattern {
    let step = |at: usize| v1::PatternStep {
        id: format!("s{at}"),
        r#type: "pass".into(),
        depends_on: at
            .checked_sub(1)
            .map(|before| format!("s{before}"))
            .into_iter()
            .collect(),
        ..v1::PatternStep::default()
    };
    v1::Pattern {
        name: "chain".into(),
        active: true,
        steps: (0..STEPS).map(step).collect(),
        ..v1::Pattern::default()
    }
}

/// Steps written in a second, each in a transaction of its own.
async fn one_by_one(steps: usize) -> f64 {
    let folder = folder();
    let mut file = SqliteConnectOptions::new()
        .filename(folder.path().join("naive.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .connect()
        .await
        .expect("a file can be made");
    sqlx::query("CREATE TABLE lines (run INTEGER, seq INTEGER, body BLOB, PRIMARY KEY (run, seq)) WITHOUT ROWID")
        .execute(&mut file)
        .await
        .expect("there is room");
    let began = Instant::now();
    for step in 0..steps as i64 {
        let mut transaction = file.begin().await.expect("nobody else has it");
        for seq in [2 * step, 2 * step + 1] {
            sqlx::query("INSERT INTO lines VALUES (1, ?, ?)")
                .bind(seq)
                .bind([0_u8; 24].as_slice())
                .execute(&mut *transaction)
                .await
                .expect("there is room");
        }
        transaction.commit().await.expect("there is room");
    }
    let rate = steps as f64 / began.elapsed().as_secs_f64();
    file.close().await.expect("it ends in order");
    rate
}
