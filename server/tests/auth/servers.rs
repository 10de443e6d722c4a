//! Two servers of one database: what one revokes the other refuses.

use std::time::{Duration, Instant};

use amadeus::auth::attempts::Policy;
use amadeus::auth::{NotSignedIn, Session, Standing};
use amadeus_proto::v1;
use testbed::{Mode, Postgres, Proxy};
use v1::auth_service_server::AuthService as _;

use crate::server::{CHEAP, Server, is_refused};

/// The server of this program; `None`, and a word about it, where there is none.
fn database() -> Option<&'static Postgres> {
    match Postgres::shared() {
        Ok(server) => Some(server),
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

async fn server(url: &str) -> Server {
    Server::start(url, Policy::default(), CHEAP).await
}

/// How long it takes until whoever holds this is told that it is over.
async fn told(session: &Session) -> Duration {
    let begun = Instant::now();
    let mut standing = session.standing.clone();
    let over = standing.wait_for(|standing| matches!(standing, Standing::Over(_)));
    let over = tokio::time::timeout(Duration::from_secs(5), over).await;
    let over = over.expect("within five seconds").expect("it is kept");
    assert_eq!(*over, Standing::Over(NotSignedIn::Revoked));
    begun.elapsed()
}

#[tokio::test]
async fn what_is_revoked_on_one_server_is_refused_on_the_other_within_five_seconds() {
    let Some(database) = database() else { return };
    let url = database.database();
    let (one, other) = (server(&url).await, server(&url).await);
    one.register("alice").await;
    let first = one.login("alice").await;
    // Both know the keys, so a token of one is good on the other.
    let held = other.authenticate(&first.access_token).await.expect("good");
    let second = other.refresh(&first.refresh_token).await.expect("good");
    assert!(one.validate(&second.access_token).await.is_ok());

    assert!(is_refused(&one.refresh(&first.refresh_token).await));
    assert!(is_refused(&one.validate(&second.access_token).await));
    let took = told(&held).await;
    eprintln!("the other server was told after {took:?}");
    for access in [&first.access_token, &second.access_token] {
        assert!(is_refused(&other.validate(access).await));
    }
    assert!(is_refused(&other.refresh(&second.refresh_token).await));

    let third = one.login("alice").await;
    let held = other.authenticate(&third.access_token).await.expect("good");
    let asked = one
        .signed_in(&third.access_token, v1::LogoutRequest::default())
        .await;
    one.service.logout(asked).await.expect("ended");
    told(&held).await;
    assert!(is_refused(&other.validate(&third.access_token).await));
}

#[tokio::test]
async fn servers_that_start_at_once_sign_with_the_same_key() {
    let Some(database) = database() else { return };
    let url = database.database();
    let servers = (0..4).map(|_| server(&url));
    let servers = futures::future::join_all(servers).await;
    servers[0].register("alice").await;
    for one in &servers {
        let access = one.login("alice").await.access_token;
        for other in &servers {
            assert!(other.validate(&access).await.is_ok());
        }
    }
}

#[tokio::test]
async fn without_the_database_who_was_seen_is_known_and_who_was_not_may_come_again() {
    let Some(database) = database() else { return };
    let url = database.database();
    let proxy = Proxy::to(database.port());
    let through = url.replace(&database.port().to_string(), &proxy.port().to_string());
    let (near, far) = (server(&url).await, server(&through).await);
    near.register("alice").await;
    let (seen, unseen) = (near.login("alice").await, near.login("alice").await);
    let held = far.authenticate(&seen.access_token).await.expect("good");
    proxy.set(Mode::Refuse);
    proxy.cut();
    let unknown = far.authenticate(&unseen.access_token).await.err();
    assert!(
        matches!(unknown, Some(NotSignedIn::Unavailable(_))),
        "{unknown:?}"
    );
    assert!(far.authenticate(&seen.access_token).await.is_ok());
    let asked = near
        .signed_in(&seen.access_token, v1::LogoutRequest::default())
        .await;
    near.service.logout(asked).await.expect("ended");
    proxy.set(Mode::Pass);
    told(&held).await;
    assert!(far.authenticate(&unseen.access_token).await.is_ok());
}
