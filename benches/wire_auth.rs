//! What does it cost a unary read to know who calls, and to be encrypted?
//!
//! The read and the load are those of `wire_read`: 2,400 services of some 500 bytes each, 8 connections with 64 calls in
//! flight on each. Four servers of one binary are asked in turns: one that lets everybody in and speaks in the clear, which is
//! what the others stand beside; one with `--auth`; one with TLS; one with both. That all of them tell the same service is
//! checked before.
//!
//! Who calls is told by an access token, some 440 bytes that the server hashes to find the session. An API key goes the
//! same way and is shorter. It is sent as some clients do, once for a connection, and as others do, in each call; for what
//! that means see `wire/headers.rs`. A reader of two name prefixes, which cover the services and what they depend on, is
//! answered from a view of the graph instead of the head. The limits of a principal are off, for one makes all the calls;
//! where they are on, the bucket of its calls is filled and looked at besides, under a lock that each call takes once anyway
//! to count its bytes.
//!
//! Connections are opened before anything is timed, so no handshake and no look-up of a session in the store is counted. TLS
//! is TLS 1.3 with AES-256-GCM; the load encrypts as well, on the same processor, which the rate shows and the server's own
//! time does not.
//!
//! ```text
//! cargo xtask bench wire_auth
//! ```

mod wire;

use std::time::Duration;

use amadeus_proto::v1::{CommitResponse, GetServiceRequest, GetServiceResponse};
use prost::Message;
use wire::graph::{COMMIT, GET_SERVICE, name, registrations};
use wire::headers::Shown;
use wire::load::Load;
use wire::people::{administrator, reader, services};
use wire::rounds::{Ask, CONNECTIONS, Rates, Side, round};
use wire::servers::Server;
use wire::tls::Tls;
use wire::way::Way;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RATE: &str = "8 connections x 64 in flight";
const CPU: &str = "the server's processor for a call";

const NEITHER: &str = "neither";

/// What is added to a read, and how many times the processor of one without it that may take.
///
/// Only what the gate itself does is held to something. How often a client sends its token is the client's choice, a view is
/// another way to answer, and the cipher is ring's.
const ADDED: [(&str, Option<f64>); 5] = [
    ("a token, sent once", Some(1.15)),
    ("a token, sent in each call", None),
    ("a token of two name prefixes, sent once", None),
    ("TLS", None),
    ("TLS and a token, sent once", None),
];

fn main() {
    let ask = Ask::new(
        "wire_auth",
        "What does it cost a unary read to know who calls, and to be encrypted?",
    );
    let tls = Tls::new();
    let Some([plain, known, encrypted, both]) = started(&ask, &tls) else {
        return;
    };
    let clear = |server: &Server| Way::plain(server.at);
    let by_tls = |server: &Server| Way {
        tls: Some(&tls),
        ..clear(server)
    };
    let known_admin = administrator(&known, &clear(&known));
    let both_admin = administrator(&both, &by_tls(&both));
    let count = ask.mode.size(2_400, 24);
    fill(&clear(&plain), count);
    fill(&known_admin, count);
    fill(&by_tls(&encrypted), count);
    fill(&both_admin, count);

    let whole = reader(&known_admin, "whole", &[None]);
    let part = reader(&known_admin, "part", &[services("c"), services("payment")]);
    let whole_by_tls = reader(&both_admin, "whole", &[None]);
    let [once, each_time, of_part, in_tls, in_tls_once] = ADDED.map(|(name, _)| name);
    let get = |number, out: &mut Vec<u8>| {
        let message = get_service(name(number, count));
        message.encode(out).expect("a vector grows");
    };
    let side = |name, server, way: Way<'_>, shown| Side {
        name,
        server,
        load: Load::by(&way.showing(shown), GET_SERVICE, CONNECTIONS, Box::new(get)),
    };
    let mut sides = [
        side(NEITHER, &plain, clear(&plain), Shown::Nothing),
        side(once, &known, clear(&known), Shown::Once(whole.clone())),
        side(each_time, &known, clear(&known), Shown::EachTime(whole)),
        side(of_part, &known, clear(&known), Shown::Once(part)),
        side(in_tls, &encrypted, by_tls(&encrypted), Shown::Nothing),
        side(in_tls_once, &both, by_tls(&both), Shown::Once(whole_by_tls)),
    ];
    check(&mut sides, count);

    let slice = Duration::from_millis(ask.mode.size(250, 5));
    for _ in 0..ask.mode.rounds() {
        tell(&ask, &round(&mut sides, slice));
    }
}

/// A server for each way, or none where there is no binary.
fn started(ask: &Ask, tls: &Tls) -> Option<[Server; 4]> {
    let limits = ["calls", "bytes", "in-flight", "streams"];
    let limits = limits.map(|what| format!("--principal-{what}=0"));
    let auth = [vec!["--auth".to_owned()], limits.to_vec()].concat();
    let both = [auth.clone(), tls.options()].concat();
    let servers = [Vec::new(), auth, tls.options(), both]
        .iter()
        .map(|options| ask.started(RATE, NEITHER, Server::amadeus_with(options)))
        .collect::<Option<Vec<_>>>()?;
    servers.try_into().ok()
}

/// Registers the services.
fn fill(writer: &Way<'_>, count: u64) {
    let mut commit = Load::by(writer, COMMIT, 1, Box::new(|_, _| {}));
    for some in registrations(count) {
        let reply = commit.ask(&some.encode_to_vec());
        CommitResponse::decode(&*reply).expect("it is a reply");
    }
}

/// All sides tell the same service, with what it depends on.
fn check(sides: &mut [Side<'_>], count: u64) {
    let first = get_service(name(0, count)).encode_to_vec();
    let told = sides.iter_mut().map(|side| {
        let reply = GetServiceResponse::decode(&*side.load.ask(&first));
        let service = reply.expect("it is a reply").service;
        (side.name, service.expect("it has a service"))
    });
    let told: Vec<_> = told.collect();
    for (name, service) in &told {
        assert_eq!(service, &told[0].1, "{name}");
        assert_eq!(service.dependencies.len(), 3, "{name}");
    }
}

/// Tells a round: the rates, and what a call took of the server's processor.
fn tell(ask: &Ask, rates: &[Rates]) {
    let neither = rates[0];
    let call_ns = |rates: Rates| 1e9 / rates.per_cpu_s;
    for ((what, bound), its) in ADDED.iter().zip(&rates[1..]) {
        ask.rate(
            &format!("{what}, {RATE}"),
            "calls/s",
            ("Amadeus", its.per_s),
            (NEITHER, neither.per_s),
            None,
        );
        ask.time(
            &format!("{what}, {CPU}"),
            ("Amadeus", call_ns(*its)),
            (NEITHER, call_ns(neither)),
            *bound,
        );
    }
}

fn get_service(name: String) -> GetServiceRequest {
    GetServiceRequest {
        name,
        consistency: None,
    }
}
