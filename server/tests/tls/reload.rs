//! Certificates that are renewed while the server runs.

use std::path::Path;
use std::process::Command;

use amadeus_proto::v1;
use v1::graph_service_client::GraphServiceClient;

use crate::authority::{Authority, Issued, keep, options};
use crate::serving::{Served, page, put};

pub fn hang_up(served: &Served) {
    let sent = Command::new("kill")
        .args(["-HUP", &served.process.id().to_string()])
        .status();
    assert!(sent.expect("there is a kill").success());
}

/// Asks until the HTTP side says so to who trusts one of these.
pub async fn told(authority: &Authority, served: &Served, path: &str, words: &str) {
    let asking = async {
        while !page(authority, &served.http, path).await.contains(words) {
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(crate::process::PATIENCE, asking).await;
    assert!(told.is_ok(), "{words}: {}", served.process.tail());
}

/// Connects until it succeeds.
async fn trusted_in_the_end(authority: &Authority, served: &Served) {
    let trying = async {
        while authority
            .connect(&served.grpc, &["h2"], None)
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    let trusted = tokio::time::timeout(crate::process::PATIENCE, trying).await;
    assert!(trusted.is_ok(), "{}", served.process.tail());
}

async fn start(folder: &Path, authority: &Authority) -> Served {
    let files = keep(folder, &authority.server(), None);
    Served::start(folder, &options(&files)).await
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections_and_open_streams_go_on() {
    let (old, new) = (Authority::new("the old one"), Authority::new("the new one"));
    let folder = tempfile::tempdir().expect("a folder");
    let served = start(folder.path(), &old).await;
    let channel = old.channel(&served.grpc, None).await.expect("trusted");
    let watch = v1::WatchRequest::default();
    let watch = GraphServiceClient::new(channel.clone()).watch(watch).await;
    let mut changes = watch.expect("it is served").into_inner();

    keep(folder.path(), &new.server(), None);
    hang_up(&served);
    trusted_in_the_end(&new, &served).await;
    assert!(old.connect(&served.grpc, &["h2"], None).await.is_err());

    // What is written over the new connection is told on the one that was there before.
    let renewed = new.channel(&served.grpc, None).await.expect("trusted");
    put(renewed, "a").await.expect("written");
    loop {
        let told = changes
            .message()
            .await
            .expect("it goes on")
            .expect("it goes on");
        if !told.changes.is_empty() {
            break;
        }
    }
    put(channel, "b")
        .await
        .expect("the old connection writes too");
}

#[tokio::test]
async fn files_that_change_are_taken_up_without_a_word() {
    let (old, new) = (Authority::new("the old one"), Authority::new("the new one"));
    let folder = tempfile::tempdir().expect("a folder");
    let served = start(folder.path(), &old).await;
    keep(folder.path(), &new.server(), None);
    trusted_in_the_end(&new, &served).await;
    told(
        &new,
        &served,
        "/metrics",
        r#"amadeus_tls_reloads_total{outcome="done"} 1"#,
    )
    .await;
}

#[tokio::test]
async fn broken_files_are_told_of_and_those_before_stay() {
    let authority = Authority::new("the authority");
    let folder = tempfile::tempdir().expect("a folder");
    let served = start(folder.path(), &authority).await;
    let broken = Issued {
        certificate: "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n".into(),
        key: authority.server().key,
    };
    keep(folder.path(), &broken, None);
    hang_up(&served);
    told(&authority, &served, "/readyz?verbose", "[~] tls degraded: ").await;
    told(
        &authority,
        &served,
        "/metrics",
        r#"amadeus_degraded{component="tls"} 1"#,
    )
    .await;
    let channel = authority.channel(&served.grpc, None).await;
    put(channel.expect("what was there stays"), "a")
        .await
        .expect("written");

    // It is well again with files that are good.
    keep(folder.path(), &authority.server(), None);
    told(
        &authority,
        &served,
        "/metrics",
        r#"amadeus_degraded{component="tls"} 0"#,
    )
    .await;
    let shown = page(&authority, &served.http, "/readyz?verbose").await;
    assert!(!shown.contains("tls"), "{shown}");
}
