//! The application: a list of parts, and the order in which they start and end.
//!
//! `App::build` registers every part with the provider; a part is built when it is first needed, and only built. `serve` opens
//! the store before, starts what runs after, and ends everything in reverse: health first, then calls, then the committer,
//! then the store.

use crate::access::{Access, AccessError};
use crate::committer::CommitterTask;
use crate::config::{Config, ConfigError, Reflection, ServeArgs};
use crate::connection::Peer;
use crate::events::{EventError, Events, Keep};
use crate::health::Health;
use crate::hints::{AddressError, Hints};
use crate::http::{Shown, routes};
use crate::layer::CallLayer;
use crate::liveness::LeaseKeeper;
use crate::load::{LoadError, load};
use crate::metrics::Metrics;
use crate::nexus::Runs;
use crate::nexus::rows::{RunRows, RunRowsError};
use crate::nexus::runs::{KEPT, Parts as RunParts};
use crate::nexus::step::World;
use crate::nexus::steps::StepKinds;
use crate::rpc::{Context, GraphRpc, LivenessRpc, NexusRpc, QueryRpc, Shortcut};
use crate::shutdown::{Shutdown, on_signals};
use crate::standing::Standing;
use crate::storage::{
    self, Backend, KeeperPolicy, LeaseRows, LeaseRowsError, OpenError, OpenOptions, Opened,
    ServerId, SharedKeeper, StoreFiles, StoreUrl,
};
use crate::store::ServerStore;
use crate::tls::{Certificates, Door, Protocol, TlsError};
use amadeus_proto::FILE_DESCRIPTOR_SET;
use amadeus_proto::v1::admin_service_server::AdminServiceServer;
use amadeus_proto::v1::auth_service_server::AuthServiceServer;
use amadeus_proto::v1::graph_service_server::GraphServiceServer;
use amadeus_proto::v1::liveness_service_server::LivenessServiceServer;
use amadeus_proto::v1::nexus_service_server::NexusServiceServer;
use amadeus_proto::v1::query_service_server::QueryServiceServer;
use amadeus_proto::v1::user_service_server::UserServiceServer;
use kg_core::commit::{Graph, HistoryLimits, Options};
use kg_core::limits::MESSAGE_BYTES;
use kg_core::registry::{Key, Provider, ResolveError};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic_health::server::HealthReporter;

/// Calls that a client may cancel faster than they are answered before its connection is ended. The default of 20 ends
/// that of a client that closes its watches together.
const RESETS: usize = 1_024;

/// Calls and streams that one connection may have open.
const STREAMS: u32 = 20_000;

/// How long a server that ends tries to leave its leases to the others. They find out by themselves.
const LEAVING: Duration = Duration::from_secs(2);

/// How long health has said NOT_SERVING before connections are told to go.
const NOTICE: Duration = Duration::from_millis(150);

const METRICS: Key<Metrics> = Key::new("metrics");
const SHUTDOWN: Key<Shutdown> = Key::new("shutdown");
const STOPPING: Key<Shutdown> = Key::new("stopping");
const GRAPH: Key<Arc<Graph>> = Key::new("graph");
const STORE: Key<Arc<ServerStore>> = Key::new("store");
const HEALTH: Key<Health> = Key::new("health");
const HINTS: Key<Hints> = Key::new("hints");
const STANDING: Key<Standing> = Key::new("standing");
const CONTEXT: Key<Arc<Context>> = Key::new("context");

/// Why the server could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The rows of the leases cannot be opened.
    #[error("the rows of the leases cannot be opened: {0}")]
    Leases(#[from] LeaseRowsError),
    /// The events cannot be opened.
    #[error("the events cannot be opened: {0}")]
    Events(#[from] EventError),
    /// The runs cannot be opened.
    #[error("the runs cannot be opened: {0}")]
    Runs(#[from] RunRowsError),
    /// Who may do what cannot be known.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A part could not be built.
    #[error(transparent)]
    Part(#[from] ResolveError),
    /// The files of TLS cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The address of Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] AddressError),
    /// The file of `--load` cannot be imported.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What it was for.
        what: &'static str,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A listener failed while it served.
    #[error("{0} ended: {1}")]
    Ended(&'static str, String),
    /// Signals cannot be listened to.
    #[error("signals cannot be listened to: {0}")]
    Signals(#[from] std::io::Error),
}

/// The parts of a server.
pub struct App {
    provider: Provider,
}

impl App {
    /// The parts list. Nothing is built yet.
    #[must_use]
    pub fn build(
        args: &ServeArgs,
        opened: &Opened,
        shared_keeper: Option<&Arc<SharedKeeper>>,
        certificates: Option<&Certificates>,
    ) -> Self {
        let provider = Provider::new();
        let options = Options {
            store_id: opened.store_id.clone(),
            queue: args.queue,
            history: history_limits(args),
        };
        let history = opened.history.clone();
        let (url, log, files) = (
            StoreUrl::shown(&args.store),
            opened.backend.clone(),
            opened.files.clone(),
        );
        let shared_keeper = shared_keeper.cloned();
        let certificates = certificates.cloned();

        provider.register(METRICS, |_| Metrics::new());
        provider.register(SHUTDOWN, |_| built(Shutdown::default()));
        provider.register(HINTS, |_| built(Hints::default()));
        provider.register(STANDING, |_| built(Standing::default()));
        provider.register(STOPPING, |_| built(Shutdown::default()));
        provider.register(GRAPH, move |_| {
            built(Arc::new(Graph::new(history.clone(), &options)))
        });
        provider.register(STORE, move |chain| {
            let graph = (*chain.resolve(GRAPH)?).clone();
            Ok::<_, ResolveError>(Arc::new(ServerStore::new(
                url.clone(),
                log.clone(),
                files.clone(),
                shared_keeper.clone(),
                graph,
                chain.resolve(STANDING)?,
                (*chain.resolve(HINTS)?).clone(),
            )))
        });
        provider.register(HEALTH, move |chain| {
            let (graph, shutdown) = (chain.resolve(GRAPH)?, chain.resolve(SHUTDOWN)?);
            Ok::<_, ResolveError>(Health::new(
                (*graph).clone(),
                (*shutdown).clone(),
                chain.resolve(METRICS)?,
                chain.resolve(STANDING)?,
                (*chain.resolve(HINTS)?).clone(),
                chain.resolve(CONTEXT)?.leases.clone(),
                certificates.clone(),
            ))
        });
        provider.register(CONTEXT, |chain| {
            let (graph, store) = (chain.resolve(GRAPH)?, chain.resolve(STORE)?);
            let stopping = chain.resolve(STOPPING)?.subscribe();
            Ok::<_, ResolveError>(Context::new(
                (*graph).clone(),
                (*store).clone(),
                (*store).clone(),
                now_ms,
                stopping,
            ))
        });
        Self { provider }
    }

    fn part<T: Send + Sync + 'static>(&self, key: Key<T>) -> Result<Arc<T>, ResolveError> {
        self.provider.resolve(key)
    }
}

/// Serves until a signal ends it, or a listener fails.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let args = &config.args;
    let asked = Shutdown::default();
    on_signals(asked.clone())?;
    let (certificates, look) = args.tls().map(Certificates::load).transpose()?.unzip();
    if let Some(backup) = &args.from_backup {
        storage::create_from_backup(&args.store, backup).await?;
        tracing::info!(backup = %backup.display(), store = %StoreUrl::shown(&args.store), "made a new store of a backup");
    }
    let options = open_options(args);
    let opened = tokio::select! {
        opened = storage::open(&args.store, &options) => opened?,
        // Nothing was acknowledged yet, and a store that is being read is as it was.
        () = asked.begun() => return Ok(()),
    };
    for notice in &opened.report {
        tracing::warn!(notice, "the store");
    }
    let (rows, notice) = LeaseRows::open(&opened).await?;
    if let Some(notice) = notice {
        tracing::warn!(notice, "the store");
    }
    let shared_keeper = match &opened.backend {
        Backend::Postgres(log) => {
            let (log, store_id) = (log.clone(), opened.store_id.clone());
            Some(Arc::new(SharedKeeper::new(log, store_id, options.keeper)))
        }
        Backend::Memory(_) | Backend::Sqlite(_) => None,
    };
    let app = App::build(args, &opened, shared_keeper.as_ref(), certificates.as_ref());
    let graph: Arc<Graph> = (*app.part(GRAPH)?).clone();
    let metrics = app.part(METRICS)?;
    let access = Access::open(args, &opened, certificates.as_ref(), metrics.clone()).await?;
    let grpc = listen(args.listen, "gRPC").await?;
    let http = listen(args.http, "HTTP").await?;
    let at = |listener: &TcpListener, wanted: SocketAddr| listener.local_addr().unwrap_or(wanted);
    let (grpc_at, http_at) = (at(&grpc, args.listen), at(&http, args.http));

    let looking = look.map(|look| look.keep(metrics.clone(), asked.clone()));
    if let Some(looking) = looking {
        tokio::spawn(looking?);
    }

    let log = opened.backend.clone();
    let hints: Hints = (*app.part(HINTS)?).clone();
    if let Some(redis) = &args.redis {
        hints
            .start(redis, opened.store_id.clone(), metrics.clone())
            .await?;
    }
    let keep = Keep {
        events: args.event_keep_rows,
        bytes: args.event_keep_bytes,
    };
    let (events, notice) = Events::open(&opened, keep, hints.clone()).await?;
    if let Some(notice) = notice {
        tracing::warn!(notice, "the store");
    }
    events.attach(graph.clone(), app.part(CONTEXT)?.log.clone());
    let runs = Runs::new(RunParts {
        rows: RunRows::open(&opened).await?,
        kinds: StepKinds::standard(),
        world: World {
            graph: (*app.part(CONTEXT)?).clone(),
            events: events.clone(),
        },
        owners: access.owners(args),
        metrics: metrics.clone(),
        clock: now_ms,
        me: ServerId(seed()),
        max_runs: args.max_runs,
        kept: (args.keep_runs, KEPT.1),
    });
    let committer = CommitterTask::new(
        graph.clone(),
        log.clone(),
        metrics.clone(),
        hints,
        app.part(STANDING)?,
        seed(),
    );
    let committer: JoinHandle<Backend> = tokio::spawn(committer.run());
    let mut keeper = opened.files.as_ref().map(|files| {
        let (keeper, graph) = (files.keeper.clone(), graph.clone());
        tokio::spawn(async move { keeper.run(&graph).await })
    });
    if let Some(shared_keeper) = shared_keeper {
        let graph = graph.clone();
        keeper = Some(tokio::spawn(async move { shared_keeper.run(&graph).await }));
    }

    let leases_end = Shutdown::default();
    let lease_keeper = LeaseKeeper::new(
        app.part(CONTEXT)?.leases.clone(),
        rows,
        log.is_shared(),
        graph.clone(),
        metrics.clone(),
        now_ms,
        seed,
    );
    let lease_keeper = tokio::spawn({
        let ending = leases_end.clone();
        async move { lease_keeper.run(ending.begun()).await }
    });

    let store = Running {
        runs: runs.clone(),
        graph: graph.clone(),
        events: events.clone(),
        leases_end,
        lease_keeper,
        committer,
        keeper,
        files: opened.files.clone(),
        log,
    };
    if let Some(file) = &args.load {
        let loaded = tokio::select! {
            loaded = load(&graph, file, now_ms()) => loaded,
            () = asked.begun() => Ok(()),
        };
        if let Err(error) = loaded {
            store.end(access).await;
            return Err(error.into());
        }
    }

    runs.start();

    let shutdown = app.part(SHUTDOWN)?;
    let health = (*app.part(HEALTH)?).clone().and_of(runs.clone());
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let following = tokio::spawn(health.clone().follow(reporter.clone()));
    let shown = Shown {
        graph: graph.clone(),
        metrics: metrics.clone(),
        health,
        context: (*app.part(CONTEXT)?).clone(),
        events: events.clone(),
        authenticator: access.authenticator(),
        open: !args.auth || http_at.ip().is_loopback(),
    };
    let door = |listener, protocol| {
        Door::open(
            listener,
            protocol,
            certificates.clone(),
            metrics.handshakes(),
        )
    };
    let (grpc, http) = (door(grpc, Protocol::Grpc), door(http, Protocol::Http));
    let routes = routes(shown).into_make_service_with_connect_info::<Peer>();
    let http = tokio::spawn(axum::serve(http, routes).into_future());
    let stopping = app.part(STOPPING)?;
    let mut calls = tokio::spawn(serve_calls(
        grpc,
        &runs,
        &metrics,
        health_service,
        &access,
        args,
        (*stopping).clone(),
    )?);

    let revision = graph.revisions().0;
    tracing::info!(grpc = %grpc_at, http = %http_at, store = %StoreUrl::shown(&args.store), revision, "serving");

    let ended = tokio::select! {
        () = asked.begun() => {
            tracing::info!(grace_s = args.grace, "shutting down");
            Ok(())
        }
        ended = &mut calls => Err(ServeError::Ended("gRPC", how(ended))),
    };

    // In reverse: health, calls, committer, store.
    shutdown.begin();
    let _ = following.await;
    tokio::time::sleep(NOTICE).await;
    end_health_streams(reporter).await;
    stopping.begin();
    // A task that has ended must not be asked again.
    if ended.is_ok()
        && tokio::time::timeout(Duration::from_secs(args.grace), &mut calls)
            .await
            .is_err()
    {
        tracing::warn!("the grace period is over: calls that are still open are cut");
        calls.abort();
    }
    store.end(access).await;
    http.abort();
    tracing::info!(revision = graph.revisions().0, "ended");
    ended
}

/// What writes, once the store is open.
struct Running {
    runs: Runs,
    graph: Arc<Graph>,
    events: Events,
    leases_end: Shutdown,
    lease_keeper: JoinHandle<()>,
    committer: JoinHandle<Backend>,
    keeper: Option<JoinHandle<()>>,
    files: Option<StoreFiles>,
    log: Backend,
}

impl Running {
    /// Stops the runs where they are and commits what was accepted, then closes the store.
    async fn end(mut self, access: Access) {
        self.runs.end().await;
        access.end().await;
        self.leases_end.begin();
        let ended = tokio::time::timeout(LEAVING, &mut self.lease_keeper).await;
        if let Ok(Err(error)) = ended {
            tracing::error!(%error, "the keeper of the leases ended badly");
        }
        self.lease_keeper.abort();
        self.graph.close();
        if let Err(error) = self.committer.await {
            tracing::error!(%error, "the committer ended badly");
        }
        if let Some(keeper) = self.keeper {
            keeper.abort();
        }
        self.events.close().await;
        last_checkpoint(&self.graph, self.files.as_ref()).await;
        if let Err(error) = self.log.close().await {
            tracing::error!(error, "the store did not close in order");
        }
    }
}

/// The gRPC side as a future that ends when `stopping` has begun and the last call has ended.
fn serve_calls<H: tonic_health::pb::health_server::Health>(
    incoming: Door,
    runs: &Runs,
    metrics: &Arc<Metrics>,
    health: tonic_health::pb::health_server::HealthServer<H>,
    access: &Access,
    args: &ServeArgs,
    stopping: Shutdown,
) -> Result<impl Future<Output = Result<(), tonic::transport::Error>> + use<H>, ServeError> {
    let describing = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let wrong =
        |error: tonic_reflection::server::Error| ServeError::Ended("reflection", error.to_string());
    let (v1, v1alpha) = match args.reflection {
        Reflection::Off => (None, None),
        Reflection::Open | Reflection::SignedIn => (
            Some(describing().build_v1().map_err(wrong)?),
            Some(describing().build_v1alpha().map_err(wrong)?),
        ),
    };
    let World {
        graph: context,
        events,
    } = runs.world().clone();
    let query = QueryRpc::new(context.clone()).drawing(runs.clone());
    let nexus = NexusRpc::new(context.clone(), runs.clone(), events);
    let router = tonic::transport::Server::builder()
        .layer(CallLayer::new(metrics))
        .layer(access.gate(args))
        .max_concurrent_streams(STREAMS)
        .http2_max_pending_accept_reset_streams(Some(RESETS))
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_service(health)
        .add_optional_service(v1)
        .add_optional_service(v1alpha)
        .add_service(Shortcut::around(
            GraphServiceServer::new(GraphRpc::new(context.clone()))
                .max_decoding_message_size(MESSAGE_BYTES),
            context.clone(),
        ))
        .add_service(QueryServiceServer::new(query).max_decoding_message_size(MESSAGE_BYTES))
        .add_service(
            LivenessServiceServer::new(LivenessRpc::new(context.clone()))
                .max_decoding_message_size(MESSAGE_BYTES),
        )
        .add_service(NexusServiceServer::new(nexus).max_decoding_message_size(MESSAGE_BYTES))
        .add_service(
            AuthServiceServer::new(access.auth_rpc(context.clone()))
                .max_decoding_message_size(MESSAGE_BYTES),
        )
        .add_service(
            UserServiceServer::new(access.user_rpc(context.clone()))
                .max_decoding_message_size(MESSAGE_BYTES),
        )
        .add_service(
            AdminServiceServer::new(access.admin_rpc(context))
                .max_decoding_message_size(MESSAGE_BYTES),
        );
    Ok(async move {
        router
            .serve_with_incoming_shutdown(incoming, stopping.begun())
            .await
    })
}

/// A health watch never ends by itself, and would hold the server until the end of the grace period.
async fn end_health_streams(mut reporter: HealthReporter) {
    for service in Health::services() {
        reporter.clear_service_status(service).await;
    }
}

async fn listen(address: SocketAddr, what: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| ServeError::Listen {
            address,
            what,
            cause,
        })
}

fn how(ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "nobody told it to".into(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

fn history_limits(args: &ServeArgs) -> HistoryLimits {
    HistoryLimits {
        bytes: args.history_bytes,
        revisions: args.history_revisions,
        ..HistoryLimits::default()
    }
}

fn open_options(args: &ServeArgs) -> OpenOptions {
    let keeper = KeeperPolicy {
        every_records: args.checkpoint_every,
        ..KeeperPolicy::default()
    };
    OpenOptions {
        history: history_limits(args),
        keeper,
        ..OpenOptions::default()
    }
}

/// A checkpoint at the end spares the next start its replay, where there would be much of it.
async fn last_checkpoint(graph: &Graph, files: Option<&StoreFiles>) {
    let Some(files) = files.filter(|files| files.keeper.is_due_at_shutdown(graph.revisions().0))
    else {
        return;
    };
    if let Err(error) = files.keeper.keep(graph.snapshot().shared()).await {
        tracing::warn!(%error, "no checkpoint at the end; the next start replays the log");
    }
}

fn built<T>(part: T) -> Result<T, Infallible> {
    Ok(part)
}

/// Milliseconds since 1970. A clock before that reads as 0; records keep their times in order by themselves.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Differs from call to call and from process to process, so that what two servers name by it never meets.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one((std::process::id(), now_ms()))
}
