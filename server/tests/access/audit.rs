//! What the audit log says of those who were refused: each once, and a flood by its number.

use amadeus_proto::v1;
use futures::{StreamExt as _, stream};
use tonic::Code;

use crate::server::{Login, PASSWORD, Server, everywhere};

/// Events of this kind, up to a refusal that comes after all others: who, on what, and why.
async fn told(server: &Server, action: &str) -> Vec<(String, String, String)> {
    let mut query = v1::query_service_client::QueryServiceClient::new(server.channel.clone());
    let marked = v1::FindPathRequest::default();
    let refused = query.find_path(marked).await.expect_err("nobody signed in");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let is_mark = |event: &v1::AuditEvent| event.resource == "amadeus.v1.QueryService/FindPath";
    let mut events = server.audit(is_mark).await;
    events.pop();
    events
        .into_iter()
        .filter(|event| event.action == action)
        .map(|event| (event.actor, event.resource, event.reason))
        .collect()
}

async fn refuse_everything(server: &Server, ann: &Login) {
    let key = v1::CreateApiKeyRequest {
        name: "more".into(),
        grants: vec![everywhere(v1::Role::Admin)],
        ..Default::default()
    };
    let refused = server.auth(Some(&ann.access)).create_api_key(key).await;
    assert_eq!(
        refused.expect_err("more").code(),
        Code::PermissionDenied,
        "a key that may do more"
    );
    let grant = v1::AssignRoleRequest {
        user_id: ann.user_id.clone(),
        role: v1::Role::Admin.into(),
        ..Default::default()
    };
    let refused = server.users(&ann.access).assign_role(grant).await;
    assert_eq!(refused.expect_err("a role").code(), Code::PermissionDenied);
    let other = v1::GetUserRequest {
        user_id: server.admin.user_id.clone(),
    };
    let refused = server.users(&ann.access).get_user(other).await;
    assert_eq!(refused.expect_err("another").code(), Code::PermissionDenied);
    let password = v1::UpdatePasswordRequest {
        current_password: "a wrong password".into(),
        new_password: PASSWORD.into(),
        ..Default::default()
    };
    let refused = server.users(&ann.access).update_password(password).await;
    assert_eq!(refused.expect_err("wrong").code(), Code::PermissionDenied);
    let refused = server
        .auth(None)
        .logout(v1::LogoutRequest {
            refresh_token: "made up".into(),
            ..Default::default()
        })
        .await;
    assert_eq!(refused.expect_err("made up").code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_tries_to_do_more_is_told_of_once() {
    let server = Server::start(&[]).await;
    let ann = server
        .person("ann", vec![everywhere(v1::Role::Reader)])
        .await;
    refuse_everything(&server, &ann).await;
    assert_eq!(told(&server, "update_password").await, []);
    let denied = told(&server, "denied").await;
    let denied: Vec<(&str, &str)> = denied
        .iter()
        .map(|(actor, resource, _)| (&**actor, &**resource))
        .collect();
    assert_eq!(
        denied,
        [
            ("ann", "amadeus.v1.AuthService/CreateApiKey"),
            ("ann", "amadeus.v1.UserService/AssignRole"),
            ("ann", "amadeus.v1.UserService/GetUser"),
            ("ann", "amadeus.v1.UserService/UpdatePassword"),
            ("", "amadeus.v1.AuthService/Logout"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_is_two_events_and_leaves_the_others() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let store = format!("sqlite://{}/graph.db", folder.path().display());
    let mut server = Server::on(&store, &[]).await;
    server
        .person("ann", vec![everywhere(v1::Role::Reader)])
        .await;
    let mut calls = stream::iter(0..5_000)
        .map(|_| {
            let channel = server.channel.clone();
            let mut graph = v1::graph_service_client::GraphServiceClient::new(channel);
            let asked = v1::ListServicesRequest::default();
            async move { graph.list_services(asked).await }
        })
        .buffer_unordered(100);
    while let Some(called) = calls.next().await {
        let refused = called.expect_err("nobody signed in");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    }
    drop(calls);
    let denied = told(&server, "denied").await;
    let resource = "amadeus.v1.GraphService/ListServices";
    assert_eq!(denied.iter().filter(|(_, on, _)| on == resource).count(), 1);
    assert_eq!(told(&server, "register").await.len(), 1);
    assert_eq!(told(&server, "create_user").await.len(), 1);

    // What was counted is told when the server ends.
    server.end().await;
    let server = server.beside(&store, &[]).await;
    let is_number =
        |event: &v1::AuditEvent| event.resource == resource && event.reason.contains(" more in ");
    let mut events = server.audit(is_number).await;
    let number = events.pop().expect("the last");
    assert!(number.reason.starts_with("4999 more in "), "{number:?}");
    assert_eq!(number.source, "127.0.0.1");
    let of_flood = events.iter().filter(|event| event.resource == resource);
    assert_eq!(of_flood.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_and_what_an_operator_did_stand_in_it_with_who_and_from_where() {
    let server = Server::start(&[]).await;
    let olga = server
        .person("olga", vec![everywhere(v1::Role::Operator)])
        .await;
    let mut operator = server.operator(&olga.access);
    let checked = operator.check_integrity(v1::CheckIntegrityRequest {}).await;
    checked.expect("she may");
    let put = v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: crate::server::key_of("team", "red"),
            ..Default::default()
        }),
        reason: "a new team".into(),
        ..Default::default()
    };
    let written = server.graph(&olga.access).put_entity(put).await;
    let revision = written.expect("she may").into_inner().header;
    let revision = revision.expect("a header").revision;
    let events = server
        .audit(|event| event.action == "commit" && event.revision == revision)
        .await;
    let committed = events.last().expect("the commit");
    let said = (&*committed.actor, &*committed.source, &*committed.reason);
    assert_eq!(said, ("olga", "127.0.0.1", "a new team"));
    let did = |event: &v1::AuditEvent| {
        event.action == "operate" && event.resource == "amadeus.v1.AdminService/CheckIntegrity"
    };
    let operated = server.audit(did).await.pop().expect("what she did");
    assert_eq!((&*operated.actor, &*operated.source), ("olga", "127.0.0.1"));
    assert_eq!(operated.outcome(), v1::audit_event::Outcome::Done);
}
