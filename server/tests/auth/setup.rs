//! The first administrator.

use amadeus::auth::setup;
use amadeus_proto::v1;
use tonic::{Code, Request, Status};
use v1::auth_service_server::AuthService as _;

use crate::server::{PASSWORD, Server};

async fn register(server: &Server, name: &str, setup_token: &str) -> Result<v1::User, Status> {
    let asked = v1::RegisterRequest {
        username: name.into(),
        password: PASSWORD.into(),
        setup_token: setup_token.into(),
        ..Default::default()
    };
    let reply = server.service.register(Request::new(asked)).await?;
    Ok(reply.into_inner().user.expect("a user"))
}

#[tokio::test]
async fn of_many_who_come_with_the_setup_token_one_is_the_first_administrator() {
    let mut server = Server::in_memory().await;
    let token = setup::offer(&server.users).await.expect("asked");
    let token = token.expect("there is no administrator");
    assert!(setup::notice(&token).contains(token.expose()));
    let names: Vec<String> = (0..32).map(|n| format!("root{n}")).collect();
    let all = names
        .iter()
        .map(|name| register(&server, name, token.expose()));
    let all = futures::future::join_all(all).await;
    let first: Vec<&v1::User> = all.iter().filter_map(|one| one.as_ref().ok()).collect();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].roles, [i32::from(v1::Role::Admin)]);
    for refused in all.iter().filter_map(|one| one.as_ref().err()) {
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    assert!(setup::offer(&server.users).await.expect("asked").is_none());
    let late = register(&server, "late", token.expose()).await;
    assert_eq!(late.expect_err("refused").code(), Code::PermissionDenied);
    assert!(!format!("{:?}", server.told()).contains(token.expose()));
}

#[tokio::test]
async fn a_token_that_was_not_offered_or_was_replaced_makes_nobody() {
    let server = Server::in_memory().await;
    let refused = register(&server, "root", "ams_guess").await;
    assert_eq!(refused.expect_err("refused").code(), Code::PermissionDenied);
    let old = setup::offer(&server.users)
        .await
        .expect("asked")
        .expect("one");
    let new = setup::offer(&server.users)
        .await
        .expect("asked")
        .expect("one");
    let refused = register(&server, "root", old.expose()).await;
    assert_eq!(refused.expect_err("refused").code(), Code::PermissionDenied);
    // Nothing is left of those who were refused.
    assert!(register(&server, "root", new.expose()).await.is_ok());
}
