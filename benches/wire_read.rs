//! What does `GetService` cost over gRPC, beside a tonic handler that returns a ready-made message, and beside etcd's `Range`?
//!
//! 2,400 services of some 500 bytes each; 8 connections with 64 calls in flight on each, all made by one thread, whose calls
//! cost next to nothing (see `wire/load.rs`); servers and load on the same processor, asked in turns. The ready-made
//! server decodes the request and answers it with a copy of one reply of ours, as a message or as the bytes of its fields;
//! etcd holds the same bytes under the same names. That both send the same bytes is checked before.
//!
//! Two rates are told: calls in a second, and calls in a second of the server's own time on a processor, which is what
//! a handler can do about it.
//!
//! ```text
//! cargo xtask bench wire_read
//! ```

mod wire;

use std::time::Duration;

use amadeus_proto::v1::{GetServiceRequest, GetServiceResponse};
use prost::Message;
use wire::graph::{COMMIT, GET_SERVICE, name, registrations};
use wire::load::Load;
use wire::rounds::{Ask, CONNECTIONS, Rates, Side, round};
use wire::servers::Server;
use wire::{etcd, ready_made};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RATE: &str = "GetService, 8 connections x 64 in flight";
const CPU: &str = "GetService, in a second of the server's processor";

/// What stands beside ours, and what is asked: of calls in a second, and in a second of the server's processor.
const MESSAGE: (&str, Option<f64>, Option<f64>) = ("tonic, a ready-made message", None, Some(0.85));
const BYTES: (&str, Option<f64>, Option<f64>) = ("tonic, ready-made bytes", None, None);
const RANGE: (&str, Option<f64>, Option<f64>) = ("etcd Range", Some(5.0), None);
const SERIALIZABLE: (&str, Option<f64>, Option<f64>) = ("etcd Range, serializable", None, None);

fn main() {
    ready_made::serve_if_asked();
    let ask = Ask::new(
        "wire_read",
        "What does GetService cost over gRPC, beside a tonic handler that returns a ready-made message, and beside etcd's Range?",
    );
    let Some(ours) = ask.started(RATE, "", Server::amadeus()) else {
        return;
    };
    let count = ask.mode.size(2_400, 24);
    let reply = registered(&ours, count);
    let ready = Server::ready_made(&reply).expect("this program serves as well");
    let etcd = ask.started(RATE, RANGE.0, filled(&reply, count));

    let get = |number, out: &mut Vec<u8>| encode(&get_service(name(number, count)), out);
    let side = |name, server, path| Side {
        name,
        server,
        load: Load::connect(server.at, path, CONNECTIONS, Box::new(get)),
    };
    let mut sides = vec![
        side("Amadeus", &ours, GET_SERVICE),
        side(MESSAGE.0, &ready, GET_SERVICE),
        side(BYTES.0, &ready, ready_made::BYTES),
    ];
    let mut asked = vec![MESSAGE, BYTES];
    for (rival, serializable) in [(RANGE, false), (SERIALIZABLE, true)] {
        let Some(server) = &etcd else { continue };
        let range = move |number, out: &mut Vec<u8>| {
            encode(&etcd::range(&name(number, count), serializable), out);
        };
        sides.push(Side {
            name: rival.0,
            server,
            load: Load::connect(server.at, etcd::RANGE, CONNECTIONS, Box::new(range)),
        });
        asked.push(rival);
    }
    let first = get_service(name(0, count)).encode_to_vec();
    for side in &mut sides[..3] {
        assert_eq!(side.load.ask(&first), reply, "{}", side.name);
    }

    let slice = Duration::from_millis(ask.mode.size(250, 5));
    for _ in 0..ask.mode.rounds() {
        let rates = round(&mut sides, slice);
        for ((rival, per_s, per_cpu_s), its) in asked.iter().zip(&rates[1..]) {
            let tell = |case, of: fn(&Rates) -> f64, bound| {
                ask.rate(
                    case,
                    "calls/s",
                    ("Amadeus", of(&rates[0])),
                    (rival, of(its)),
                    bound,
                );
            };
            tell(RATE, |r| r.per_s, *per_s);
            tell(CPU, |r| r.per_cpu_s, *per_cpu_s);
        }
    }
}

fn get_service(name: String) -> GetServiceRequest {
    GetServiceRequest {
        name,
        consistency: None,
    }
}

fn encode(message: &impl Message, out: &mut Vec<u8>) {
    message.encode(out).expect("a vector grows");
}

/// Registers the services and reads the first.
fn registered(ours: &Server, count: u64) -> Vec<u8> {
    let nothing = || Box::new(|_, _: &mut Vec<u8>| {});
    let mut commit = Load::connect(ours.at, COMMIT, 1, nothing());
    for some in registrations(count) {
        commit.ask(&some.encode_to_vec());
    }
    let mut get = Load::connect(ours.at, GET_SERVICE, 1, nothing());
    get.ask(&get_service(name(0, count)).encode_to_vec())
}

/// etcd with as many keys, each with what one service takes on the wire.
fn filled(reply: &[u8], count: u64) -> Result<Server, String> {
    let server = Server::etcd()?;
    let reply = GetServiceResponse::decode(reply).expect("it is a reply");
    let service = reply.service.expect("it has a service").encode_to_vec();
    let nothing = || Box::new(|_, _: &mut Vec<u8>| {});
    let mut put = Load::connect(server.at, etcd::PUT, 1, nothing());
    for number in 0..count {
        put.ask(&etcd::put(&name(number, count), service.clone()).encode_to_vec());
    }
    let mut range = Load::connect(server.at, etcd::RANGE, 1, nothing());
    let found = range.ask(&etcd::range(&name(0, count), false).encode_to_vec());
    let found = etcd::RangeResponse::decode(&found[..]).expect("it is a reply");
    assert_eq!(found.kvs[0].value, service);
    Ok(server)
}
