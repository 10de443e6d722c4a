//! Metrics: what the server counts, in the words of design and docs, rendered for Prometheus.
//!
//! Gauges that can be read off the graph are read when they are asked for; only what happens in between is counted.

use crate::events::Figure;
use crate::tls::Handshakes;
use kg_core::commit::Graph;
use kg_core::lease::Counts;
use kg_core::model::Health;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of the latency buckets, in seconds: from a lock-free read to the longest deadline.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 5.0, 30.0,
];

/// Upper bounds of the buckets for transactions in a batch.
const TRANSACTIONS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

/// Everything that the server counts.
pub struct Metrics {
    registry: Registry,
    started: IntCounterVec,
    handled: IntCounterVec,
    handling: HistogramVec,
    batch: HistogramVec,
    stages: HistogramVec,
    revision: IntGauge,
    oldest_revision: IntGauge,
    entities: IntGaugeVec,
    relations: IntGauge,
    queue_depth: IntGauge,
    history_bytes: IntGauge,
    pinned_pages: IntGauge,
    watchers: IntGauge,
    resyncs: IntCounter,
    degraded: IntGaugeVec,
    checkpoint_revision: IntGauge,
    replica_lag: IntGauge,
    leases: IntGaugeVec,
    lease_guard: IntGauge,
    lease_transitions: IntCounterVec,
    denied: IntCounterVec,
    limited: IntCounterVec,
    left_out: IntCounter,
    tls_handshakes: IntCounterVec,
    tls_reloads: IntCounterVec,
    sign_ins: IntCounterVec,
    runs: IntGaugeVec,
    runs_ended: IntCounterVec,
    run_seconds: HistogramVec,
    run_steps: IntCounterVec,
    runs_fenced: IntCounter,
    runs_adopted: IntCounter,
    runs_damaged: IntGauge,
    events: EventMetrics,
}

/// What is counted of events.
struct EventMetrics {
    appended: IntCounter,
    duplicates: IntCounter,
    lags: IntCounter,
    dead_letters: IntCounter,
    subscribers: IntGauge,
    offset: IntGaugeVec,
    bytes: IntGaugeVec,
    group_lag: IntGaugeVec,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When two metrics share a name, which is a mistake in this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let histograms = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            let metric = HistogramVec::new(
                HistogramOpts::new(name, help).buckets(buckets.to_vec()),
                labels,
            )?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let rpc = ["grpc_service", "grpc_method"];
        let resyncs = IntCounter::new(
            "amadeus_watch_resync_total",
            "Watchers that had to begin again",
        )?;
        registry.register(Box::new(resyncs.clone()))?;
        let left_out = IntCounter::new(
            "amadeus_audit_left_out_total",
            "Security events that came faster than the audit log took them",
        )?;
        registry.register(Box::new(left_out.clone()))?;
        let counter = |name: &str, help: &str| {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        Ok(Self {
            started: counters("grpc_server_started_total", "Calls begun", &rpc)?,
            handled: counters(
                "grpc_server_handled_total",
                "Calls ended",
                &["grpc_service", "grpc_method", "grpc_code"],
            )?,
            handling: histograms(
                "grpc_server_handling_seconds",
                "Time from a call's begin to its end",
                &rpc,
                &SECONDS,
            )?,
            batch: histograms(
                "amadeus_commit_batch_size",
                "Transactions that shared one append",
                &[],
                &TRANSACTIONS,
            )?,
            stages: histograms(
                "amadeus_commit_seconds",
                "Time of each stage of a commit",
                &["stage"],
                &SECONDS,
            )?,
            revision: gauge("amadeus_graph_revision", "Newest revision")?,
            oldest_revision: gauge(
                "amadeus_graph_oldest_revision",
                "Oldest revision that can be read",
            )?,
            entities: gauges(
                "amadeus_graph_entities",
                "Entities by kind; placeholders are a kind of their own",
                &["kind"],
            )?,
            relations: gauge("amadeus_graph_relations", "Relations")?,
            queue_depth: gauge(
                "amadeus_commit_queue_depth",
                "Transactions that wait for the committer",
            )?,
            history_bytes: gauge(
                "amadeus_history_bytes",
                "Bytes that the history ring holds, by estimate",
            )?,
            pinned_pages: gauge(
                "amadeus_history_pinned_snapshots",
                "Snapshots kept for page tokens",
            )?,
            watchers: gauge("amadeus_watchers", "Open watches")?,
            resyncs,
            left_out,
            degraded: gauges(
                "amadeus_degraded",
                "1 while a component does not do what it should",
                &["component"],
            )?,
            checkpoint_revision: gauge(
                "amadeus_checkpoint_revision",
                "Revision of the newest checkpoint",
            )?,
            replica_lag: gauge(
                "amadeus_replica_lag_revisions",
                "Revisions that other servers wrote and this one had not shown when it last looked",
            )?,
            leases: gauges(
                "amadeus_leases",
                "Leases that call this server, as they are shown; among them those that only the guard keeps from lapsing (overdue), and those whose improvement is held back because they flap",
                &["state"],
            )?,
            lease_guard: gauge(
                "amadeus_lease_guard",
                "1 while no lease lapses because most fell silent at once",
            )?,
            lease_transitions: counters(
                "amadeus_lease_transitions_total",
                "Leases that this server saw come up, be degraded or go down",
                &["to"],
            )?,
            denied: counters(
                "amadeus_denied_total",
                "Calls that were refused: unauthenticated, because nobody had signed in, or not_allowed",
                &["reason"],
            )?,
            limited: counters(
                "amadeus_limited_total",
                "Calls that were refused because their principal had reached a limit",
                &["limit"],
            )?,
            tls_handshakes: counters(
                "amadeus_tls_handshakes_total",
                "Handshakes of clients, by how they ended: cut are those that took too long or made room for others",
                &["outcome"],
            )?,
            tls_reloads: counters(
                "amadeus_tls_reloads_total",
                "How often changed files of TLS were tried, and whether they could be used",
                &["outcome"],
            )?,
            sign_ins: counters(
                "amadeus_sign_ins_total",
                "Tries to sign in or to refresh a token, by how they ended",
                &["outcome"],
            )?,
            events: EventMetrics {
                appended: counter(
                    "amadeus_events_appended_total",
                    "Events that this server appended",
                )?,
                duplicates: counter(
                    "amadeus_events_duplicates_total",
                    "Events that were there already when they were emitted",
                )?,
                lags: counter(
                    "amadeus_event_lag_notices_total",
                    "Subscribers that were told what they had lost",
                )?,
                dead_letters: counter(
                    "amadeus_event_dead_letters_total",
                    "Events that became dead letters",
                )?,
                subscribers: gauge("amadeus_event_subscribers", "Subscribers of events")?,
                offset: gauges(
                    "amadeus_event_offset",
                    "The oldest place that the log of events keeps, and the one that the next event takes",
                    &["end"],
                )?,
                bytes: gauges(
                    "amadeus_event_bytes",
                    "Bytes of events in the store, and of the newest ones in memory",
                    &["where"],
                )?,
                group_lag: gauges(
                    "amadeus_event_group_lag",
                    "Events behind the place of each group that this server serves",
                    &["group"],
                )?,
            },
            runs: gauges(
                "amadeus_runs",
                "Runs of patterns that this server carries out (running, compensating) or has waiting (queued)",
                &["state"],
            )?,
            runs_ended: counters(
                "amadeus_runs_ended_total",
                "Runs that ended on this server, by how",
                &["state"],
            )?,
            run_seconds: histograms(
                "amadeus_run_seconds",
                "Time from a run's beginning to its end",
                &[],
                &SECONDS,
            )?,
            run_steps: counters(
                "amadeus_run_steps_total",
                "Attempts of steps and of compensations that ended, by how",
                &["type", "outcome"],
            )?,
            runs_fenced: counter(
                "amadeus_runs_fenced_total",
                "Runs that another server carried out when this one went on with them",
            )?,
            runs_adopted: counter(
                "amadeus_runs_adopted_total",
                "Runs that were taken over from servers that were gone",
            )?,
            runs_damaged: gauge(
                "amadeus_runs_damaged",
                "Runs of this server that cannot be read, and are left as they are",
            )?,
            registry,
        })
    }

    /// Counts a call that was refused for who made it.
    pub(crate) fn denied(&self, unauthenticated: bool) {
        let reason = if unauthenticated {
            "unauthenticated"
        } else {
            "not_allowed"
        };
        self.denied.with_label_values(&[reason]).inc();
    }

    /// Counts security events that did not reach the audit log.
    pub(crate) fn events_left_out(&self, events: u64) {
        self.left_out.inc_by(events);
    }

    /// Counts a call whose principal had reached a limit.
    pub(crate) fn limited(&self, limit: &str) {
        self.limited.with_label_values(&[limit]).inc();
    }

    /// Counts the calls of a method that began.
    pub(crate) fn calls_started(&self, method: [&str; 2]) -> IntCounter {
        self.started.with_label_values(&method)
    }

    /// Counts the calls of a method that ended with this code.
    pub(crate) fn calls_handled(&self, [service, method]: [&str; 2], code: &str) -> IntCounter {
        self.handled.with_label_values(&[service, method, code])
    }

    /// Counts how long the calls of a method took, in seconds.
    pub(crate) fn calls_handling(&self, method: [&str; 2]) -> Histogram {
        self.handling.with_label_values(&method)
    }

    /// A batch was answered.
    pub fn commit_batch(&self, transactions: usize) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a batch holds thousands, not 2^53"
        )]
        self.batch
            .with_label_values::<&str>(&[])
            .observe(transactions as f64);
    }

    /// A stage of a commit took this long.
    pub fn commit_stage(&self, stage: &str, took: Duration) {
        self.stages
            .with_label_values(&[stage])
            .observe(took.as_secs_f64());
    }

    /// A component began or ceased to fail.
    pub fn degraded(&self, component: &str, is: bool) {
        self.degraded
            .with_label_values(&[component])
            .set(i64::from(is));
    }

    /// A checkpoint of this revision is durable.
    pub fn checkpointed(&self, revision: u64) {
        self.checkpoint_revision.set(int(revision));
    }

    /// So many revisions of other servers were not shown yet.
    pub fn replica_lag(&self, revisions: u64) {
        self.replica_lag.set(int(revisions));
    }

    /// How many leases call this server, by how they are.
    pub fn leases(&self, counts: &Counts) {
        for (state, count) in [
            ("up", counts.up),
            ("degraded", counts.degraded),
            ("down", counts.down),
            ("overdue", counts.overdue),
            ("held_back", counts.held_back),
        ] {
            self.leases
                .with_label_values(&[state])
                .set(int(count as u64));
        }
    }

    /// The guard began or ceased to hold.
    pub fn lease_guard(&self, holds: bool) {
        self.lease_guard.set(i64::from(holds));
    }

    /// A lease came up, was degraded or went down.
    pub fn lease_transition(&self, to: Health) {
        self.lease_transitions
            .with_label_values(&[to.as_str()])
            .inc();
    }

    /// Counters of how handshakes end.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes {
        let of = |outcome| self.tls_handshakes.with_label_values(&[outcome]);
        Handshakes {
            done: of("done"),
            failed: of("failed"),
            cut: of("cut"),
        }
    }

    /// Changed files of TLS were tried.
    pub fn tls_reload(&self, used: bool) {
        let outcome = if used { "done" } else { "failed" };
        self.tls_reloads.with_label_values(&[outcome]).inc();
    }

    /// A try to sign in or to refresh a token ended like this.
    pub fn sign_in(&self, outcome: &str) {
        self.sign_ins.with_label_values(&[outcome]).inc();
    }

    /// Runs that wait, that are carried out and that are undone.
    pub fn runs(&self, [queued, running, compensating]: [usize; 3]) {
        for (state, count) in [
            ("queued", queued),
            ("running", running),
            ("compensating", compensating),
        ] {
            self.runs.with_label_values(&[state]).set(int(count as u64));
        }
    }

    /// A run ended like this after so long.
    pub fn run_ended(&self, state: &str, took: Duration) {
        self.runs_ended.with_label_values(&[state]).inc();
        self.run_seconds
            .with_label_values::<&str>(&[])
            .observe(took.as_secs_f64());
    }

    /// An attempt of a step of this type ended.
    pub fn step_ended(&self, kind: &str, outcome: &str) {
        self.run_steps.with_label_values(&[kind, outcome]).inc();
    }

    /// A run turned out to be another server's.
    pub fn run_fenced(&self) {
        self.runs_fenced.inc();
    }

    /// Runs were taken over.
    pub fn runs_adopted(&self, runs: usize) {
        self.runs_adopted.inc_by(runs as u64);
    }

    /// Runs that cannot be read.
    pub fn runs_damaged(&self, runs: usize) {
        self.runs_damaged.set(int(runs as u64));
    }

    /// Watches that are open.
    pub fn watchers(&self, open: usize) {
        self.watchers.set(int(open as u64));
    }

    /// Watchers that were told to begin again, since the start.
    pub fn resyncs(&self, told: u64) {
        self.resyncs.inc_by(told.saturating_sub(self.resyncs.get()));
    }

    /// How events are doing.
    pub fn events(&self, figure: &Figure) {
        let events = &self.events;
        for (counter, count) in [
            (&events.appended, figure.appended),
            (&events.duplicates, figure.duplicates),
            (&events.lags, figure.lags),
            (&events.dead_letters, figure.dead_letters),
        ] {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        events.subscribers.set(int(figure.subscribers));
        for (end, place) in [("oldest", figure.oldest), ("next", figure.next)] {
            events.offset.with_label_values(&[end]).set(int(place));
        }
        for (at, bytes) in [("store", figure.bytes), ("memory", figure.ring_bytes)] {
            events.bytes.with_label_values(&[at]).set(int(bytes));
        }
        events.group_lag.reset();
        for (group, lag) in &figure.group_lags {
            events.group_lag.with_label_values(&[group]).set(int(*lag));
        }
        self.degraded("events", figure.fails);
    }

    /// Snapshots that are kept for page tokens.
    pub fn pinned_pages(&self, pinned: usize) {
        self.pinned_pages.set(int(pinned as u64));
    }

    /// The text that Prometheus reads, with the gauges read off the graph now.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn render(&self, graph: &Arc<Graph>) -> Result<String, prometheus::Error> {
        let published = graph.published();
        let snapshot = &published.snapshot;
        self.revision.set(int(snapshot.revision()));
        self.oldest_revision.set(int(published.history.oldest()));
        self.history_bytes
            .set(int(published.history.bytes() as u64));
        self.relations.set(int(snapshot.relation_count() as u64));
        self.queue_depth.set(int(graph.queue_depth() as u64));
        self.entities.reset();
        for (kind, names) in &snapshot.indexes().kinds {
            self.entities
                .with_label_values(&[kind.as_str()])
                .set(int(names.len() as u64));
        }
        let placeholders = snapshot.indexes().placeholders.len();
        self.entities
            .with_label_values(&["(placeholder)"])
            .set(int(placeholders as u64));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
