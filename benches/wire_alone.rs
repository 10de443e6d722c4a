//! What does one client wait for a durable write, beside a synced insert through sqlx and two empty calls?
//!
//! One connection and one `PutEntity` at a time, each a transaction of its own that changes an entity. Whoever wrote the same by
//! hand would have a service call sqlx, which inserts a row of the same size in a table like ours, in a SQLite file with our
//! settings, by one statement that is its own transaction and is synced when it returns; here that is timed without
//! the service. Beside it stands what the wire takes: an empty call to a tonic server without layers, taken twice. All
//! three take turns, a few calls each; a value is the median of all calls of a round, and the rival's the sum of such medians.
//!
//! ```text
//! cargo xtask bench wire_alone
//! ```

mod wire;

use std::time::{Duration, Instant};

use benches::figure::{Better, Figure, Line};
use prost::Message;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::runtime::{Builder, Runtime};
use wire::graph::{PUT_ENTITY, name, put_entity};
use wire::load::Load;
use wire::rounds::Ask;
use wire::servers::{Server, folder};
use wire::{etcd, ready_made};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUESTION: &str = "wire_alone";
const CASE: &str = "durable PutEntity, one client with one write in flight";
const BY_HAND: &str = "sqlx insert and two empty calls,";
const PUT: &str = "etcd Put";
const BOUND: f64 = 1.0;

const ENTITIES: u64 = 1_000;

/// Turns in a round, and calls in a turn; the first call of a turn is not timed.
const TURNS: usize = 20;
const CALLS: usize = 20;

fn main() {
    ready_made::serve_if_asked();
    let ask = Ask::new(
        QUESTION,
        "What does one client wait for a durable write, beside a synced insert through sqlx and two empty calls?",
    );
    let Some(ours) = ask.started(CASE, "", Server::amadeus()) else {
        return;
    };
    let ready = Server::ready_made(&[]).expect("this program serves as well");
    let etcd = ask.started(CASE, PUT, Server::etcd());

    let put = |number, out: &mut Vec<u8>| encode(&put_entity(number, ENTITIES), out);
    let put_in_etcd = |number, out: &mut Vec<u8>| {
        let value = put_entity(number, ENTITIES).encode_to_vec();
        encode(&etcd::put(&name(number, ENTITIES), value), out);
    };
    let mut write = Load::connect(ours.at, PUT_ENTITY, 1, Box::new(put));
    let mut empty = Load::connect(ready.at, ready_made::EMPTY, 1, Box::new(|_, _| {}));
    let mut in_etcd = etcd
        .as_ref()
        .map(|etcd| Load::connect(etcd.at, etcd::PUT, 1, Box::new(put_in_etcd)));
    let place = folder();
    let mut table = Table::new(place.path());

    for _ in 0..ask.mode.rounds() {
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..ask.mode.size(TURNS, 1) {
            turn(&mut times[0], || write.one());
            turn(&mut times[1], || table.insert());
            turn(&mut times[2], || empty.one());
            if let Some(load) = &mut in_etcd {
                turn(&mut times[3], || load.one());
            }
        }
        let [ours, insert, empty, in_etcd] = times.map(median_ns);
        figure(ours, BY_HAND, insert + 2.0 * empty, Some(BOUND));
        figure(ours, "that insert alone,", insert, None);
        if etcd.is_some() {
            figure(ours, PUT, in_etcd, None);
        }
    }
}

fn turn(times: &mut Vec<Duration>, mut call: impl FnMut() -> Duration) {
    call();
    times.extend((0..CALLS).map(|_| call()));
}

fn median_ns(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times
        .get(times.len() / 2)
        .map_or(0.0, |time| time.as_nanos() as f64)
}

fn figure(ours: f64, rival: &str, rival_value: f64, bound: Option<f64>) {
    Line::Figure(Figure {
        question: QUESTION.into(),
        case: CASE.into(),
        unit: "ns".into(),
        better: Better::Lower,
        ours_name: "Amadeus".into(),
        ours,
        rival: rival.into(),
        rival_value: Some(rival_value),
        bound,
    })
    .print();
}

fn encode(message: &impl Message, out: &mut Vec<u8>) {
    message.encode(out).expect("a vector grows");
}

/// The table that one would write by hand.
struct Table {
    runtime: Runtime,
    connection: SqliteConnection,
    rows: i64,
}

impl Table {
    fn new(place: &std::path::Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be had");
        let options = SqliteConnectOptions::new()
            .filename(place.join("by-hand.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let connection = runtime.block_on(async {
            let mut connection = options.connect().await?;
            let sql = "CREATE TABLE records (revision INTEGER PRIMARY KEY, batch BLOB NOT NULL, body BLOB NOT NULL)";
            sqlx::query(sql).execute(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        });
        Self {
            connection: connection.expect("SQLite makes a file"),
            runtime,
            rows: 0,
        }
    }

    /// One row, synced, and what it took.
    fn insert(&mut self) -> Duration {
        self.rows += 1;
        let body = put_entity(self.rows.unsigned_abs(), ENTITIES).encode_to_vec();
        let began = Instant::now();
        let insert = sqlx::query("INSERT INTO records (revision, batch, body) VALUES (?, ?, ?)")
            .bind(self.rows)
            .bind(vec![0u8; 16])
            .bind(body)
            .execute(&mut self.connection);
        let inserted = self.runtime.block_on(insert);
        let took = began.elapsed();
        assert_eq!(inserted.expect("there is room").rows_affected(), 1);
        took
    }
}
