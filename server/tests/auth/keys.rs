//! Keys of programs.

use amadeus::auth::{Grant, NotSignedIn, Role, UserId};
use amadeus_proto::v1;
use tonic::{Code, Status};
use v1::auth_service_server::AuthService as _;

use crate::server::{Server, now_ms};

async fn writer(server: &Server, name: &str) -> (v1::User, String) {
    let user = server.register(name).await;
    let id = UserId(user.id.as_str().into());
    let writer = Grant::everywhere(Role::Writer);
    let given = server.users.assign_role(&id, None, writer, now_ms()).await;
    given.expect("given");
    (user, server.login(name).await.access_token)
}

fn grant(role: v1::Role, prefix: Option<&str>) -> v1::Grant {
    v1::Grant {
        role: role.into(),
        scope: prefix.map(|prefix| v1::Scope {
            name_prefix: prefix.into(),
            ..Default::default()
        }),
    }
}

fn key(name: &str, grants: Vec<v1::Grant>) -> v1::CreateApiKeyRequest {
    v1::CreateApiKeyRequest {
        name: name.into(),
        grants,
        reason: "for a test".into(),
        ..Default::default()
    }
}

async fn create(
    server: &Server,
    bearer: &str,
    asked: v1::CreateApiKeyRequest,
) -> Result<v1::CreateApiKeyResponse, Status> {
    let request = server.signed_in(bearer, asked).await;
    Ok(server.service.create_api_key(request).await?.into_inner())
}

async fn revoke(server: &Server, bearer: &str, key_id: &str) -> Result<v1::ApiKey, Status> {
    let asked = v1::RevokeApiKeyRequest {
        key_id: key_id.into(),
        ..Default::default()
    };
    let request = server.signed_in(bearer, asked).await;
    let reply = server.service.revoke_api_key(request).await?.into_inner();
    Ok(reply.api_key.expect("a key"))
}

async fn list(
    server: &Server,
    bearer: &str,
    asked: v1::ListApiKeysRequest,
) -> Result<v1::ListApiKeysResponse, Status> {
    let request = server.signed_in(bearer, asked).await;
    Ok(server.service.list_api_keys(request).await?.into_inner())
}

#[tokio::test]
async fn a_key_signs_in_until_it_is_revoked_and_is_shown_once() {
    let mut server = Server::in_memory().await;
    let (user, access) = writer(&server, "alice").await;
    let reader = grant(v1::Role::Reader, Some("a/"));
    let made = create(&server, &access, key("ci", vec![reader.clone()])).await;
    let made = made.expect("made");
    let shown = made.api_key.expect("a key");
    assert_eq!(
        (&shown.user_id, &*shown.name, shown.grants.as_slice()),
        (&user.id, "ci", &[reader.clone()][..])
    );
    let days =
        shown.expires_at.expect("ninety days").seconds - shown.created_at.expect("now").seconds;
    assert_eq!(days, 90 * 86_400);
    assert!(made.key.starts_with(&format!("amk_{}_", shown.id)));

    let known = server.validate(&made.key).await.expect("good");
    assert_eq!(
        (&*known.principal, known.grants),
        ("alice/ci", vec![reader])
    );
    let listed = list(&server, &access, v1::ListApiKeysRequest::default()).await;
    let listed = listed.expect("listed");
    assert_eq!(listed.api_keys, std::slice::from_ref(&shown));
    assert!(!format!("{listed:?}").contains(&made.key));

    let revoked = revoke(&server, &access, &shown.id).await.expect("revoked");
    assert!(revoked.revoked_at.is_some());
    let refused = server.authenticate(&made.key).await.err();
    assert_eq!(refused, Some(NotSignedIn::Revoked));
    let (told, counted) = (format!("{:?}", server.told()), server.counted());
    assert!(told.contains("create_api_key") && told.contains("revoke_api_key"));
    let secret = made.key.rsplit('_').next().expect("a secret");
    assert!(!told.contains(secret) && !counted.contains(secret));
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_do_more_than_they() {
    let server = Server::in_memory().await;
    let (_, access) = writer(&server, "alice").await;
    for more in [v1::Role::Operator, v1::Role::Admin] {
        let asked = key("ci", vec![grant(v1::Role::Reader, None), grant(more, None)]);
        let refused = create(&server, &access, asked).await.expect_err("refused");
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("grants[1]"), "{refused}");
    }
    let scoped = key("ci", vec![grant(v1::Role::Admin, Some("a/"))]);
    let refused = create(&server, &access, scoped).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("grants[0]"), "{refused}");

    let made = create(&server, &access, key("ci", Vec::new()))
        .await
        .expect("made");
    let by_key = create(&server, &made.key, key("more", Vec::new())).await;
    assert_eq!(by_key.expect_err("refused").code(), Code::PermissionDenied);
    let own = made.api_key.expect("a key").id;
    let by_key = revoke(&server, &made.key, &own).await;
    assert_eq!(by_key.expect_err("refused").code(), Code::PermissionDenied);
    let by_key = list(&server, &made.key, v1::ListApiKeysRequest::default()).await;
    assert_eq!(by_key.expect_err("refused").code(), Code::PermissionDenied);

    let same_name = create(&server, &access, key("CI", Vec::new())).await;
    assert_eq!(same_name.expect_err("taken").code(), Code::AlreadyExists);
    for bad in ["", "a b", &"x".repeat(65)] {
        let refused = create(&server, &access, key(bad, Vec::new())).await;
        assert_eq!(refused.expect_err("refused").code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_key_loses_what_its_user_loses() {
    let server = Server::in_memory().await;
    let (user, access) = writer(&server, "alice").await;
    let made = create(
        &server,
        &access,
        key("ci", vec![grant(v1::Role::Writer, None)]),
    )
    .await;
    let made = made.expect("made").key;
    assert_eq!(server.validate(&made).await.expect("good").grants.len(), 1);
    let id = UserId(user.id.as_str().into());
    let writer = Grant::everywhere(Role::Writer);
    let removed = server.users.remove_role(&id, None, writer, now_ms()).await;
    removed.expect("removed");
    server.sessions.catch_up().await;
    assert!(
        server
            .validate(&made)
            .await
            .expect("good")
            .grants
            .is_empty()
    );
}

#[tokio::test]
async fn of_anothers_keys_only_an_administrator_hears() {
    let server = Server::in_memory().await;
    let (alice, access) = writer(&server, "alice").await;
    let (_, other) = writer(&server, "bob").await;
    let (admin, _) = writer(&server, "root").await;
    let admin = UserId(admin.id.as_str().into());
    let role = Grant::everywhere(Role::Admin);
    let given = server.users.assign_role(&admin, None, role, now_ms()).await;
    given.expect("given");
    let root = server.login("root").await.access_token;
    let of_alice = |page_size, page_token: &str| v1::ListApiKeysRequest {
        user_id: alice.id.clone(),
        page_size,
        page_token: page_token.into(),
        ..Default::default()
    };
    let mut ids = Vec::new();
    for n in 0..5 {
        let made = create(&server, &access, key(&format!("k{n}"), Vec::new())).await;
        ids.push(made.expect("made").api_key.expect("a key").id);
    }
    ids.sort();
    let refused = list(&server, &other, of_alice(0, ""))
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = revoke(&server, &other, &ids[0]).await.expect_err("refused");
    assert_eq!(refused.code(), Code::NotFound);

    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(&server, &root, of_alice(2, &token))
            .await
            .expect("listed");
        assert!(page.api_keys.len() <= 2);
        listed.extend(page.api_keys.into_iter().map(|key| key.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let refused = list(&server, &root, of_alice(2, "nothing")).await;
    assert_eq!(refused.expect_err("refused").code(), Code::InvalidArgument);
    revoke(&server, &root, &ids[0]).await.expect("revoked");
    let left = list(&server, &access, v1::ListApiKeysRequest::default()).await;
    assert_eq!(left.expect("listed").api_keys.len(), 4);
}
