//! Tests of what is counted before anything is asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt as _;
use tower::ServiceExt as _;

use super::*;

/// Asks a store that knows nobody, and counts how often.
#[derive(Default)]
struct Asking(Arc<AtomicU32>);

impl Authenticator for Asking {
    fn authenticate(&self, _: &Credentials) -> Authenticated {
        let asked = self.0.clone();
        let answer = async move {
            asked.fetch_add(1, Ordering::SeqCst);
            Err(NotSignedIn::Bad)
        };
        Authenticated::Later(answer.boxed())
    }
}

/// A gate that lets one call a second in, what it was asked, and what it told.
fn gate() -> (
    GateLayer,
    Arc<AtomicU32>,
    tokio::sync::mpsc::Receiver<Event>,
) {
    let (trail, told) = Trail::new();
    let authenticator = Asking::default();
    let asked = authenticator.0.clone();
    let gate = GateLayer::new(Gate {
        authenticator: Arc::new(authenticator),
        required: true,
        reflection: Reflection::Open,
        allowances: Allowances::new(Limits {
            calls: 1,
            ..Limits::NONE
        }),
        trail,
        metrics: Arc::new(Metrics::new().expect("metrics")),
        clock: || 1_000_000_000,
    });
    (gate, asked, told)
}

/// Calls over and over, each time from the next address; the codes that came.
async fn call(gate: &GateLayer, path: &str, bearer: &str, from: &[&str]) -> Vec<Code> {
    let service = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Status::unimplemented("nobody serves it").into_http())
    });
    let gated = gate.layer(service);
    let mut codes = Vec::new();
    for address in from {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("a path");
        if !bearer.is_empty() {
            let value = format!("Bearer {bearer}").parse().expect("ASCII");
            request.headers_mut().insert("authorization", value);
        }
        let address = SocketAddr::new(address.parse().expect("an address"), 4_000);
        request.extensions_mut().insert(Peer {
            address,
            certificate: None,
        });
        let Ok(response) = gated.clone().oneshot(request).await;
        codes.push(code_of(response.headers()).expect("a code"));
    }
    codes
}

const SERVED: &str = "/amadeus.v1.GraphService/ListServices";

#[tokio::test]
async fn a_stranger_is_counted_before_the_store_is_asked_and_before_being_refused() {
    let (gate, asked, mut told) = gate();
    let forged = call(&gate, SERVED, "made-up", &["10.0.0.1"; 100]).await;
    let neighbours: Vec<String> = (1..=100).map(|n| format!("2001:db8::{n}")).collect();
    let neighbours: Vec<&str> = neighbours.iter().map(String::as_str).collect();
    let without = call(&gate, SERVED, "", &neighbours).await;
    for codes in [&forged, &without] {
        assert_eq!(codes[0], Code::Unauthenticated);
        assert!(codes.contains(&Code::ResourceExhausted), "{codes:?}");
    }
    let let_in = forged.iter().filter(|code| **code == Code::Unauthenticated);
    let asked = asked.load(Ordering::SeqCst) as usize;
    assert_eq!(asked, let_in.count(), "one question for each");
    // What was held is not told, and what was refused once of each.
    let sources: Vec<String> = std::iter::from_fn(|| told.try_recv().ok())
        .map(|event| event.source)
        .collect();
    assert_eq!(sources, ["10.0.0.1", "2001:db8::1"]);
}

#[tokio::test]
async fn what_nobody_serves_is_counted_too_and_told_to_nobody() {
    let (gate, _, mut told) = gate();
    let codes = call(&gate, "/nothing.v1.Here/Call", "", &["10.0.0.1"; 100]).await;
    assert_eq!(codes[0], Code::Unimplemented);
    assert!(codes.contains(&Code::ResourceExhausted), "{codes:?}");
    assert!(told.try_recv().is_err());
}
