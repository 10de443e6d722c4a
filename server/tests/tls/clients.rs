//! What becomes of a connection by certificate when the certificate is good no more.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amadeus_proto::v1;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use v1::auth_service_client::AuthServiceClient;
use v1::graph_service_client::GraphServiceClient;

use crate::authority::{Authority, keep, options};
use crate::process::PATIENCE;
use crate::reload::{hang_up, told};
use crate::serving::{Served, put};

/// A server that asks everybody to sign in, with the administrator `root`.
async fn start(folder: &Path, authority: &Authority, clients: &Authority) -> Served {
    let files = keep(folder, &authority.server(), Some(clients));
    let mut options = options(&files);
    options.push("--auth".into());
    let served = Served::start(folder, &options).await;
    let mut lines = served.process.lines().map(|line| line.trim().to_owned());
    let setup_token = lines.find(|line| line.starts_with("ams_"));
    let request = v1::RegisterRequest {
        username: "root".into(),
        password: "correct horse battery".into(),
        setup_token: setup_token.expect("it shows a setup token"),
        ..Default::default()
    };
    let channel = authority.channel(&served.grpc, None).await;
    let mut auth = AuthServiceClient::new(channel.expect("trusted"));
    auth.register(request).await.expect("registered");
    served
}

async fn watch(channel: &Channel) -> Streaming<v1::WatchResponse> {
    let watch = v1::WatchRequest::default();
    let watch = GraphServiceClient::new(channel.clone()).watch(watch).await;
    watch.expect("it is served").into_inner()
}

/// How a stream ends.
async fn end(mut stream: Streaming<v1::WatchResponse>) -> Status {
    let ending = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended well"),
                Err(status) => return status,
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ending).await;
    ended.expect("it ends")
}

fn refused(reply: Result<u64, Status>) -> Code {
    reply.err().map_or(Code::Ok, |status| status.code())
}

#[tokio::test]
async fn a_connection_is_nobodys_when_the_time_of_its_certificate_is_over() {
    let (authority, clients) = (
        Authority::new("the servers'"),
        Authority::new("the clients'"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let served = start(folder.path(), &authority, &clients).await;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let soon = since.expect("after 1970") + Duration::from_secs(4);
    let issued = clients.client_until("root", Some(soon.as_secs()));
    let channel = authority.channel(&served.grpc, Some(&issued)).await;
    let channel = channel.expect("trusted");
    put(channel.clone(), "a").await.expect("it is good yet");
    let ended = end(watch(&channel).await).await;
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
    assert_eq!(refused(put(channel, "b").await), Code::Unauthenticated);
}

#[tokio::test]
async fn a_connection_is_nobodys_when_nobody_vouches_for_its_certificate_any_more() {
    let authority = Authority::new("the servers'");
    let (old, new) = (Authority::new("the old one"), Authority::new("the new one"));
    let folder = tempfile::tempdir().expect("a folder");
    let served = start(folder.path(), &authority, &old).await;
    let channel = authority
        .channel(&served.grpc, Some(&old.client("root")))
        .await;
    let channel = channel.expect("trusted");
    let changes = watch(&channel).await;
    let reloads = async |times: u32| {
        hang_up(&served);
        let words = format!("amadeus_tls_reloads_total{{outcome=\"done\"}} {times}");
        told(&authority, &served, "/metrics", &words).await;
    };

    // The new one comes beside the old one: nobody is signed out for it.
    let both = folder.path().join("clients.both");
    std::fs::write(&both, format!("{}{}", old.pem, new.pem)).expect("there is room");
    std::fs::rename(&both, folder.path().join("clients.pem")).expect("it is ours");
    reloads(1).await;
    put(channel.clone(), "a").await.expect("it goes on");
    let renewed = authority
        .channel(&served.grpc, Some(&new.client("root")))
        .await;
    let renewed = renewed.expect("trusted");
    put(renewed.clone(), "b").await.expect("by the new one");

    // Then the old one goes, while its connection stays.
    keep(folder.path(), &authority.server(), Some(&new));
    reloads(2).await;
    let ended = end(changes).await;
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
    assert_eq!(refused(put(channel, "c").await), Code::Unauthenticated);
    put(renewed, "d").await.expect("it goes on");
}
