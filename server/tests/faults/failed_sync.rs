//! A disk that fails to sync, injected below the process with `strace`: the write is not acknowledged, no write is from
//! then on, reads go on, and after a restart everything acknowledged is there.

use amadeus_proto::v1;
use tonic::Code;
use v1::admin_service_client::AdminServiceClient;
use v1::graph_service_client::GraphServiceClient;

use crate::process::Process;

/// The first sync that fails, counted from the start on a store that is there; those before let some writes through.
const FAILS: u32 = 8;

fn put(name: &str) -> v1::PutEntityRequest {
    let key = v1::EntityRef {
        kind: "part".into(),
        name: name.into(),
    };
    v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: Some(key),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_failed_sync_is_no_acknowledgement() {
    let works = std::process::Command::new("strace")
        .args(["-f", "-e", "inject=fdatasync:error=EIO:when=1", "true"])
        .output()
        .is_ok_and(|done| done.status.success());
    if !works {
        return eprintln!("skipped: there is no strace here that can inject errors");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::start(folder.path(), &[], "");
    assert!(process.ready().await.is_some(), "{}", process.tail());
    process.end().await;
    let said = folder.path().join("strace.log");
    let said = said.to_str().expect("a plain path");
    // From one sync on: a disk that is gone does not come back.
    let [sync, data] =
        ["fsync", "fdatasync"].map(|call| format!("inject={call}:error=EIO:when={FAILS}+"));
    let wrapper = [
        // The tracer as a grandchild: what is killed at the end is the server, not only who watches it.
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        said,
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        &sync,
        "-e",
        &data,
    ];
    let mut process = Process::start(folder.path(), &wrapper, "");
    let Some(channel) = process.ready().await else {
        panic!("it did not start:\n{}", process.tail());
    };
    let mut graph = GraphServiceClient::new(channel.clone());
    let (mut acknowledged, mut refused) = (0, None);
    for n in 0..50 {
        match graph.put_entity(put(&format!("p{n}"))).await {
            Ok(_) => acknowledged = n + 1,
            Err(status) => {
                refused = Some(status);
                break;
            }
        }
    }
    let refused = refused.expect("a write whose sync failed was acknowledged");
    assert!(acknowledged > 0, "the start itself failed: {refused}");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let again = graph
        .put_entity(put("later"))
        .await
        .expect_err("the disk is gone");
    assert_eq!(again.code(), Code::Unavailable, "{again}");
    let status = AdminServiceClient::new(channel)
        .status(v1::StatusRequest {})
        .await;
    let status = status.expect("reads go on").into_inner();
    assert_eq!(status.revision, acknowledged);
    assert_eq!(status.health(), v1::Health::Down);
    process.end().await;

    let mut process = Process::start(folder.path(), &[], "");
    let Some(channel) = process.ready().await else {
        panic!("it did not start again:\n{}", process.tail());
    };
    let mut graph = GraphServiceClient::new(channel);
    for n in 0..acknowledged {
        let key = put(&format!("p{n}")).entity.and_then(|entity| entity.r#ref);
        let request = v1::GetEntityRequest {
            r#ref: key,
            ..Default::default()
        };
        graph
            .get_entity(request)
            .await
            .expect("it was acknowledged");
    }
    process.end().await;
}
