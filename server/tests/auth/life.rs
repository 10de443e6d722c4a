//! The life of a session, from the first password to its end.

use amadeus::auth::{NotSignedIn, Outcome, Standing};
use amadeus_proto::v1;
use tonic::{Code, Request};
use v1::auth_service_server::AuthService as _;

use crate::server::{PASSWORD, Server, is_refused};

#[tokio::test]
async fn a_user_registers_signs_in_is_known_refreshes_and_signs_out() {
    let mut server = Server::in_memory().await;
    let user = server.register("Alice").await;
    assert!(user.roles.is_empty() && user.grants.is_empty(), "{user:?}");
    for name in ["alice", "ALICE", "alice@EXAMPLE.org"] {
        let signed_in = server.try_login(name, PASSWORD, None).await.expect(name);
        assert_eq!(signed_in.user.as_ref().map(|user| &user.id), Some(&user.id));
    }
    let first = server.login("alice").await;
    let known = server.validate(&first.access_token).await.expect("good");
    assert!(known.valid);
    assert_eq!((&*known.principal, &known.user_id), ("Alice", &user.id));
    assert_eq!(known.expires_at, first.access_expires_at);

    let second = server.refresh(&first.refresh_token).await.expect("good");
    assert_ne!(second.refresh_token, first.refresh_token);
    // The access token before it is of the same session, and good until it expires.
    for access in [&first.access_token, &second.access_token] {
        assert!(server.validate(access).await.is_ok());
    }
    let held = server
        .authenticate(&second.access_token)
        .await
        .expect("good");
    let asked = server
        .signed_in(&second.access_token, v1::LogoutRequest::default())
        .await;
    let ended = server
        .service
        .logout(asked)
        .await
        .expect("ended")
        .into_inner();
    assert_eq!(ended.sessions_ended, 1);
    assert_eq!(
        *held.standing.borrow(),
        Standing::Over(NotSignedIn::Revoked)
    );
    for access in [&first.access_token, &second.access_token] {
        assert!(is_refused(&server.validate(access).await));
    }
    assert!(is_refused(&server.refresh(&second.refresh_token).await));

    let told = server.told();
    let actions: Vec<_> = told
        .iter()
        .map(|event| (event.action, &*event.actor))
        .collect();
    let login = ("login", "Alice");
    let expected = [
        ("register", "Alice"),
        login,
        login,
        login,
        login,
        ("logout", "Alice"),
    ];
    assert_eq!(actions, expected);
    let (text, counted) = (format!("{told:?}"), server.counted());
    assert!(
        counted.contains("amadeus_sign_ins_total{outcome=\"done\"} 4"),
        "{counted}"
    );
    let secrets = [
        PASSWORD,
        &first.access_token,
        &first.refresh_token,
        &second.access_token,
        &second.refresh_token,
    ];
    for secret in secrets {
        assert!(!text.contains(secret) && !counted.contains(secret));
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_all_that_came_of_it() {
    let mut server = Server::in_memory().await;
    server.register("alice").await;
    let (first, other) = (server.login("alice").await, server.login("alice").await);
    let second = server.refresh(&first.refresh_token).await.expect("good");
    let third = server.refresh(&second.refresh_token).await.expect("good");
    server.told();
    assert!(is_refused(&server.refresh(&first.refresh_token).await));
    for access in [
        &first.access_token,
        &second.access_token,
        &third.access_token,
    ] {
        assert!(is_refused(&server.validate(access).await));
    }
    assert!(is_refused(&server.refresh(&third.refresh_token).await));
    assert!(server.validate(&other.access_token).await.is_ok());
    let told = server.told();
    let reuse = told.iter().find(|event| event.action == "refresh_reuse");
    assert_eq!(reuse.expect("told").outcome, Outcome::Refused);
    assert!(server.counted().contains("outcome=\"reused\"} 1"));
}

#[tokio::test]
async fn of_many_who_exchange_one_refresh_token_one_gets_the_next() {
    let server = Server::in_memory().await;
    server.register("alice").await;
    let first = server.login("alice").await;
    let all = (0..32).map(|_| server.refresh(&first.refresh_token));
    let all = futures::future::join_all(all).await;
    assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_refresh_token_signs_out_without_a_session_and_everywhere_if_asked() {
    let server = Server::in_memory().await;
    server.register("alice").await;
    let (one, other) = (server.login("alice").await, server.login("alice").await);
    let logout = |refresh_token: &str, everywhere| {
        let asked = v1::LogoutRequest {
            refresh_token: refresh_token.into(),
            everywhere,
        };
        server.service.logout(Request::new(asked))
    };
    let ended = logout(&one.refresh_token, true).await.expect("ended");
    assert_eq!(ended.into_inner().sessions_ended, 2);
    for access in [&one.access_token, &other.access_token] {
        assert!(is_refused(&server.validate(access).await));
    }
    let again = logout(&one.refresh_token, true).await.expect("ended");
    assert_eq!(again.into_inner().sessions_ended, 0);
    let without = logout("", false).await.expect_err("refused");
    assert_eq!(without.code(), Code::FailedPrecondition);
    let unknown = logout("amr_unknown", false).await.expect("nothing");
    assert_eq!(unknown.into_inner().sessions_ended, 0);
    assert!(is_refused(&logout("no token", false).await.map(|_| ())));
}

#[tokio::test]
async fn the_token_of_the_call_is_validated_where_none_is_given() {
    let server = Server::in_memory().await;
    server.register("alice").await;
    let access = server.login("alice").await.access_token;
    let validate = |header: Option<String>| {
        let mut request = Request::new(v1::ValidateTokenRequest::default());
        if let Some(header) = header {
            let value = header.parse().expect("a header");
            request.metadata_mut().insert("authorization", value);
        }
        server.service.validate_token(request)
    };
    for good in ["Bearer", "bearer", "BEARER"] {
        let known = validate(Some(format!("{good} {access}"))).await;
        assert!(known.expect("good").into_inner().valid);
    }
    let bad = [
        None,
        Some(String::new()),
        Some("Bearer".into()),
        Some("Bearer ".into()),
        Some(format!("Basic {access}")),
        Some(access.clone()),
        Some(format!("Bearer {access},Bearer {access}")),
        Some(format!("Bearer {access} {access}")),
        Some(format!("Bearer Bearer {access}")),
        Some(format!("Bearer \"{access}\"")),
    ];
    for header in bad {
        let refused = validate(header.clone()).await.map(|_| ());
        assert!(is_refused(&refused), "{header:?}");
    }
}

#[tokio::test]
async fn tokens_that_were_forged_are_refused() {
    let server = Server::in_memory().await;
    server.register("alice").await;
    let access = server.login("alice").await.access_token;
    let parts: Vec<&str> = access.split('.').collect();
    // {"alg":"none","typ":"at+jwt"} and {"alg":"RS256","typ":"at+jwt"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let rsa = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9";
    let forged = [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{rsa}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{access}.{}", parts[2]),
        format!("{access}="),
        access[..access.len() - 1].to_owned(),
        access.to_uppercase(),
    ];
    for token in forged {
        assert!(is_refused(&server.validate(&token).await), "{token}");
    }
    let other = Server::in_memory().await;
    assert!(
        is_refused(&other.validate(&access).await),
        "of another store"
    );
}

#[tokio::test]
async fn what_cannot_be_a_password_or_a_name_is_refused_by_its_field() {
    let server = Server::in_memory().await;
    let register = |username: &str, email: &str, password: &str| {
        let asked = v1::RegisterRequest {
            username: username.into(),
            email: email.into(),
            password: password.into(),
            ..Default::default()
        };
        server.service.register(Request::new(asked))
    };
    let long = "x".repeat(1_025);
    let bad = [
        ("", "", PASSWORD, "username"),
        ("a b", "", PASSWORD, "username"),
        ("alice", "nowhere", PASSWORD, "email"),
        ("alice", "", "too short", "password"),
        ("alice", "", &*long, "password"),
    ];
    for (name, email, password, field) in bad {
        let refused = register(name, email, password).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(field), "{refused}");
        assert!(password.is_empty() || !refused.message().contains(password));
    }
    assert!(register("alice", "", PASSWORD).await.is_ok());
    let taken = register("ALICE", "", PASSWORD).await.expect_err("taken");
    assert_eq!(taken.code(), Code::AlreadyExists);
    let too_long = server.try_login("alice", &long, None).await;
    assert_eq!(too_long.expect_err("refused").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_hash_of_another_cost_is_made_anew_and_nobody_is_signed_out_for_it() {
    use amadeus::auth::Passwords;
    use amadeus::auth::password::Cost;
    let server = Server::in_memory().await;
    server.register("alice").await;
    let before = server.login("alice").await;
    let credential = || async {
        server
            .users
            .credential("alice")
            .await
            .expect("asked")
            .expect("there")
    };
    let cheaper = Passwords::new(Cost {
        memory_kib: 8,
        passes: 1,
    });
    let (user, now) = (
        credential().await.user,
        credential().await.password.expect("one"),
    );
    let old = cheaper.hash(PASSWORD.into()).await.expect("free");
    server
        .users
        .replace_hash(&user.id, &now, old.clone())
        .await
        .expect("replaced");
    server.login("alice").await;
    let anew = credential().await.password.expect("one");
    assert!(anew != old && anew != now);
    assert!(cheaper.is_outdated(&anew));
    server.login("alice").await;
    assert!(credential().await.password.expect("one") == anew);
    assert!(server.validate(&before.access_token).await.is_ok());
}
