//! Many rounds at every failpoint: nothing that was acknowledged is lost, nothing is applied twice, nothing is half there.
//!
//! `AMADEUS_CHAOS_KILLS` says how many kills (54, which is two at each failpoint), `AMADEUS_TEST_SEED` repeats the choices of
//! a run, and `AMADEUS_CHAOS_POINT` keeps to one failpoint.

use std::time::Instant;

use kg_core::faults::Point;

use crate::random::{Random, seed, setting};
use crate::round::{Order, Store};
use crate::tally::Tally;

/// Stores that are tortured side by side: one dies while the other works.
const SIDE_BY_SIDE: u64 = 2;

/// Rounds of one store; what it holds is compared whole after each, so it must stay small.
const ROUNDS: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_kills_it_nothing_acknowledged_is_lost() {
    let kills = setting("AMADEUS_CHAOS_KILLS").unwrap_or(2 * Point::ALL.len() as u64);
    let only: Option<String> = setting("AMADEUS_CHAOS_POINT");
    let seed = seed();
    let points: Vec<Point> = Point::ALL
        .iter()
        .copied()
        .filter(|point| only.as_ref().is_none_or(|only| point.name() == only))
        .collect();
    assert!(!points.is_empty(), "there is no failpoint {only:?}");
    let began = Instant::now();
    let mut sources = Random::of(seed);
    let mut sides = tokio::task::JoinSet::new();
    for side in 0..SIDE_BY_SIDE {
        let share = kills / SIDE_BY_SIDE + u64::from(side < kills % SIDE_BY_SIDE);
        sides.spawn(torture(share, points.clone(), sources.branch()));
    }
    let mut tally = Tally::default();
    while let Some(side) = sides.join_next().await {
        match side.expect("it does not panic") {
            Ok((counted, revisions)) => {
                eprintln!("{revisions} revisions stood in the stores of one side");
                tally.all(&counted);
            }
            Err(what) => panic!("AMADEUS_TEST_SEED={seed}: {what}"),
        }
    }
    eprintln!(
        "{tally}{} kills in {:.0} s",
        tally.kills(),
        began.elapsed().as_secs_f64()
    );
    if only.is_none() && kills >= 2 * Point::ALL.len() as u64 {
        assert!(
            tally.spared().is_empty(),
            "nothing was killed at {:?}",
            tally.spared()
        );
    }
}

/// Plays rounds until so many have killed, at each of the points in turn.
async fn torture(
    kills: u64,
    points: Vec<Point>,
    mut random: Random,
) -> Result<(Tally, u64), String> {
    let mut tally = Tally::default();
    let (mut store, mut revisions) = (Store::new(), 0);
    let mut turns: Vec<Point> = Vec::new();
    while tally.kills() < kills {
        if turns.is_empty() {
            turns.clone_from(&points);
            for left in (1..turns.len()).rev() {
                turns.swap(left, random.below(left as u64 + 1) as usize);
            }
        }
        let Some(point) = turns.pop() else { continue };
        // Only a store that is not there yet is made.
        if point == Point::StoreMade || store.rounds() >= ROUNDS {
            revisions += store.prove().await?;
            store = Store::new();
        }
        let order = Order::at(point, &mut random);
        let ended = store.round(order, &mut random).await?;
        tally.add(order, ended);
    }
    revisions += store.prove().await?;
    Ok((tally, revisions))
}
