//! What do many servers on one PostgreSQL give: one beside an insert a transaction, three beside one, and a follower?
//!
//! Writes are `PutEntity`, each a transaction of its own. The rival of one server is what one would write by hand on the same
//! database: a table like ours and an insert that is its own transaction; on one connection, and on sixteen at once, where
//! PostgreSQL lets those that wait share a sync as well. Three servers get 64 calls in flight each, and are held to what one
//! does with 64, and to the share of each. A follower's lag is how long after a write was acknowledged by one server another
//! one answers a read that asks for its revision, with the call that takes; and what a read costs it while the other
//! one writes stands beside what it costs a server alone. PostgreSQL runs with its defaults, synced, on the same processor and
//! disk as all the rest.
//!
//! ```text
//! cargo xtask bench wire_shared
//! ```

mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use amadeus_proto::v1;
use benches::figure::{Better, Figure, Line};
use prost::Message;
use sqlx::postgres::PgPoolOptions;
use testbed::{Postgres, Redis};
use tokio::runtime::Builder;
use wire::graph::{GET_ENTITY, PUT_ENTITY, key, put_entity};
use wire::load::Load;
use wire::rounds::{Ask, CONNECTIONS};
use wire::servers::{Server, binary};

const QUESTION: &str = "wire_shared";
const ONE: &str = "one server, 8 connections x 64 writes in flight";
const THREE: &str = "three servers, 64 writes in flight each";
const LAG: &str = "p99 of a follower's lag";
const READS: &str = "reads of a follower beside a writer, in a second of its processor";

const ENTITIES: u64 = 1_000;
const IN_FLIGHT: usize = 64;

/// Nanoseconds within which a server learns of what others wrote where no hint comes.
const POLL: f64 = 100e6;

fn main() {
    let ask = Ask::new(
        QUESTION,
        "What do many servers on one PostgreSQL give: one beside an insert a transaction, three beside one, and a follower?",
    );
    if let Err(reason) = binary() {
        return ask.skip(ONE, "", reason);
    }
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(missing) => return ask.skip(ONE, "", missing.to_string()),
    };
    let redis = Redis::start().map_err(|missing| ask.skip(LAG, "", missing.to_string()));
    let url = redis.as_ref().ok().map(Redis::url);
    let start = |store: &str| ask.started(ONE, "", Server::sharing(store, url.as_deref()));
    // One has its database to itself: those that share the other one follow whatever is written there.
    let (own, shared) = (database.database(), database.database());
    let (Some(solo), Some(one), Some(two), Some(three)) =
        (start(&own), start(&shared), start(&shared), start(&shared))
    else {
        return;
    };
    let all = [one.at, two.at, three.at];
    let apart = database.database();
    let unhinted = || ask.started(LAG, "", Server::sharing(&apart, None));
    let (Some(first), Some(second)) = (unhinted(), unhinted()) else {
        return;
    };
    let deaf = [first.at, second.at];
    fill(first.at);
    let slice = Duration::from_millis(ask.mode.size(1_500, 10));
    fill(solo.at);
    fill(one.at);
    let by_hand = ByHand::new(database.database());
    for _ in 0..ask.mode.rounds() {
        let many = writes(&[solo.at], CONNECTIONS, slice)[0];
        for (connections, name, bound) in [
            (1, "an insert a transaction, one connection", Some(5.0)),
            (16, "an insert a transaction, 16 connections", None),
        ] {
            let rival = by_hand.inserts(connections, slice);
            ask.rate(ONE, "writes/s", ("Amadeus", many), (name, rival), bound);
        }
        let alone = writes(&[solo.at], 1, slice)[0];
        let shares = writes(&all, 1, slice);
        let sum: f64 = shares.iter().sum();
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let three = ("three servers", sum);
        ask.rate(THREE, "writes/s", three, ("one server", alone), Some(0.4));
        let least = ("the slowest", least);
        ask.rate(THREE, "writes/s", least, ("all three", sum), Some(0.2));
        if url.is_some() {
            lag("with hints", &all, 50e6, ask.mode.size(500, 5));
        }
        lag("without Redis", &deaf, POLL, ask.mode.size(200, 5));
        let quiet = reads_per_cpu_s(&two, slice);
        let beside = thread::scope(|scope| {
            scope.spawn(|| writes(&all[..1], 1, slice));
            reads_per_cpu_s(&two, slice)
        });
        let beside = ("beside a writer", beside);
        ask.rate(
            READS,
            "reads/s",
            beside,
            ("nobody writes", quiet),
            Some(1.0 / 1.2),
        );
    }
}

/// A number that no write had before: one that changes nothing would not be appended.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Writes every entity once.
fn fill(server: SocketAddr) {
    let put = |_, out: &mut Vec<u8>| encode(&put_entity(next(), ENTITIES), out);
    let mut load = Load::connect(server, PUT_ENTITY, 1, Box::new(put));
    let mut written = 0;
    while written < ENTITIES {
        written += load.run(IN_FLIGHT, Duration::from_millis(20)).answered;
    }
}

/// Writes in a second, of each of these servers, all at once.
fn writes(servers: &[SocketAddr], connections: usize, lasting: Duration) -> Vec<f64> {
    thread::scope(|scope| {
        let each = servers.iter().map(|at| {
            scope.spawn(move || {
                let put = |_, out: &mut Vec<u8>| encode(&put_entity(next(), ENTITIES), out);
                let mut load = Load::connect(*at, PUT_ENTITY, connections, Box::new(put));
                let turn = load.run(IN_FLIGHT, lasting);
                turn.answered as f64 / turn.took.as_secs_f64()
            })
        });
        let each: Vec<_> = each.collect();
        each.into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    })
}

fn reads_per_cpu_s(server: &Server, lasting: Duration) -> f64 {
    let get = |number, out: &mut Vec<u8>| encode(&get_entity(number, None), out);
    let mut load = Load::connect(server.at, GET_ENTITY, 1, Box::new(get));
    let cpu = || server.cpu().expect("Linux tells what a process used");
    let before = cpu();
    let turn = load.run(IN_FLIGHT, lasting);
    turn.answered as f64 / (cpu() - before).as_secs_f64()
}

/// How long after its acknowledgement a write of one server is read on the other.
fn lag(how: &str, servers: &[SocketAddr], bound_ns: f64, writes: u64) {
    let nothing = || Box::new(|_, _: &mut Vec<u8>| {});
    let mut write = Load::connect(servers[0], PUT_ENTITY, 1, nothing());
    let mut read = Load::connect(servers[1], GET_ENTITY, 1, nothing());
    let mut lags: Vec<Duration> = (0..writes)
        .map(|_| {
            let number = next();
            let reply = write.ask(&put_entity(number, ENTITIES).encode_to_vec());
            let reply = v1::PutEntityResponse::decode(&*reply).expect("a reply");
            let revision = reply.header.map_or(0, |header| header.revision);
            let began = Instant::now();
            read.ask(&get_entity(number, Some(revision)).encode_to_vec());
            began.elapsed()
        })
        .collect();
    lags.sort();
    let p99 = lags[lags.len() * 99 / 100];
    Line::Figure(Figure {
        question: QUESTION.into(),
        case: format!("{LAG}, {how}"),
        unit: "ns".into(),
        better: Better::Lower,
        ours_name: "a write until it is read elsewhere".into(),
        ours: p99.as_nanos() as f64,
        rival: String::new(),
        rival_value: None,
        bound: Some(bound_ns),
    })
    .print();
}

fn get_entity(number: u64, at_least: Option<u64>) -> v1::GetEntityRequest {
    let level = at_least.map(v1::consistency::Level::AtLeast);
    v1::GetEntityRequest {
        r#ref: Some(key(number, ENTITIES)),
        consistency: level.map(|level| v1::Consistency { level: Some(level) }),
    }
}

fn encode(message: &impl Message, out: &mut Vec<u8>) {
    message.encode(out).expect("a vector grows");
}

/// The table that one would write by hand.
struct ByHand(String);

impl ByHand {
    fn new(database: String) -> Self {
        let this = Self(database);
        this.run(1, |pool| async move {
            let sql = "CREATE TABLE records (revision bigserial PRIMARY KEY, batch bytea NOT NULL, body bytea NOT NULL)";
            sqlx::query(sql).execute(&pool).await.map(drop)
        });
        this
    }

    fn run<F: Future<Output = Result<(), sqlx::Error>>>(
        &self,
        connections: u32,
        work: impl FnOnce(sqlx::PgPool) -> F,
    ) {
        let runtime = Builder::new_current_thread().enable_all().build();
        let done = runtime.expect("a runtime can be had").block_on(async {
            let pool = PgPoolOptions::new()
                .max_connections(connections)
                .min_connections(connections)
                .connect(&self.0)
                .await?;
            work(pool).await
        });
        done.expect("the database works");
    }

    /// Inserts in a second, each a transaction of its own.
    fn inserts(&self, connections: u32, lasting: Duration) -> f64 {
        let mut rate = 0.0;
        self.run(connections, |pool| {
            let rate = &mut rate;
            async move {
                let began = Instant::now();
                let one = || async {
                    let mut inserted = 0_u64;
                    while began.elapsed() < lasting {
                        let body = put_entity(inserted, ENTITIES).encode_to_vec();
                        sqlx::query("INSERT INTO records (batch, body) VALUES ($1, $2)")
                            .bind(vec![0_u8; 16])
                            .bind(body)
                            .execute(&pool)
                            .await?;
                        inserted += 1;
                    }
                    Ok::<_, sqlx::Error>(inserted)
                };
                let each = (0..connections).map(|_| one());
                let inserted = futures::future::try_join_all(each).await?;
                *rate = inserted.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64();
                Ok(())
            }
        });
        rate
    }
}
