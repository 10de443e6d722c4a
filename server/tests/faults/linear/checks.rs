//! The runs against a server, and the control: a history that is wrong is called wrong.
//!
//! `AMADEUS_LINEAR_HISTORIES` says how many histories (24), `AMADEUS_TEST_SEED` repeats the choices of a run, and
//! `AMADEUS_LINEAR_POINT` lets each history die at this failpoint, where faults are compiled in.

use std::time::Instant;

use super::history::History;
use super::model::{Ask, Entry, Step, Told, Write};
use super::torture::{torture, torture_many};
use crate::random::{seed, setting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_were_told_has_one_order() {
    let histories = setting("AMADEUS_LINEAR_HISTORIES").unwrap_or(24);
    let point: Option<String> = setting("AMADEUS_LINEAR_POINT");
    let seed = seed();
    let began = Instant::now();
    match torture(histories, point, seed).await {
        Ok(played) => eprintln!("{played:?} in {:.1} s", began.elapsed().as_secs_f64()),
        Err(what) => panic!("AMADEUS_TEST_SEED={seed}: {what}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_three_servers_were_told_has_one_order() {
    let database = match testbed::Postgres::shared() {
        Ok(server) => server.database(),
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let histories = setting("AMADEUS_LINEAR_HISTORIES").unwrap_or(24);
    let seed = seed();
    let began = Instant::now();
    match torture_many(histories, database, seed).await {
        Ok(played) => eprintln!("{played:?} in {:.1} s", began.elapsed().as_secs_f64()),
        Err(what) => panic!("AMADEUS_TEST_SEED={seed}: {what}"),
    }
}

fn put(id: &str, guard: Option<u64>, value: u64) -> Ask {
    Ask::Write(Write {
        id: id.into(),
        guard: guard.map(|revision| (0, revision)),
        steps: vec![Step::Put(0, value)],
    })
}

fn found(revision: u64, value: u64, created: u64) -> Told {
    let modified = revision;
    Told::Found(
        revision,
        Entry {
            value,
            created,
            modified,
        },
    )
}

/// Calls one after the other.
fn in_turn(calls: Vec<(Ask, Told)>) -> History {
    let mut history = History::default();
    for (ask, told) in calls {
        let asked = history.ask(ask);
        history.tell(asked, told);
    }
    history
}

#[test]
fn a_stale_read_is_noticed() {
    let written = [
        (put("a", None, 1), Told::Committed(1)),
        (put("b", None, 2), Told::Committed(2)),
    ];
    let with = |told: Told| {
        let read = (Ask::Get(0, None), told);
        in_turn(written.iter().cloned().chain([read]).collect())
    };
    assert_eq!(with(found(2, 2, 1)).check(0), Ok(()));
    let stale = with(found(1, 1, 1)).check(0).expect_err("it is stale");
    assert!(stale.contains("came after"), "{stale}");
    // One that hides its age has no order either.
    let told = Told::Found(
        2,
        Entry {
            value: 1,
            created: 1,
            modified: 1,
        },
    );
    let hidden = with(told).check(0).expect_err("it is stale");
    assert!(hidden.contains("no order"), "{hidden}");
    with(Told::Absent).check(0).expect_err("it is lost");
}

#[test]
fn a_write_without_an_answer_may_take_effect_later_and_once() {
    let mut history = History::default();
    history.ask(put("lost", None, 7));
    let read = |history: &mut History, told: Told| {
        let asked = history.ask(Ask::Get(0, None));
        history.tell(asked, told);
    };
    read(&mut history, Told::Absent);
    assert_eq!(history.check(0), Ok(()));
    read(&mut history, found(1, 7, 1));
    assert_eq!(history.check(0), Ok(()));
    let mut vanished = history.clone();
    read(&mut vanished, Told::Absent);
    vanished.check(0).expect_err("it had taken effect");
    // Asked for again under its id, it tells the revision that it made; another one would be a second effect.
    let mut twice = history.clone();
    let asked = history.ask(put("lost", None, 7));
    history.tell(asked, Told::Committed(1));
    assert_eq!(history.check(0), Ok(()));
    let asked = twice.ask(put("lost", None, 7));
    twice.tell(asked, Told::Committed(2));
    twice.check(0).expect_err("it was applied twice");
}

#[test]
fn two_of_one_guard_are_noticed() {
    let mut history = History::default();
    let (one, other) = (
        history.ask(put("one", Some(0), 1)),
        history.ask(put("other", Some(0), 2)),
    );
    history.tell(one, Told::Committed(1));
    let mut both = history.clone();
    history.tell(other, Told::Refused);
    assert_eq!(history.check(0), Ok(()));
    both.tell(other, Told::Committed(2));
    both.check(0).expect_err("both cannot have been first");
}

#[test]
fn an_old_revision_that_changed_is_noticed() {
    let calls = [
        (put("a", None, 1), Told::Committed(1)),
        (put("b", None, 2), Told::Committed(2)),
    ];
    let at_one = |value| {
        let read = (Ask::Get(0, Some(1)), found(1, value, 1));
        in_turn(calls.iter().cloned().chain([read]).collect())
    };
    assert_eq!(at_one(1).check(0), Ok(()));
    at_one(2).check(0).expect_err("it was 1 then");
}
