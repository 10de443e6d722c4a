//! From registering to logging out, on one server and on two that share a store.

use std::time::{Duration, Instant};

use amadeus_proto::v1;
use futures::future::join_all;
use testbed::Postgres;
use tonic::{Code, Status};

use crate::server::{Login, PASSWORD, Server, everywhere};

/// Within which time a revocation has to hold on every server.
const SOON: Duration = Duration::from_secs(5);

fn database() -> Option<String> {
    match Postgres::shared() {
        Ok(server) => Some(server.database()),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

async fn validate(server: &Server, token: &str) -> Result<v1::ValidateTokenResponse, Status> {
    let asked = v1::ValidateTokenRequest {
        token: token.to_owned(),
    };
    let reply = server.auth(None).validate_token(asked).await?;
    Ok(reply.into_inner())
}

async fn refresh(server: &Server, token: &str) -> Result<Login, Status> {
    let asked = v1::RefreshTokenRequest {
        refresh_token: token.to_owned(),
    };
    let reply = server.auth(None).refresh_token(asked).await?.into_inner();
    Ok(Login {
        user_id: String::new(),
        access: reply.access_token,
        refresh: reply.refresh_token,
    })
}

/// Waits until a token is refused; how long that took.
async fn until_refused(server: &Server, token: &str) -> Duration {
    let since = Instant::now();
    while validate(server, token).await.is_ok() {
        assert!(since.elapsed() < SOON, "it is still good");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_on_one_server_is_revoked_on_the_other() {
    let Some(store) = database() else { return };
    let a = Server::on(&store, &[]).await;
    let b = a.beside(&store, &[]).await;
    let register = v1::RegisterRequest {
        username: "Alice".into(),
        email: "alice@example.org".into(),
        password: PASSWORD.into(),
        ..Default::default()
    };
    let user = a.auth(None).register(register).await.expect("registered");
    let user = user.into_inner().user.expect("a user");
    assert!(user.grants.is_empty() && user.roles.is_empty());

    // The other server knows her at once, by name in another case and by e-mail.
    let first = b.login("ALICE").await;
    let second = b.login("Alice@Example.org").await;
    for server in [&a, &b] {
        for login in [&first, &second] {
            let told = validate(server, &login.access).await.expect("good");
            assert_eq!(
                (told.principal.as_str(), &told.user_id),
                ("Alice", &user.id)
            );
            assert!(told.valid && told.expires_at.is_some());
        }
    }

    // Refreshed on A; the old one used again on B ends that session on both, and the other goes on.
    let next = refresh(&a, &first.refresh).await.expect("a new pair");
    validate(&b, &next.access).await.expect("good on both");
    let reused = refresh(&b, &first.refresh)
        .await
        .expect_err("it was exchanged");
    assert_eq!(reused.code(), Code::Unauthenticated);
    for server in [&a, &b] {
        until_refused(server, &next.access).await;
        until_refused(server, &first.access).await;
        let again = refresh(server, &next.refresh)
            .await
            .expect_err("all of that family");
        assert_eq!(again.code(), Code::Unauthenticated);
        validate(server, &second.access)
            .await
            .expect("another family");
    }

    // Logged out on A: refused on B.
    let out = a
        .auth(Some(&second.access))
        .logout(v1::LogoutRequest::default())
        .await;
    assert_eq!(out.expect("logged out").into_inner().sessions_ended, 1);
    until_refused(&b, &second.access).await;
    until_refused(&a, &second.access).await;
    let gone = refresh(&b, &second.refresh)
        .await
        .expect_err("it was ended");
    assert_eq!(gone.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_the_other_sessions() {
    let server = Server::start(&[]).await;
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Reader)])
        .await;
    let other = server.login("alice").await;
    let request = |current: &str, new: &str| v1::UpdatePasswordRequest {
        current_password: current.into(),
        new_password: new.into(),
        ..Default::default()
    };
    let mut users = server.users(&alice.access);
    let wrong = users
        .update_password(request("not that one, no", "a quite new password"))
        .await;
    assert!(wrong.is_err());
    let done = users
        .update_password(request(PASSWORD, "a quite new password"))
        .await;
    assert_eq!(done.expect("changed").into_inner().sessions_ended, 1);
    until_refused(&server, &other.access).await;
    validate(&server, &alice.access)
        .await
        .expect("the one that asked goes on");
    let login = |password: &str| v1::LoginRequest {
        username: "alice".into(),
        password: password.into(),
    };
    let old = server
        .auth(None)
        .login(login(PASSWORD))
        .await
        .expect_err("the old one");
    assert_eq!(old.code(), Code::Unauthenticated);
    server
        .auth(None)
        .login(login("a quite new password"))
        .await
        .expect("the new one");
}

async fn one_of_many_registers(store: &str) {
    let server = Server::on(store, &[]).await;
    let name = |i: usize| -> String {
        let letter = |(at, c): (usize, char)| {
            if i >> at & 1 == 1 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        };
        "charles".chars().enumerate().map(letter).collect()
    };
    let tries = (0..64).map(|i| {
        let mut auth = server.auth(None);
        let request = v1::RegisterRequest {
            username: name(i),
            password: PASSWORD.into(),
            ..Default::default()
        };
        async move { auth.register(request).await.map_err(|status| status.code()) }
    });
    let told = join_all(tries).await;
    let won = told.iter().filter(|told| told.is_ok()).count();
    let lost = told
        .iter()
        .filter(|told| matches!(told, Err(Code::AlreadyExists)))
        .count();
    assert_eq!((won, lost), (1, 63), "{told:?}");
    let all = v1::ListUsersRequest {
        username_prefix: "CHARLES".into(),
        ..Default::default()
    };
    let listed = server.users(&server.admin.access).list_users(all).await;
    assert_eq!(listed.expect("a list").into_inner().total, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_who_register_one_name_one_succeeds() {
    let folder = tempfile::TempDir::new().expect("a folder");
    one_of_many_registers(&format!("sqlite://{}/graph.db", folder.path().display())).await;
    if let Some(store) = database() {
        one_of_many_registers(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_may_do_no_more_than_its_owner_at_any_time() {
    let server = Server::start(&[]).await;
    server.register("cart", "", &[]).await;
    let alice = server
        .person("alice", vec![everywhere(v1::Role::Writer)])
        .await;
    let make = |name: &str, grants: Vec<v1::Grant>| v1::CreateApiKeyRequest {
        name: name.into(),
        grants,
        ..Default::default()
    };
    let mut auth = server.auth(Some(&alice.access));
    let more = auth
        .create_api_key(make("more", vec![everywhere(v1::Role::Operator)]))
        .await;
    assert!(more.is_err(), "a key for more than she may do");
    let reads = auth
        .create_api_key(make("reads", vec![everywhere(v1::Role::Reader)]))
        .await;
    let reads = reads.expect("a key").into_inner().key;
    let put = || v1::PutEntityRequest {
        entity: Some(v1::Entity {
            r#ref: crate::server::key_of("team", "x"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let get = || v1::GetServiceRequest {
        name: "cart".into(),
        ..Default::default()
    };
    server
        .graph(&reads)
        .get_service(get())
        .await
        .expect("it reads");
    let denied = server
        .graph(&reads)
        .put_entity(put())
        .await
        .expect_err("no more");
    assert_eq!(denied.code(), Code::PermissionDenied);
    // By another key of hers, and only until she loses the role.
    let all = auth
        .create_api_key(make("all", Vec::new()))
        .await
        .expect("a key");
    let all = all.into_inner().key;
    server
        .graph(&all)
        .put_entity(put())
        .await
        .expect("all that she may do");
    let request = v1::RemoveRoleRequest {
        user_id: alice.user_id.clone(),
        role: v1::Role::Writer.into(),
        ..Default::default()
    };
    server
        .users(&server.admin.access)
        .remove_role(request)
        .await
        .expect("removed");
    let since = Instant::now();
    while server.graph(&all).get_service(get()).await.is_ok()
        || server.graph(&reads).get_service(get()).await.is_ok()
    {
        assert!(since.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
