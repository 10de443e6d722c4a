//! A server in this process: the real services, a real connection, a log in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bytes::Bytes;
use amadeus::auth::GateLayer;
use amadeus::metrics::Metrics;
use amadeus::rpc::context::{
    BackupEntry, Compacted, Component, RestoreOrder, Restored, StoreError,
};
use amadeus::rpc::{Admin, Context, GraphRpc, LogTail, QueryRpc, Shortcut, Store};
use amadeus_proto::v1;
use futures::future::BoxFuture;
use kg_core::commit::{Committer, Graph, History, HistoryLimits, Options, Settled};
use kg_core::log::{CommitLog, MemoryLog, ReadError, Record};
use kg_core::snapshot::Snapshot;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Status};
use v1::admin_service_client::AdminServiceClient;
use v1::admin_service_server::AdminServiceServer;
use v1::graph_service_client::GraphServiceClient;
use v1::graph_service_server::GraphServiceServer;
use v1::query_service_client::QueryServiceClient;
use v1::query_service_server::QueryServiceServer;

/// A server and a connection to it. It ends with the test.
pub struct Server {
    pub graph: GraphServiceClient<Channel>,
    pub query: QueryServiceClient<Channel>,
    pub admin: AdminServiceClient<Channel>,
    pub channel: Channel,
    pub context: Arc<Context>,
    pub log: MemoryLog,
    /// How often the log was asked for its last revision.
    pub asked: Arc<AtomicU64>,
    pub stop: watch::Sender<bool>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(HistoryLimits::default()).await
    }

    pub async fn with(history: HistoryLimits) -> Self {
        let log = MemoryLog::new();
        let ring = History::new(Arc::new(Snapshot::new()), history);
        let graph = Arc::new(Graph::new(ring, &Options::default()));
        tokio::spawn(commit(Committer::new(graph.clone(), 1), log.clone()));

        let asked = Arc::new(AtomicU64::new(0));
        let tail = Arc::new(Tail {
            log: log.clone(),
            asked: asked.clone(),
        });
        let (stop, stopping) = watch::channel(false);
        let context = Context::new(graph, tail, Arc::new(NoStore), now_ms, stopping);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let graph = GraphServiceServer::new(GraphRpc::new(context.clone()));
        let graph = Shortcut::around(graph, context.clone());
        let metrics = Arc::new(Metrics::new().expect("the names differ"));
        let served = tonic::transport::Server::builder()
            .layer(GateLayer::trusting(metrics))
            .add_service(graph)
            .add_service(QueryServiceServer::new(QueryRpc::new(context.clone())))
            .add_service(AdminServiceServer::new(Admin::new(context.clone())))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(served);
        let channel = connect(address).await;
        Self {
            graph: GraphServiceClient::new(channel.clone()),
            query: QueryServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel.clone()),
            channel,
            context,
            log,
            asked,
            stop,
        }
    }

    pub fn head(&self) -> u64 {
        self.context.graph.revisions().0
    }

    /// Registers a service that needs these.
    pub async fn register(&self, name: &str, needs: &[&str]) -> u64 {
        let reply = self
            .graph
            .clone()
            .register_service(registration(name, needs))
            .await;
        revision(reply.expect("registered").into_inner().header)
    }

    /// Puts an entity with one property.
    pub async fn put(&self, text: &str, n: f64) -> u64 {
        let request = v1::PutEntityRequest {
            entity: Some(entity(text, n)),
            ..Default::default()
        };
        let reply = self.graph.clone().put_entity(request).await;
        revision(reply.expect("put").into_inner().header)
    }

    /// Relates two entities.
    pub async fn relate(&self, from: &str, label: &str, to: &str) -> u64 {
        let request = v1::PutRelationRequest {
            relation: Some(v1::Relation {
                from: Some(key(from)),
                relation: label.into(),
                to: Some(key(to)),
                ..Default::default()
            }),
            ..Default::default()
        };
        let reply = self.graph.clone().put_relation(request).await;
        revision(reply.expect("related").into_inner().header)
    }

    /// Calls an RPC with bytes that no client library would send.
    pub async fn raw(&self, method: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("connected");
        let path = http::uri::PathAndQuery::from_static(method);
        let reply = grpc.unary(Request::new(bytes), path, Bytes).await?;
        Ok(reply.into_inner())
    }
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("it listens")
}

async fn commit(mut committer: Committer, mut log: MemoryLog) {
    let graph = committer.graph().clone();
    loop {
        let epoch = graph.work_epoch();
        let Some(staged) = committer.stage() else {
            graph.listen_for_work(epoch).await;
            continue;
        };
        let appended = match &staged.batch {
            Some(batch) => log.append(batch).await,
            None => Ok(()),
        };
        match committer.settle(staged, appended) {
            Settled::Done => {}
            Settled::Repeat(_) | Settled::CatchUp => panic!("a log in memory has one writer"),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

struct Tail {
    log: MemoryLog,
    asked: Arc<AtomicU64>,
}

impl LogTail for Tail {
    fn read(&self, from: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>> {
        Box::pin(self.log.read(from, limit))
    }

    fn last_revision(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.log.last_revision())
    }
}

struct NoStore;

impl Store for NoStore {
    fn url(&self) -> String {
        "memory:".into()
    }

    fn checkpoint_revision(&self) -> u64 {
        0
    }

    fn components(&self) -> Vec<Component> {
        Vec::new()
    }

    fn backup(&self, _: String) -> BoxFuture<'_, Result<BackupEntry, StoreError>> {
        Box::pin(async { Err(StoreError::NotSupported("there is no store".into())) })
    }

    fn backups(&self) -> BoxFuture<'_, Result<Vec<BackupEntry>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn restore(&self, order: RestoreOrder) -> BoxFuture<'_, Result<Restored, StoreError>> {
        Box::pin(async move { Err(StoreError::NotFound(format!("backup {:?}", order.id))) })
    }

    fn compact(&self, _: u64) -> BoxFuture<'_, Result<Compacted, StoreError>> {
        Box::pin(async { Err(StoreError::NotSupported("there is no store".into())) })
    }

    fn verify(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// `kind/name` as a reference.
pub fn key(text: &str) -> v1::EntityRef {
    let (kind, name) = text.split_once('/').expect("kind/name");
    v1::EntityRef {
        kind: kind.into(),
        name: name.into(),
    }
}

pub fn entity(text: &str, n: f64) -> v1::Entity {
    v1::Entity {
        r#ref: Some(key(text)),
        properties: Some(prost_types::Struct {
            fields: [("n".to_owned(), number(n))].into(),
        }),
        ..Default::default()
    }
}

pub fn number(n: f64) -> prost_types::Value {
    prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(n)),
    }
}

pub fn list(values: Vec<prost_types::Value>) -> prost_types::Value {
    prost_types::Value {
        kind: Some(prost_types::value::Kind::ListValue(
            prost_types::ListValue { values },
        )),
    }
}

pub fn registration(name: &str, needs: &[&str]) -> v1::RegisterServiceRequest {
    let dependency = |service: &&str| v1::Dependency {
        service: (*service).into(),
        ..Default::default()
    };
    v1::RegisterServiceRequest {
        service: Some(v1::Service {
            name: name.into(),
            dependencies: needs.iter().map(dependency).collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn revision(header: Option<v1::ResponseHeader>) -> u64 {
    header.expect("every reply has a header").revision
}

pub fn at_exact(revision: u64) -> Option<v1::Consistency> {
    level(v1::consistency::Level::AtExact(revision))
}

pub fn level(level: v1::consistency::Level) -> Option<v1::Consistency> {
    Some(v1::Consistency { level: Some(level) })
}
