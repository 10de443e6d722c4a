//! Tests of the ring: what one keeps, another finds.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::auth::UserId;
use crate::users::SessionId;

const START: u64 = 1_800_000_000_000;
const STORE: &str = "a store";

fn claims(now_ms: u64) -> Claims {
    Claims::new(UserId("u1".into()), SessionId("s1".into()), now_ms)
}

#[tokio::test]
async fn a_ring_in_a_file_is_the_same_after_a_restart_and_another_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("amadeus.db.keys");
    let open = || KeyRing::open(Source::Beside(path.clone()), || START);
    let token = open().await.expect("made").sign(STORE, &claims(START));
    let again = open().await.expect("read");
    assert!(again.verify(&token, STORE, START).is_ok());
    assert_eq!(
        again.verify(&token, "another", START),
        Err(Refused::Foreign)
    );
    std::fs::remove_file(&path).expect("there");
    let new = open().await.expect("made");
    assert_eq!(new.verify(&token, STORE, START), Err(Refused::UnknownKey));
}

#[tokio::test]
async fn a_ring_goes_on_to_its_next_key_and_no_token_is_refused_for_it() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let clock = || NOW.load(Ordering::SeqCst);
    let ring = KeyRing::open(Source::Memory, clock).await.expect("made");
    let mut tokens = Vec::new();
    let mut signers = std::collections::BTreeSet::new();
    // Two rotations in steps of ten minutes.
    for _ in 0..61 * 24 * 6 {
        let now_ms = NOW.fetch_add(600_000, Ordering::SeqCst) + 600_000;
        ring.read_again().await;
        let token = ring.sign(STORE, &claims(now_ms));
        signers.insert(token.split_once('.').expect("parts").0.to_owned());
        tokens.push((now_ms, token));
        for (made_ms, token) in tokens.iter().rev().take(2) {
            assert!(
                ring.verify(token, STORE, now_ms).is_ok(),
                "{made_ms} {now_ms}"
            );
        }
    }
    assert_eq!(signers.len(), 3);
}

#[tokio::test]
async fn keys_of_the_operator_are_read_again_and_a_bad_file_changes_nothing() {
    static NOW: AtomicU64 = AtomicU64::new(START);
    let clock = || NOW.load(Ordering::SeqCst);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys");
    let write = |text: &str| {
        std::fs::write(&path, text).expect("written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).expect("set");
        }
    };
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    write(&old);
    let source = Source::Given(path.clone());
    let ring = KeyRing::open(source, clock).await.expect("read");
    let token = ring.sign(STORE, &claims(START));

    write("short");
    NOW.fetch_add(1_000, Ordering::SeqCst);
    ring.read_again().await;
    assert!(ring.verify(&token, STORE, START).is_ok());

    write(&format!("{new}\n{old}"));
    ring.read_again().await;
    assert_eq!(
        ring.sign(STORE, &claims(START)).split('.').next(),
        token.split('.').next(),
        "within a second nothing is read"
    );
    NOW.fetch_add(1_000, Ordering::SeqCst);
    ring.read_again().await;
    assert_ne!(
        ring.sign(STORE, &claims(START)).split('.').next(),
        token.split('.').next()
    );
    assert!(ring.verify(&token, STORE, START).is_ok());

    write(&new);
    NOW.fetch_add(1_000, Ordering::SeqCst);
    ring.read_again().await;
    assert_eq!(ring.verify(&token, STORE, START), Err(Refused::UnknownKey));
}
