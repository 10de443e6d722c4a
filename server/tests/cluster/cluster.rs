//! Some servers on one database of their own.

use std::process::Command;
use std::time::Duration;

use amadeus_proto::v1;
use tempfile::TempDir;
use testbed::Postgres;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use v1::admin_service_client::AdminServiceClient;
use v1::consistency::Level;
use v1::graph_service_client::GraphServiceClient;
use v1::liveness_service_client::LivenessServiceClient;

use crate::process::Process;

/// The PostgreSQL of this program; `None`, and a word about it, where there is none.
pub fn database_server() -> Option<&'static Postgres> {
    match Postgres::shared() {
        Ok(server) => Some(server),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

/// One server.
pub struct Member {
    pub process: Process,
    channel: Channel,
}

impl Member {
    /// Starts one on `store`, with more options.
    pub async fn start(folder: &TempDir, store: &str, more: &[&str]) -> Self {
        let mut options = vec!["--store", store];
        options.extend(more);
        let mut process = Process::with(folder.path(), &[], "", &options);
        let Some(channel) = process.ready().await else {
            panic!("it did not start:\n{}", process.tail());
        };
        Self { process, channel }
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn graph(&self) -> GraphServiceClient<Channel> {
        GraphServiceClient::new(self.channel.clone())
    }

    pub fn liveness(&self) -> LivenessServiceClient<Channel> {
        LivenessServiceClient::new(self.channel.clone())
    }

    /// Where it serves.
    pub fn address(&self) -> String {
        format!(
            "http://{}",
            self.process.heard().address.expect("it serves")
        )
    }

    /// What its HTTP side answers.
    pub async fn http(&self, path: &str) -> String {
        let address = self.process.heard().http.expect("it serves");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it takes it");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers");
        answer
    }

    /// Sends the process a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &*id]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "kill {signal} {id}");
    }

    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }
}

/// All of them.
pub struct Cluster {
    pub members: Vec<Member>,
    /// Where they run.
    pub folder: TempDir,
    pub store: String,
}

impl Cluster {
    /// One server on an embedded store.
    pub async fn alone() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = format!("sqlite://{}", folder.path().join("graph.db").display());
        let members = vec![Member::start(&folder, &store, &[]).await];
        Self {
            members,
            folder,
            store,
        }
    }

    pub async fn start(store: String, count: usize, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(Member::start(&folder, &store, more).await);
        }
        Self {
            members,
            folder,
            store,
        }
    }

    /// Waits until all have shown what the log holds, and compares them.
    pub async fn agree(&self) -> u64 {
        let mut found = Vec::new();
        for member in &self.members {
            let last = level(Level::Linearizable(true));
            let reply = read(&mut member.graph(), "nobody", last).await;
            assert_eq!(reply.expect_err("it is not there").code(), Code::NotFound);
            let mut admin = member.admin();
            let checked = admin.check_integrity(v1::CheckIntegrityRequest {});
            let checked = checked.await.expect("it answers").into_inner();
            assert!(checked.ok, "{:?}", checked.findings);
            found.push((checked.revision, checked.hash));
        }
        assert!(found.windows(2).all(|two| two[0] == two[1]), "{found:?}");
        found[0].0
    }
}

/// A consistency.
pub fn level(level: Level) -> Option<v1::Consistency> {
    Some(v1::Consistency { level: Some(level) })
}

/// An entity of the tests by its name.
pub fn key(name: &str) -> v1::EntityRef {
    v1::EntityRef {
        kind: "part".into(),
        name: name.into(),
    }
}

/// A write of a number.
pub fn put(name: &str, number: u64, expected: Option<u64>, request: &str) -> v1::PutEntityRequest {
    let value = prost_types::value::Kind::NumberValue(number as f64);
    let value = prost_types::Value { kind: Some(value) };
    let fields = [("number".to_owned(), value)].into();
    v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(key(name)),
            properties: Some(prost_types::Struct { fields }),
            ..v1::Entity::default()
        }),
        expected_revision: expected,
        request_id: request.into(),
        ..v1::PutEntityRequest::default()
    }
}

/// What a read finds: the number, and the revision of the last change.
pub async fn read(
    graph: &mut GraphServiceClient<Channel>,
    name: &str,
    consistency: Option<v1::Consistency>,
) -> Result<(u64, u64), Status> {
    let request = v1::GetEntityRequest {
        r#ref: Some(key(name)),
        consistency,
    };
    let entity = graph.get_entity(request).await?.into_inner().entity;
    let entity = entity.expect("it was found");
    let fields = entity.properties.expect("it has some").fields;
    match fields["number"].kind {
        Some(prost_types::value::Kind::NumberValue(number)) => {
            Ok((number as u64, entity.modified_revision))
        }
        ref other => panic!("no number: {other:?}"),
    }
}

/// Tries until it holds.
pub async fn soon<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
