//! How many durable writes are answered in a second over gRPC, beside etcd's `Put`?
//!
//! Each call changes one of 1,000 entities, by `PutEntity`, in a transaction of its own; etcd puts the same bytes under the
//! same name. 8 connections with 64 calls in flight on each; servers and load on the same processor, asked in turns, their
//! stores on the same file system. Both reply after their log was synced: Amadeus' SQLite runs with `synchronous = FULL`,
//! and etcd with its default. Both may let the writes that wait share a sync.
//!
//! IndraDB has a gRPC server as well; it is built from source with RocksDB, which needs libclang, and is not among what a
//! machine has. So it is told as skipped.
//!
//! ```text
//! cargo xtask bench wire_write
//! ```

mod wire;

use std::time::Duration;

use prost::Message;
use wire::etcd;
use wire::graph::{PUT_ENTITY, name, put_entity};
use wire::load::Load;
use wire::rounds::{Ask, CONNECTIONS, Rates, Side, round};
use wire::servers::Server;

const RATE: &str = "durable PutEntity, 8 connections x 64 in flight";
const CPU: &str = "durable PutEntity, in a second of the server's processor";
const PUT: &str = "etcd Put";

/// What is asked of the rate beside etcd's.
const BOUND: f64 = 2.0;

const ENTITIES: u64 = 1_000;

fn main() {
    let ask = Ask::new(
        "wire_write",
        "How many durable writes are answered in a second over gRPC, beside etcd's Put?",
    );
    let Some(ours) = ask.started(RATE, "", Server::amadeus()) else {
        return;
    };
    let indradb = "its server has to be built with RocksDB, which needs libclang";
    ask.skip(RATE, "IndraDB", indradb.to_owned());
    let Some(etcd) = ask.started(RATE, PUT, Server::etcd()) else {
        return;
    };
    let put = |number, out: &mut Vec<u8>| encode(&put_entity(number, ENTITIES), out);
    let put_in_etcd = |number, out: &mut Vec<u8>| {
        let value = put_entity(number, ENTITIES).encode_to_vec();
        encode(&etcd::put(&name(number, ENTITIES), value), out);
    };
    let mut sides = [
        Side {
            name: "Amadeus",
            server: &ours,
            load: Load::connect(ours.at, PUT_ENTITY, CONNECTIONS, Box::new(put)),
        },
        Side {
            name: PUT,
            server: &etcd,
            load: Load::connect(etcd.at, etcd::PUT, CONNECTIONS, Box::new(put_in_etcd)),
        },
    ];
    let slice = Duration::from_millis(ask.mode.size(500, 5));
    for _ in 0..ask.mode.rounds() {
        let rates = round(&mut sides, slice);
        let tell = |case, of: fn(&Rates) -> f64, bound| {
            let [ours, its] = [0, 1].map(|at| (sides[at].name, of(&rates[at])));
            ask.rate(case, "writes/s", ours, its, bound);
        };
        tell(RATE, |r| r.per_s, Some(BOUND));
        tell(CPU, |r| r.per_cpu_s, None);
    }
}

fn encode(message: &impl Message, out: &mut Vec<u8>) {
    message.encode(out).expect("a vector grows");
}
