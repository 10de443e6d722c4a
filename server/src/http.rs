//! The HTTP side: metrics for Prometheus, liveness and readiness for whoever starts and stops the process.

use crate::auth::{
    Action, Authenticated, Authenticator, Credentials, Resource, Standing, bearer_of, policy,
};
use crate::connection::Peer;
use crate::events::Events;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::rpc::Context;
use amadeus_proto::v1;
use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kg_core::commit::Graph;
use std::fmt::Write as _;
use std::sync::Arc;

/// What the HTTP side shows.
#[derive(Clone)]
pub struct Shown {
    /// The graph, for gauges.
    pub graph: Arc<Graph>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How every part is.
    pub health: Health,
    /// The registries of the services, for gauges.
    pub context: Arc<Context>,
    /// The events, for gauges.
    pub events: Events,
    /// Who finds out whose credentials these are.
    pub authenticator: Arc<dyn Authenticator>,
    /// Whether metrics are shown to whoever asks: nobody has to sign in, or only this machine can ask.
    pub open: bool,
}

/// The routes.
pub fn routes(shown: Shown) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shown)
}

/// `200` when ready, `503` when not; `?verbose` lists every part with its reason.
async fn readyz(State(shown): State<Shown>, RawQuery(query): RawQuery) -> Response {
    let checks = shown.health.checks();
    let ready = checks.iter().all(|check| check.fault.is_none());
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|key| key == "verbose" || key.starts_with("verbose="))
    });
    let mut body = String::new();
    for check in &checks {
        // Writing to a String does not fail.
        let _ = match &check.fault {
            None if verbose => writeln!(body, "[+] {} ok", check.part),
            Some(fault) => writeln!(body, "[-] {} failed: {fault}", check.part),
            None => Ok(()),
        };
    }
    if verbose {
        for (part, why) in shown.health.degraded() {
            let _ = writeln!(body, "[~] {part} degraded: {why}");
        }
    }
    let _ = writeln!(body, "{}", if ready { "ok" } else { "not ready" });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, body).into_response()
}

/// Whether whoever asks may see the metrics, which count the whole graph by kind. Where they are not shown to everybody, that
/// takes somebody who may read all of it, by a bearer or a client certificate.
async fn may_see_metrics(shown: &Shown, peer: &Peer, headers: &HeaderMap) -> bool {
    if shown.open {
        return true;
    }
    let bearer = headers.get(header::AUTHORIZATION);
    let credentials = Credentials {
        bearer: bearer.map(bearer_of),
        certificate: peer.certificate.clone(),
        source: Some(peer.address),
    };
    let found = match shown.authenticator.authenticate(&credentials) {
        Authenticated::Now(found) => found,
        Authenticated::Later(found) => found.await,
    };
    found.is_ok_and(|session| match &*session.standing.borrow() {
        Standing::Good(principal) => policy(principal, Action::Read, Resource::Everything).is_ok(),
        Standing::Over(_) => false,
    })
}

async fn metrics(
    State(shown): State<Shown>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    if !may_see_metrics(&shown, &peer, &headers).await {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "sign in first\n").into_response();
    }
    shown.metrics.watchers(shown.context.watchers.count());
    shown.metrics.resyncs(shown.context.watchers.resyncs());
    shown.metrics.events(&shown.events.figures());
    shown.metrics.pinned_pages(shown.context.pages.count());
    for component in shown.context.store.components() {
        // The store's own is kept by the committer, which also knows of a full disk.
        if component.name != "store" {
            let is = component.health != v1::Health::Up;
            shown.metrics.degraded(component.name, is);
        }
    }
    match shown.metrics.render(&shown.graph) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
