//! The server with TLS on: who is served on both addresses, and what it refuses to start with.

use std::os::unix::fs::PermissionsExt as _;

use amadeus_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::Channel;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use v1::graph_service_client::GraphServiceClient;

use crate::authority::{Authority, Issued, keep, options};
use crate::process::Process;

/// A running server with TLS, and where it is.
pub struct Served {
    pub process: Process,
    pub grpc: String,
    pub http: String,
}

impl Served {
    pub async fn start(folder: &std::path::Path, options: &[String]) -> Self {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut process = Process::with(folder, &[], "", &options);
        let heard = process.until(|heard| heard.address.is_some() || heard.gone);
        let heard = heard.await;
        assert!(!heard.gone, "{}", process.tail());
        Self {
            process,
            grpc: heard.address.expect("it serves"),
            http: heard.http.expect("it serves"),
        }
    }
}

/// What the HTTP side answers.
pub async fn page(authority: &Authority, address: &str, path: &str) -> String {
    let stream = authority.connect(address, &["http/1.1"], None).await;
    let mut stream = stream.expect("it is trusted");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8(answer).expect("text")
}

pub async fn put(channel: Channel, name: &str) -> Result<u64, tonic::Status> {
    let request = v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(v1::EntityRef {
                kind: "probe".into(),
                name: name.into(),
            }),
            ..v1::Entity::default()
        }),
        ..v1::PutEntityRequest::default()
    };
    let reply = GraphServiceClient::new(channel).put_entity(request).await?;
    Ok(reply
        .into_inner()
        .header
        .map_or(0, |header| header.revision))
}

#[tokio::test]
async fn who_trusts_the_authority_is_served_on_both_addresses_and_nobody_in_the_clear() {
    let authority = Authority::new("the authority");
    let folder = tempfile::tempdir().expect("a folder");
    let files = keep(folder.path(), &authority.server(), None);
    let served = Served::start(folder.path(), &options(&files)).await;

    let channel = authority.channel(&served.grpc, None).await;
    assert_eq!(
        put(channel.expect("trusted"), "a").await.expect("written"),
        1
    );
    let shown = page(&authority, &served.http, "/readyz?verbose").await;
    assert!(shown.starts_with("HTTP/1.1 200"), "{shown}");
    let shown = page(&authority, &served.http, "/metrics").await;
    assert!(shown.contains("amadeus_graph_revision 1"), "{shown}");

    // Somebody else's authority of the same name vouches for nothing.
    let stranger = Authority::new("the authority");
    assert!(stranger.channel(&served.grpc, None).await.is_err());
    let plain = Channel::from_shared(format!("http://{}", served.grpc)).expect("an address");
    let refused = match plain.connect().await {
        Ok(channel) => put(channel, "b").await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    let shown = page(&authority, &served.http, "/metrics").await;
    assert!(
        shown.contains(r#"amadeus_tls_handshakes_total{outcome="failed"}"#),
        "{shown}"
    );
}

async fn refusal(folder: &std::path::Path, options: &[String]) -> String {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut process = Process::with(folder, &[], "", &options);
    assert!(process.ready().await.is_none(), "it must not start");
    process.tail()
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_before_anything_is_opened() {
    let authority = Authority::new("the authority");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let good = authority.server();
    let files = keep(folder, &good, Some(&authority));

    let everybody = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&files.key, everybody).expect("it is ours");
    let said = refusal(folder, &options(&files)).await;
    assert!(said.contains("chmod 600") && said.contains("644"), "{said}");

    let other = Issued {
        certificate: good.certificate.clone(),
        key: authority.server().key,
    };
    keep(folder, &other, Some(&authority));
    let said = refusal(folder, &options(&files)).await;
    assert!(said.contains("server.key cannot be used"), "{said}");
    assert!(!said.contains("PRIVATE"), "{said}");

    let swapped = Issued {
        certificate: good.key.clone(),
        key: good.certificate.clone(),
    };
    keep(folder, &swapped, Some(&authority));
    let said = refusal(folder, &options(&files)).await;
    assert!(said.contains("server.pem holds no certificate"), "{said}");

    keep(folder, &good, Some(&authority));
    std::fs::remove_file(files.client_ca.as_ref().expect("there is one")).expect("it is ours");
    let said = refusal(folder, &options(&files)).await;
    assert!(said.contains("clients.pem cannot be read"), "{said}");
}

#[tokio::test]
async fn reflection_that_is_off_is_not_served() {
    let folder = tempfile::tempdir().expect("a folder");
    for (who, served) in [("open", true), ("off", false)] {
        let options = ["--store", "memory:", "--reflection", who];
        let mut process = Process::with(folder.path(), &[], "", &options);
        let channel = process.ready().await.expect("it serves");
        let asked = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..ServerReflectionRequest::default()
        };
        let asked = tokio_stream::iter([asked]);
        let mut reflection = ServerReflectionClient::new(channel);
        let reply = reflection.server_reflection_info(asked).await;
        let offered = match reply {
            Ok(reply) => reply.into_inner().message().await.is_ok(),
            Err(status) => status.code() != tonic::Code::Unimplemented,
        };
        assert_eq!(offered, served, "{who}");
    }
}
