//! Tests of the waits between tries.

use super::*;

const NOW: u64 = 1_000_000_000;

fn from(last: u8) -> Option<SocketAddr> {
    Some(SocketAddr::from(([10, 0, 0, last], 4_000)))
}

fn attempts() -> Attempts {
    Attempts::new(Policy::default())
}

fn fail(attempts: &Attempts, name: &str, source: Option<SocketAddr>, now_ms: u64) {
    let attempt = attempts.begin(name, source, now_ms);
    attempt.expect("it may begin").failed(now_ms);
}

fn wait(attempts: &Attempts, name: &str, now_ms: u64) -> u64 {
    let refused = attempts.begin(name, None, now_ms);
    refused.map_or_else(|early| early.wait_ms, |_| 0)
}

#[test]
fn after_five_failures_each_next_wait_is_twice_as_long_up_to_a_quarter_of_an_hour() {
    let attempts = attempts();
    let mut now = NOW;
    for _ in 0..5 {
        assert_eq!(wait(&attempts, "alice", now), 0);
        fail(&attempts, "alice", None, now);
    }
    for expected_s in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
        assert_eq!(wait(&attempts, "alice", now), expected_s * 1_000);
        now += expected_s * 1_000 - 1;
        assert_eq!(wait(&attempts, "alice", now), 1);
        now += 1;
        fail(&attempts, "alice", None, now);
    }
}

#[test]
fn a_name_is_the_same_whatever_its_case() {
    let attempts = attempts();
    for name in ["alice", "Alice", "ALICE", " alice", "aLiCe "] {
        fail(&attempts, name, None, NOW);
    }
    assert_eq!(wait(&attempts, "alice", NOW), 1_000);
    assert_eq!(wait(&attempts, "bob", NOW), 0);
}

#[test]
fn a_success_begins_anew() {
    let attempts = attempts();
    for _ in 0..4 {
        fail(&attempts, "alice", None, NOW);
    }
    attempts
        .begin("alice", None, NOW)
        .expect("it may")
        .succeeded();
    assert_eq!(attempts.remembered(), 0);
    for _ in 0..5 {
        fail(&attempts, "alice", None, NOW);
    }
    assert_eq!(wait(&attempts, "alice", NOW), 1_000);
}

#[test]
fn an_address_waits_whatever_names_it_tries_and_no_other_does() {
    let attempts = attempts();
    for n in 0..50 {
        fail(&attempts, &format!("name{n}"), from(1), NOW);
    }
    let refused = attempts.begin("another", from(1), NOW).err();
    assert_eq!(refused, Some(TooEarly { wait_ms: 1_000 }));
    assert!(attempts.begin("another", from(2), NOW).is_ok());
    assert!(attempts.begin("another", None, NOW).is_ok());
}

#[test]
fn a_success_takes_back_some_failures_of_its_address_and_not_all() {
    let attempts = attempts();
    for n in 0..49 {
        fail(&attempts, &format!("name{n}"), from(1), NOW);
    }
    let own = attempts.begin("own", from(1), NOW).expect("it may");
    own.succeeded();
    for n in 0..6 {
        fail(&attempts, &format!("more{n}"), from(1), NOW);
    }
    assert!(attempts.begin("another", from(1), NOW).is_err());
}

#[test]
fn many_people_behind_one_address_sign_in_for_ever() {
    let attempts = attempts();
    for n in 0..10_000 {
        let attempt = attempts.begin(&format!("name{n}"), from(1), NOW);
        attempt.expect("it may").succeeded();
    }
    assert_eq!(attempts.remembered(), 0);
}

#[test]
fn tries_under_way_count_as_if_they_had_failed() {
    let attempts = attempts();
    let many: Vec<_> = (0..1_000)
        .map(|_| attempts.begin("alice", None, NOW))
        .collect();
    assert_eq!(many.iter().filter(|attempt| attempt.is_ok()).count(), 32);
    drop(many);
    for _ in 0..5 {
        fail(&attempts, "alice", None, NOW);
    }
    let later = NOW + 1_000;
    let one = attempts.begin("alice", None, later);
    assert!(one.is_ok());
    assert!(attempts.begin("alice", None, later).is_err());
}

#[test]
fn an_address_that_registers_over_and_over_leaves_room_for_others() {
    let attempts = attempts();
    let flood: Vec<_> = (0..1_000)
        .map(|_| attempts.begin_to_register(from(1), NOW))
        .collect();
    let begun = flood.iter().filter(|attempt| attempt.is_ok()).count();
    assert_eq!(begun, 64);
    assert!(4 * begun <= crate::auth::password::WAITING);
    // Signing in from there is a try like those.
    assert!(attempts.begin("alice", from(1), NOW).is_err());
    assert!(attempts.begin("alice", from(2), NOW).is_ok());
    assert!(attempts.begin_to_register(from(2), NOW).is_ok());
    drop(flood);
    assert!(attempts.begin_to_register(from(1), NOW).is_ok());
    assert_eq!(attempts.remembered(), 0);
}

#[test]
fn who_guesses_from_an_address_cannot_register_from_it_either() {
    let attempts = attempts();
    for n in 0..50 {
        fail(&attempts, &format!("name{n}"), from(1), NOW);
    }
    let refused = attempts.begin_to_register(from(1), NOW).err();
    assert_eq!(refused, Some(TooEarly { wait_ms: 1_000 }));
}

#[test]
fn an_address_makes_so_many_users_an_hour() {
    let attempts = attempts();
    let made = (0..5_000)
        .filter(|_| attempts.begin_to_register(from(1), NOW).is_ok())
        .count();
    assert_eq!(made, 1_000);
    let refused = attempts.begin_to_register(from(1), NOW).err();
    assert_eq!(refused, Some(TooEarly { wait_ms: 3_600 }));
    assert!(attempts.begin_to_register(from(2), NOW).is_ok());
    assert!(
        attempts.begin("alice", from(1), NOW).is_ok(),
        "signing in is another matter"
    );
    let later = NOW + 3_600;
    assert!(attempts.begin_to_register(from(1), later).is_ok());
    assert!(attempts.begin_to_register(from(1), later).is_err());
    let in_an_hour = later + 60 * 60 * 1_000;
    let made = (0..5_000)
        .filter(|_| attempts.begin_to_register(from(1), in_an_hour).is_ok())
        .count();
    assert_eq!(made, 1_000);
}

#[test]
fn a_try_that_was_neither_right_nor_wrong_is_not_remembered() {
    let attempts = attempts();
    for _ in 0..100 {
        drop(attempts.begin("alice", from(1), NOW).expect("it may"));
    }
    assert_eq!(attempts.remembered(), 0);
}

#[test]
fn after_a_day_a_name_begins_anew() {
    let attempts = attempts();
    for _ in 0..5 {
        fail(&attempts, "alice", None, NOW);
    }
    let end = NOW + 1_000 + Policy::default().forget_ms;
    fail(&attempts, "alice", None, end);
    assert_eq!(wait(&attempts, "alice", end), 0);
}

#[test]
fn a_full_table_forgets_the_shortest_wait_and_keeps_the_longest() {
    let attempts = Attempts::new(Policy {
        entries: 100,
        ..Policy::default()
    });
    let mut now = NOW;
    for _ in 0..12 {
        now += wait(&attempts, "victim", now);
        fail(&attempts, "victim", None, now);
    }
    let before = wait(&attempts, "victim", now);
    for n in 0..10_000 {
        fail(&attempts, &format!("name{n}"), None, now);
    }
    assert_eq!(attempts.remembered(), 100);
    assert_eq!(wait(&attempts, "victim", now), before);
}
