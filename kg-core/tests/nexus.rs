//! 10,000 random patterns, each with everything that happens in a run of it, against an oracle that does one thing after the
//! other: states, attempts, times, results, what is undone and in which order. And again with the steps listed otherwise, and
//! with the process lost at random moments.

use kg_core::nexus::{RunState, StepState, check};
use kg_core::testing::generate::Rng;
use kg_core::testing::nexus::cases::{Case, types};
use kg_core::testing::nexus::drive::{Driven, drive};
use kg_core::testing::nexus::oracle::{Told, expected};
use std::collections::BTreeMap;

const CASES: u64 = 10_000;

/// The first seed; `NEXUS_SEED` sets another one.
fn first_seed() -> u64 {
    let said = std::env::var("NEXUS_SEED").ok();
    said.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// What came of a run, so that two of them can be held against each other line by line.
fn lines(told: &Told) -> Vec<String> {
    let mut lines = vec![
        format!("{:?} {:?} at {}", told.state, told.code, told.ended_ms),
        format!("undone {:?}", told.undone),
        format!("outputs {:?}", told.outputs),
    ];
    lines.extend(told.steps.iter().map(|(id, step)| format!("{id} {step:?}")));
    lines
}

#[track_caller]
fn same(seed: u64, case: &Case, driven: &Driven, how: &str) {
    let expected = expected(case);
    if driven.told != expected {
        let (told, wanted) = (lines(&driven.told), lines(&expected));
        for (is, wanted) in told.iter().zip(&wanted).filter(|(is, wanted)| is != wanted) {
            eprintln!("   is {is}\nwants {wanted}\n");
        }
        panic!("seed {seed}, {how}, of {case:#?}");
    }
    assert!(driven.most_under_way <= case.max_parallel as usize);
}

#[test]
fn ten_thousand_runs_end_as_the_oracle_says_however_steps_are_listed_and_wherever_they_are_lost() {
    let first = first_seed();
    eprintln!("NEXUS_SEED={first}");
    let mut seen = BTreeMap::<String, u64>::new();
    let mut crashes = 0;
    for seed in first..first + CASES {
        let mut rng = Rng::new(seed);
        let case = Case::random(&mut rng);
        let plain = drive(&case, &case.listing(&mut rng), None);
        same(seed, &case, &plain, "in one go");
        let listing = case.listing(&mut rng);
        let lost = drive(&case, &listing, Some(Rng::new(seed ^ 0x5eed)));
        same(seed, &case, &lost, "listed otherwise and lost");
        crashes += lost.crashes;
        *seen.entry(format!("{:?}", plain.told.state)).or_default() += 1;
        for step in plain.told.steps.values() {
            *seen.entry(format!("step {:?}", step.state)).or_default() += 1;
            if step.attempts > 1 {
                *seen.entry("step tried again".into()).or_default() += 1;
            }
        }
    }
    eprintln!("{crashes} crashes, {seen:#?}");
    // What never happened was not tested.
    for state in [RunState::Succeeded, RunState::Failed, RunState::Cancelled] {
        assert!(seen.get(&format!("{state:?}")).is_some_and(|n| *n > 500));
    }
    for state in [
        StepState::Succeeded,
        StepState::Failed,
        StepState::Skipped,
        StepState::Cancelled,
        StepState::Compensated,
        StepState::CompensationFailed,
    ] {
        assert!(
            seen.get(&format!("step {state:?}"))
                .is_some_and(|n| *n > 500)
        );
    }
    assert!(crashes > 10_000);
}

#[test]
fn random_patterns_have_no_faults() {
    for seed in 1..500 {
        let mut rng = Rng::new(seed);
        let case = Case::random(&mut rng);
        let pattern = case.pattern(&case.listing(&mut rng));
        let faults = check(&pattern, &types(), &|_| None, &|_| true);
        assert_eq!(faults, [], "seed {seed}");
    }
}
