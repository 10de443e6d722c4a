//! What is under way when rights are taken away ends, within five seconds, with the code that a new call would get.

use std::time::{Duration, Instant};

use amadeus_proto::v1;
use futures::stream::{self, StreamExt as _};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::matrix::request;
use crate::raw;
use crate::server::{Login, Server, everywhere, now_s, of_owner, of_prefix};

/// Within which time it has to hold.
const SOON: Duration = Duration::from_secs(5);

/// What goes on until somebody ends it: its path and its first request.
fn calls() -> Vec<(&'static str, Vec<u8>)> {
    let of = |method, json| (method, request(method, json));
    vec![
        of("GraphService/Watch", "{}"),
        of("GraphService/Watch", r#"{"snapshotFirst":true}"#),
        of(
            "LivenessService/KeepAlive",
            r#"{"leaseId":"0000000000000001"}"#,
        ),
        of("GraphService/ImportStream", r#"{"options":{}}"#),
        of("GraphService/Import", r#"{"options":{}}"#),
        of(
            "GraphService/GetService",
            r#"{"name":"a","consistency":{"atLeast":1000000}}"#,
        ),
        of(
            "QueryService/Cycles",
            r#"{"consistency":{"atLeast":1000000}}"#,
        ),
        of("AdminService/Audit", r#"{"follow":true}"#),
        of("NexusService/SubscribeEvents", "{}"),
        of("NexusService/SubscribeEvents", r#"{"group":"g"}"#),
    ]
}

/// Reads a call to its end.
async fn end_of(server: &Server, method: &str, token: &str, first: Vec<u8>) -> Status {
    let path = format!("/amadeus.v1.{method}");
    // The client has more to say, and never says it.
    let requests = stream::iter([first]).chain(stream::pending());
    let ended = async {
        let mut replies = raw::call(&server.channel, &path, Some(token), requests).await?;
        while replies.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    match ended.await {
        Ok(()) => Status::ok("it ended by itself"),
        Err(status) => status,
    }
}

/// Opens everything with the token of `login`, then takes something away, and looks at how each ends.
async fn all_end(server: &Server, token: &str, code: Code, taken: impl Future<Output = ()>) {
    let open = calls().into_iter().map(|(method, first)| async move {
        let ended = end_of(server, method, token, first).await;
        (method, ended, Instant::now())
    });
    let open = futures::future::join_all(open);
    tokio::pin!(open);
    // They are all open once nothing has ended for a while; one that ended by then was no stream.
    let early = timeout(Duration::from_millis(700), &mut open).await;
    assert!(
        early.is_err(),
        "all of them ended before anything was taken away"
    );
    taken.await;
    let since = Instant::now();
    let ended = timeout(SOON, open).await.expect("all of them end in time");
    for (method, status, at) in ended {
        assert_eq!(status.code(), code, "{method}: {}", status.message());
        assert!(
            at > since,
            "{method} ended before anything was taken away: {status}"
        );
    }
}

async fn admin_called(server: &Server, name: &str) -> Login {
    server.person(name, vec![everywhere(v1::Role::Admin)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_taken_away_ends_what_it_was_for() {
    let server = Server::start(&[]).await;
    let alice = admin_called(&server, "alice").await;
    all_end(&server, &alice.access, Code::PermissionDenied, async {
        let request = v1::RemoveRoleRequest {
            user_id: alice.user_id.clone(),
            role: v1::Role::Admin.into(),
            ..Default::default()
        };
        let removed = server
            .users(&server.admin.access)
            .remove_role(request)
            .await;
        removed.expect("removed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_disabled_and_one_who_is_deleted_are_out() {
    let server = Server::start(&[]).await;
    let users = || server.users(&server.admin.access);
    let alice = admin_called(&server, "alice").await;
    all_end(&server, &alice.access, Code::Unauthenticated, async {
        let request = v1::UpdateUserRequest {
            user_id: alice.user_id.clone(),
            status: v1::UserStatus::Disabled.into(),
            ..Default::default()
        };
        users().update_user(request).await.expect("disabled");
    })
    .await;
    let bob = admin_called(&server, "bob").await;
    all_end(&server, &bob.access, Code::Unauthenticated, async {
        let request = v1::DeleteUserRequest {
            user_id: bob.user_id.clone(),
            ..Default::default()
        };
        users().delete_user(request).await.expect("deleted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_takes_its_calls_along_and_no_other() {
    let server = Server::start(&[]).await;
    let alice = admin_called(&server, "alice").await;
    let other = server.login("alice").await;
    all_end(&server, &alice.access, Code::Unauthenticated, async {
        let mut auth = server.auth(Some(&alice.access));
        let out = auth.logout(v1::LogoutRequest::default()).await;
        out.expect("logged out");
    })
    .await;
    let asked = v1::ValidateTokenRequest::default();
    let still = server.auth(Some(&other.access)).validate_token(asked).await;
    still.expect("the other session goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_and_a_token_that_expires_end_what_is_open() {
    let server = Server::start(&[]).await;
    let alice = admin_called(&server, "alice").await;
    let request = v1::CreateApiKeyRequest {
        name: "ci".into(),
        ..Default::default()
    };
    let key = server
        .auth(Some(&alice.access))
        .create_api_key(request)
        .await;
    let key = key.expect("a key").into_inner();
    all_end(&server, &key.key, Code::Unauthenticated, async {
        let request = v1::RevokeApiKeyRequest {
            key_id: key.api_key.expect("its data").id,
            ..Default::default()
        };
        let revoked = server
            .auth(Some(&alice.access))
            .revoke_api_key(request)
            .await;
        revoked.expect("revoked");
    })
    .await;
    let short = server.token_of(&alice, now_s() - 900 + 3).await;
    all_end(&server, &short, Code::Unauthenticated, async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_is_taken_away_ends_a_watch_and_one_that_is_given_does_not() {
    let server = Server::start(&[]).await;
    let two = vec![
        of_prefix(v1::Role::Reader, "a-"),
        of_prefix(v1::Role::Reader, "b-"),
    ];
    let alice = server.person("alice", two).await;
    let watch = server
        .graph(&alice.access)
        .watch(v1::WatchRequest::default())
        .await;
    let mut watch = watch.expect("a watch").into_inner();
    let change = |prefix: &str| v1::AssignRoleRequest {
        user_id: alice.user_id.clone(),
        role: v1::Role::Reader.into(),
        scope: of_prefix(v1::Role::Reader, prefix).scope,
        ..Default::default()
    };
    let mut users = server.users(&server.admin.access);
    users.assign_role(change("c-")).await.expect("given");
    server.register("a-new", "", &[]).await;
    let told = timeout(SOON, watch.message()).await.expect("in time");
    assert!(told.expect("it goes on").is_some());
    let taken = change("b-");
    let taken = v1::RemoveRoleRequest {
        user_id: taken.user_id,
        role: taken.role,
        scope: taken.scope,
        ..Default::default()
    };
    users.remove_role(taken).await.expect("taken");
    let ended = async {
        loop {
            if let Err(status) = watch.message().await {
                return status;
            }
        }
    };
    let ended = timeout(SOON, ended).await.expect("in time");
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_hands_comes_into_view_and_goes_out_of_it() {
    let server = Server::start(&[]).await;
    let red = server
        .person("red", vec![of_owner(v1::Role::Reader, "red")])
        .await;
    server.register("db", "red", &[]).await;
    server.register("api", "blue", &["db"]).await;
    let request = v1::WatchRequest {
        snapshot_first: true,
        previous_values: true,
        ..Default::default()
    };
    let watch = server.graph(&red.access).watch(request).await;
    let mut watch = watch.expect("a watch").into_inner();
    let mut next = async || {
        let mut names = Vec::new();
        while names.is_empty() {
            let message = timeout(SOON, watch.message()).await.expect("in time");
            let message = message.expect("no end").expect("no end");
            for change in message.changes {
                let kind = change.kind().as_str_name();
                names.push(match change.subject.expect("a subject") {
                    v1::change::Subject::Entity(entity) => {
                        format!("{kind} {}", entity.r#ref.expect("a name").name)
                    }
                    v1::change::Subject::Relation(relation) => format!(
                        "{kind} {}->{}",
                        relation.from.expect("a name").name,
                        relation.to.expect("a name").name
                    ),
                    v1::change::Subject::Node(node) => format!("{kind} {}", node.path),
                });
                if kind == "DELETED" {
                    let told = format!("{:?}", change.previous);
                    assert!(!told.contains("blue"), "{told}");
                }
            }
        }
        names
    };
    assert_eq!(next().await, ["CREATED db"]);
    server.register("api", "red", &["db"]).await;
    assert_eq!(next().await, ["CREATED api", "CREATED api->db"]);
    server.register("db", "blue", &[]).await;
    assert_eq!(next().await, ["DELETED api->db", "DELETED db"]);
    let asked = v1::GetServiceRequest {
        name: "db".into(),
        consistency: Some(v1::Consistency {
            level: Some(v1::consistency::Level::AtExact(2)),
        }),
    };
    let then = server.graph(&red.access).get_service(asked).await;
    let refused = then.expect_err("it was red's then, and is blue's now");
    assert_eq!(refused.code(), Code::PermissionDenied);
}
