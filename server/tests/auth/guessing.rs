//! Those who guess wait, and the server lives.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amadeus::auth::Outcome;
use amadeus::auth::attempts::Policy;
use amadeus::auth::password::Cost;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::server::{CHEAP, PASSWORD, Server};

fn from(n: usize) -> Option<SocketAddr> {
    let [_, _, c, d] = u32::try_from(n).expect("small").to_be_bytes();
    Some(SocketAddr::from(([10, 1, c, d], 5_000)))
}

fn delay(status: &Status) -> Duration {
    let details = status.get_details_retry_info().expect("when to come again");
    details.retry_delay.expect("a delay")
}

#[tokio::test]
async fn after_five_failures_a_name_waits_whether_somebody_has_it_or_not() {
    let server = Server::in_memory().await;
    server.register("alice").await;
    let mut told = Vec::new();
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            let refused = server.try_login(name, "a wrong password", None).await;
            assert_eq!(refused.expect_err("refused").code(), Code::Unauthenticated);
        }
        // Not even the right password is looked at.
        let refused = server.try_login(name, PASSWORD, None).await;
        let refused = refused.expect_err("waits");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(delay(&refused) <= Duration::from_secs(1));
        told.push(refused.message().to_owned());
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn a_success_lets_all_others_from_its_address_go_on() {
    let server = Server::in_memory().await;
    server.register("alice").await;
    for n in 0..40 {
        for _ in 0..4 {
            let refused = server
                .try_login(&format!("n{n}"), "a wrong password", from(1))
                .await;
            assert_eq!(refused.expect_err("refused").code(), Code::Unauthenticated);
        }
        let signed_in = server.try_login("alice", PASSWORD, from(1)).await;
        assert!(signed_in.is_ok(), "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tries_are_refused_in_bounded_memory_and_others_sign_in_meanwhile() {
    let policy = Policy {
        entries: 1_000,
        ..Policy::default()
    };
    let server = Server::start("memory:", policy, CHEAP).await;
    server.register("alice").await;
    server.register("victim").await;
    let tries = stream::iter(0..10_000_usize).map(|n| {
        let server = &server;
        async move {
            // A third guess one password, the others names; from many addresses.
            let name = if n % 3 == 0 {
                "victim".to_owned()
            } else {
                format!("name{n}")
            };
            let refused = server
                .try_login(&name, "a wrong password", from(n % 5_000))
                .await;
            refused.expect_err("refused").code()
        }
    });
    let mut codes = tries.buffer_unordered(1_000);
    let (mut wrong, mut waits) = (0, 0);
    while let Some(code) = codes.next().await {
        match code {
            Code::Unauthenticated => wrong += 1,
            Code::ResourceExhausted => waits += 1,
            other => panic!("{other:?}"),
        }
        assert!(server.attempts.remembered() <= 2_000);
    }
    assert_eq!(wrong + waits, 10_000);
    assert!(waits > 3_000, "{waits} waited");
    let signed_in = server.try_login("alice", PASSWORD, from(9_999)).await;
    assert!(signed_in.is_ok(), "the pool is alive");
    let refused = server.try_login("victim", PASSWORD, from(9_999)).await;
    assert_eq!(refused.expect_err("waits").code(), Code::ResourceExhausted);
}

/// The pool has room for some 250. One address filled it, as fast as it emptied, and nobody else was let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_registers_over_and_over_does_not_keep_others_from_signing_in() {
    let cost = Cost {
        memory_kib: 4 * 1_024,
        passes: 1,
    };
    let policy = Policy {
        registrations: u32::MAX,
        ..Policy::default()
    };
    let mut server = Server::start("memory:", policy, cost).await;
    server.register("alice").await;
    server.told();
    let held = AtomicU32::new(0);
    let (one_of_them, many) = (&server, &held);
    let flood = (0..400).map(|one| async move {
        for n in 0.. {
            let name = format!("n{one}-{n}");
            if let Err(refused) = one_of_them.try_register(&name, from(1)).await {
                assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
                assert!(!delay(&refused).is_zero());
                many.fetch_add(1, Ordering::SeqCst);
            }
            tokio::task::yield_now().await;
        }
    });
    let others = async {
        while held.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        for n in 0..5 {
            let signed_in = server.try_login("alice", PASSWORD, from(2)).await;
            assert!(signed_in.is_ok(), "{n}: {signed_in:?}");
        }
    };
    tokio::select! {
        _ = join_all(flood) => {}
        () = others => {}
    }
    // However many were held, the audit log is told once, and later how many there were.
    assert!(held.into_inner() > 0);
    let told = server.told();
    let of_held = told
        .iter()
        .filter(|event| event.outcome == Outcome::Refused);
    assert_eq!(of_held.count(), 1);
}

#[tokio::test]
async fn an_address_that_has_made_its_users_of_this_hour_makes_no_more() {
    let policy = Policy {
        registrations: 3,
        ..Policy::default()
    };
    let server = Server::start("memory:", policy, CHEAP).await;
    for n in 0..3 {
        let made = server.try_register(&format!("one{n}"), from(1)).await;
        assert!(made.is_ok(), "{made:?}");
    }
    let refused = server.try_register("one3", from(1)).await;
    let refused = refused.expect_err("one too many");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(delay(&refused) > Duration::from_secs(15 * 60));
    assert!(server.try_register("two", from(2)).await.is_ok());
    assert!(server.try_login("one0", PASSWORD, from(1)).await.is_ok());
}
