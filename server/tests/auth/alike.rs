//! A stranger who tries names learns nothing from the answers, nor from how long they take.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use amadeus::auth::attempts::Policy;
use amadeus::auth::password::Cost;
use amadeus::users::{NewUser, Profile, UserChange, UserStatus, Username};
use tonic::Code;

use crate::server::{CHEAP, Server, now_ms};

/// Tries of each kind.
const TRIES: usize = 200;

/// What the server waits for on purpose.
const PAUSES_MS: f64 = 20.0;

/// A policy in whose way nobody gets.
fn wide() -> Policy {
    Policy {
        account_failures: u32::MAX,
        address_failures: u32::MAX,
        account_at_once: u32::MAX,
        address_at_once: u32::MAX,
        ..Policy::default()
    }
}

#[tokio::test]
async fn whoever_may_not_sign_in_is_told_the_same_and_the_audit_log_the_truth() {
    let mut server = Server::start("memory:", wide(), CHEAP).await;
    server.register("alice").await;
    let disabled = server.register("bob").await;
    let id = amadeus::auth::UserId(disabled.id.as_str().into());
    let change = UserChange {
        status: Some(UserStatus::Disabled),
        ..UserChange::default()
    };
    server
        .users
        .update(&id, None, change, now_ms())
        .await
        .expect("disabled");
    let carol = NewUser {
        username: Username::parse("username", "carol").expect("good"),
        email: None,
        password: None,
        profile: Profile::default(),
        grants: Vec::new(),
        status: UserStatus::Active,
    };
    server
        .users
        .create(carol, now_ms(), None)
        .await
        .expect("created");
    server.told();
    let tries = [
        ("alice", "a wrong password", "the password is wrong"),
        ("alice", "", "the password is wrong"),
        ("nobody", "a wrong password", "nobody has the name"),
        ("no name!", "a wrong password", "nobody has the name"),
        ("", "a wrong password", "nobody has the name"),
        (
            "nobody@example.org",
            "a wrong password",
            "nobody has the name",
        ),
        ("bob", crate::server::PASSWORD, "the user is disabled"),
        ("carol", "a wrong password", "the user has no password"),
    ];
    let mut told = std::collections::BTreeSet::new();
    for (name, password, truth) in tries {
        let refused = server.try_login(name, password, None).await;
        let refused = refused.expect_err("refused");
        assert_eq!(refused.code(), Code::Unauthenticated);
        told.insert((refused.message().to_owned(), refused.details().to_vec()));
        let events = server.told();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].reason, truth);
        assert!(
            !format!("{events:?}").contains("nobody@")
                && !format!("{events:?}").contains("no name!")
        );
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told.first().map(|(text, _)| &**text),
        Some("the name or the password is wrong")
    );
}

/// Pairs, one try of each kind right after the other, so that whatever slows the machine down slows both. Of their
/// differences the most extreme tenth at either end goes, which is what other programs do to them. What is left must be
/// zero within four of its standard errors: of an honest server one run in ten thousand fails. And the error must be
/// small against the hash, or nothing would have been shown.
#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_take_the_same_time() {
    let cost = Cost {
        memory_kib: 2 * 1_024,
        passes: 1,
    };
    let server = Server::start("memory:", wide(), cost).await;
    server.register("alice").await;
    let time = async |name: &str| {
        // The server's pauses end with the ticks of a timer. Whoever begins at one would begin the next try at one as well,
        // and all would be rounded alike.
        let moment = RandomState::new().hash_one(name) % 1_000;
        std::thread::sleep(Duration::from_micros(moment));
        let begun = Instant::now();
        let refused = server.try_login(name, "a wrong password", None).await;
        assert!(refused.is_err());
        begun.elapsed().as_secs_f64() * 1_000.0
    };
    for _ in 0..10 {
        time("alice").await;
        time("nobody").await;
    }
    let (mut differences, mut of_wrong) = (Vec::new(), Vec::new());
    for n in 0..TRIES {
        // Who comes first changes, or what the first leaves behind would be told of the second.
        let (wrong, unknown) = if n % 2 == 0 {
            let wrong = time("alice").await;
            (wrong, time("nobody").await)
        } else {
            let unknown = time("nobody").await;
            (time("alice").await, unknown)
        };
        differences.push(wrong - unknown);
        of_wrong.push(wrong);
    }
    differences.sort_by(f64::total_cmp);
    of_wrong.sort_by(f64::total_cmp);
    let kept = &differences[TRIES / 10..TRIES * 9 / 10];
    let count = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let variance = kept.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let error = (variance / count).sqrt();
    let hash = of_wrong[TRIES / 2] - PAUSES_MS;
    eprintln!(
        "a sign-in works for {hash:.3} ms; the difference is {mean:.4} ms, give or take {error:.4} ms"
    );
    assert!(4.0 * error < hash / 2.0, "too noisy: {error} of {hash}");
    assert!(
        mean.abs() < 4.0 * error,
        "{mean} ms apart, give or take {error}"
    );
}
