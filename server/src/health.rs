//! Health: what is true of each part, told to gRPC health checks, to `/readyz` and to the metrics alike.

use crate::hints::Hints;
use crate::liveness::Leases;
use crate::metrics::Metrics;
use crate::nexus::Runs;
use crate::shutdown::Shutdown;
use crate::standing::Standing;
use crate::tls::Certificates;
use kg_core::commit::Graph;
use std::sync::Arc;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Services that read the graph; they serve as long as the process does.
const READING: [&str; 1] = ["amadeus.v1.QueryService"];

/// Services that write; a store that takes no writes makes them NOT_SERVING, though their reads go on.
const WRITING: [&str; 6] = [
    "amadeus.v1.AuthService",
    "amadeus.v1.UserService",
    "amadeus.v1.GraphService",
    "amadeus.v1.AdminService",
    "amadeus.v1.LivenessService",
    "amadeus.v1.NexusService",
];

/// One part and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The part.
    pub part: &'static str,
    /// What is wrong with it, if anything is.
    pub fault: Option<String>,
}

/// Knows how every part is.
#[derive(Clone)]
pub struct Health {
    graph: Arc<Graph>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
    standing: Arc<Standing>,
    hints: Hints,
    leases: Arc<Leases>,
    certificates: Option<Certificates>,
    /// None before they are there.
    runs: Option<Runs>,
}

impl Health {
    /// Watches over these.
    #[must_use]
    pub fn new(
        graph: Arc<Graph>,
        shutdown: Shutdown,
        metrics: Arc<Metrics>,
        standing: Arc<Standing>,
        hints: Hints,
        leases: Arc<Leases>,
        certificates: Option<Certificates>,
    ) -> Self {
        Self {
            graph,
            shutdown,
            metrics,
            standing,
            hints,
            leases,
            certificates,
            runs: None,
        }
    }

    /// The same, which watches over these runs as well: they come after everything else.
    #[must_use]
    pub fn and_of(self, runs: Runs) -> Self {
        Self {
            runs: Some(runs),
            ..self
        }
    }

    /// How every part is.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        let ending = self
            .shutdown
            .has_begun()
            .then(|| "the server is shutting down".to_owned());
        let store = self.graph.poisoned().map(ToString::to_string);
        vec![
            Check {
                part: "server",
                fault: ending,
            },
            Check {
                part: "store",
                fault: store,
            },
            Check {
                part: "log",
                fault: self.standing.fault(),
            },
        ]
    }

    /// What does not do what it should, though everything is served: each part with the reason.
    #[must_use]
    pub fn degraded(&self) -> Vec<(&'static str, String)> {
        let redis = self.hints.fault().map(|why| ("redis", why));
        let leases = self.leases.fault().map(|why| ("leases", why));
        let tls = self.certificates.as_ref().and_then(Certificates::fault);
        let tls = tls.map(|why| ("tls", why));
        let runs = self.runs.as_ref().and_then(Runs::fault);
        let runs = runs.map(|why| ("runs", why));
        redis
            .into_iter()
            .chain(leases)
            .chain(tls)
            .chain(runs)
            .collect()
    }

    /// Whether writes and reads are both served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks().iter().all(|check| check.fault.is_none())
    }

    /// Every name that a health check may ask for; the empty one stands for the server as a whole.
    pub fn services() -> impl Iterator<Item = &'static str> {
        READING.into_iter().chain(WRITING).chain([""])
    }

    /// Keeps the gRPC health service up to date, until the server ends.
    pub async fn follow(self, reporter: HealthReporter) {
        let mut every = tokio::time::interval(std::time::Duration::from_millis(200));
        let mut told = None;
        while !self.shutdown.has_begun() {
            let ready = self.is_ready();
            if told != Some(ready) {
                told = Some(ready);
                self.tell(&reporter, ready).await;
                self.metrics.degraded("store", !ready);
            }
            tokio::select! {
                _ = every.tick() => {}
                () = self.shutdown.begun() => {}
            }
        }
        for service in Self::services() {
            reporter
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    }

    async fn tell(&self, reporter: &HealthReporter, ready: bool) {
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in READING {
            reporter
                .set_service_status(service, ServingStatus::Serving)
                .await;
        }
        for service in WRITING.into_iter().chain([""]) {
            reporter.set_service_status(service, status).await;
        }
    }
}
