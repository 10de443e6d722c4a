//! `cargo xtask prove`: switches on what must not be, one at a time, and expects a check to go red.
//!
//! Every seeded bug has a check here, and must turn it red within the runs that stand beside it, for the reason that stands
//! beside it; without the bug the same check must be green. Behind them come the controls of the models and of the race
//! detector. A bug that nobody catches, a check that was red before, and a bug without a check are failures alike.

use std::fs;
use std::process::Command;

use clap::Args;

use crate::faults::cargo_test;
use crate::loom;
use crate::proof;
use crate::race;
use crate::step;
use crate::tally::Tally;
use crate::workspace::root;

/// What to prove.
#[derive(Args)]
pub struct Prove {
    /// Only the seeded bugs that the tests of kg-core catch: one small build
    #[arg(long)]
    core: bool,
    /// Only these seeded bugs, such as `LostWatermark`
    #[arg(value_name = "BUG")]
    bugs: Vec<String>,
}

/// One check and the bug that it must catch.
struct Check {
    bug: &'static str,
    package: &'static str,
    /// Where the test stands, for cargo.
    target: &'static [&'static str],
    test: &'static str,
    /// Kept to one failpoint, for the checks that kill.
    point: Option<&'static str>,
    /// What it says when it is caught.
    symptom: &'static str,
    /// Within so many runs.
    runs: u32,
}

const fn core(bug: &'static str, test: &'static str, symptom: &'static str) -> Check {
    Check {
        bug,
        package: "kg-core",
        target: &["--lib"],
        test,
        point: None,
        symptom,
        runs: 1,
    }
}

const fn server(
    bug: &'static str,
    target: &'static [&'static str],
    test: &'static str,
    symptom: &'static str,
) -> Check {
    Check {
        bug,
        package: "amadeus",
        target,
        test,
        point: None,
        symptom,
        runs: 1,
    }
}

/// Kills at this failpoint; a run is eight of them.
const fn killed(bug: &'static str, point: &'static str, symptom: &'static str) -> Check {
    Check {
        bug,
        package: "amadeus",
        target: &["--test", "faults"],
        test: "chaos::whatever_kills_it_nothing_acknowledged_is_lost",
        point: Some(point),
        symptom,
        runs: 5,
    }
}

/// A run is so many histories, each dying at this failpoint if there is one.
const fn ordered(bug: &'static str, point: Option<&'static str>) -> Check {
    Check {
        bug,
        package: "amadeus",
        target: &["--test", "faults"],
        test: "linear::checks::what_clients_were_told_has_one_order",
        point,
        symptom: "it is not linearizable",
        // A batch of one record passes by `log.inserted`, so fewer histories die there.
        runs: if point.is_some() { 6 } else { 3 },
    }
}

const KILLS: &str = "8";
const HISTORIES: &str = "24";

const CHECKS: &[Check] = &[
    core(
        "AcknowledgedBeforeAppend",
        "testing::faulty::tests::a_full_store_fails_the_batch_and_the_next_one_works",
        "\nOk(2)",
    ),
    core(
        "PublishedBeforeLog",
        "testing::faulty::tests::a_full_store_fails_the_batch_and_the_next_one_works",
        "assertion `left == right` failed",
    ),
    core(
        "RefusedBeforeDurable",
        "testing::faulty::tests::refusals_and_no_ops_of_a_failed_batch_fail_with_it",
        "Err(Refused(",
    ),
    core(
        "DroppedByFullQueue",
        "commit::queue::tests::the_bound_holds_and_room_comes_back",
        "right: Err(Full)",
    ),
    core(
        "DroppedByFullWatch",
        "watch::cursor::tests::a_watcher_that_is_behind_in_the_ring_loses_nothing",
        "left: [50]",
    ),
    core(
        "LookThenSet",
        "testing::faulty::tests::a_request_id_twice_in_one_batch_applies_once",
        "right: (1, true)",
    ),
    core(
        "GuardedByHead",
        "testing::faulty::tests::of_many_guarded_writes_in_one_batch_one_commits",
        "right: (1, 1)",
    ),
    core(
        "RepeatedAsNew",
        "testing::faulty::tests::an_unknown_outcome_repeats_the_same_batch_until_it_is_known",
        "assertion",
    ),
    core(
        "ForgottenRequests",
        "log::checkpoint::tests::remembered_requests_go_with_the_graph",
        "read.requests().iter().eq(",
    ),
    server(
        "LostWatermark",
        &["--test", "storage"],
        "damage::a_damaged_file_is_named",
        // Of the two witnesses of a lost end, the other one.
        "says that writes up to revision 60 were acknowledged",
    ),
    server(
        "AcknowledgedBeforeSync",
        &["--test", "faults"],
        "failed_sync::a_failed_sync_is_no_acknowledgement",
        "a write whose sync failed was acknowledged",
    ),
    killed("UncoveredCompaction", "file.written", "it did not start"),
    killed(
        "AcknowledgedBeforeAppend",
        "log.inserted",
        "was shown, and the graph ends at",
    ),
    killed(
        "PublishedBeforeLog",
        "log.inserted",
        "was shown, and the graph ends at",
    ),
    killed("LookThenSet", "commit.announced", "were both told"),
    killed("GuardedByHead", "commit.announced", "counter"),
    ordered("GuardedByHead", None),
    ordered("LookThenSet", None),
    ordered("RefusedBeforeDurable", None),
    ordered("AcknowledgedBeforeAppend", Some("log.inserted")),
    ordered("PublishedBeforeLog", Some("log.inserted")),
];

/// What became of a check.
enum Verdict {
    /// Red at this run.
    Caught(u32),
    Green,
    /// It does not even hold without the bug, or fails for another reason with it.
    Unsound(String),
    /// It cannot run here.
    Skipped(String),
}

/// Those that need only a small build, for every change.
pub fn run_core() -> Tally {
    run(&Prove {
        core: true,
        bugs: Vec::new(),
    })
}

/// Runs everything and prints what caught what.
pub fn run(wanted: &Prove) -> Tally {
    let mut total = step::timed("Seeded bugs", || {
        let checks = CHECKS
            .iter()
            .filter(|check| !wanted.core || check.package == "kg-core")
            .filter(|check| {
                wanted.bugs.is_empty() || wanted.bugs.iter().any(|bug| bug == check.bug)
            });
        let bugs = declared();
        let mut tally = Tally::default();
        for check in checks {
            let what = bugs.iter().find(|(bug, _)| bug == check.bug);
            let what = what.map_or("there is no such bug", |(_, what)| what);
            let verdict = check.verdict();
            tally += report(check, what, &verdict);
        }
        if tally == Tally::default() {
            println!("there is no such bug: docs/FAULTS.md lists them");
            return Tally::of_one(false);
        }
        tally
    });
    if !wanted.core && wanted.bugs.is_empty() {
        total += step::timed("Controls of the models (loom)", || {
            let proofs = loom::proofs();
            // None at all would pass for none that failed.
            if proofs.is_empty() {
                Tally::of_one(false)
            } else {
                proof::report(&proofs)
            }
        });
        total += step::timed("Controls of the race detector", || {
            let proofs = race::proofs();
            if proofs.is_empty() {
                println!("skipped: no toolchain here has ThreadSanitizer");
                return Tally::of_skipped();
            }
            proof::report(&proofs)
        });
    }
    total
}

fn report(check: &Check, what: &str, verdict: &Verdict) -> Tally {
    let name = check.test.rsplit("::").next().unwrap_or(check.test);
    let place = check
        .point
        .map(|point| format!(", killed at {point}"))
        .unwrap_or_default();
    let (said, tally) = match verdict {
        Verdict::Caught(run) => (
            format!("caught, run {run} of {}", check.runs),
            Tally::of_one(true),
        ),
        Verdict::Green => (
            format!("NOT CAUGHT in {} runs", check.runs),
            Tally::of_one(false),
        ),
        Verdict::Unsound(why) => (format!("UNSOUND: {why}"), Tally::of_one(false)),
        Verdict::Skipped(why) => (format!("skipped: {why}"), Tally::of_skipped()),
    };
    println!(
        "{:<25} {said:<22} {name}{place}\n{:<25} {what}",
        check.bug, ""
    );
    tally
}

impl Check {
    fn verdict(&self) -> Verdict {
        let said = match self.run(None) {
            Ok((true, said)) => said,
            Ok((false, said)) => {
                return Verdict::Unsound(format!("it is red without the bug\n{said}"));
            }
            Err(why) => return Verdict::Unsound(why),
        };
        if let Some(why) = said.lines().find_map(|line| line.strip_prefix("skipped: ")) {
            return Verdict::Skipped(why.to_owned());
        }
        for run in 1..=self.runs {
            match self.run(Some(self.bug)) {
                Ok((true, _)) => {}
                Ok((false, said)) if said.contains(self.symptom) => return Verdict::Caught(run),
                Ok((false, said)) => {
                    return Verdict::Unsound(format!(
                        "it is red without {:?}\n{said}",
                        self.symptom
                    ));
                }
                Err(why) => return Verdict::Unsound(why),
            }
        }
        Verdict::Green
    }

    /// Whether it is green, and what it said.
    fn run(&self, bug: Option<&str>) -> Result<(bool, String), String> {
        let mut command: Command = cargo_test(self.package);
        command.args(self.target).args([
            "--",
            "--exact",
            self.test,
            "--nocapture",
            "--test-threads=1",
        ]);
        command
            .env("AMADEUS_CHAOS_KILLS", KILLS)
            .env("AMADEUS_LINEAR_HISTORIES", HISTORIES)
            .env("RUST_BACKTRACE", "0");
        if let Some(point) = self.point {
            command
                .env("AMADEUS_CHAOS_POINT", point)
                .env("AMADEUS_LINEAR_POINT", point);
        }
        if let Some(bug) = bug {
            command.env("AMADEUS_SEEDED_BUG", bug);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // Renamed, filtered out or not compiled, a check would be green for the wrong reason.
        if !said.contains("running 1 test") {
            return Err(format!("there is no check {}\n{said}", self.test));
        }
        Ok((output.status.success(), said))
    }
}

/// The bugs that the source declares, each with what is wrong while it is on.
fn declared() -> Vec<(String, String)> {
    let source = fs::read_to_string(root().join("kg-core/src/faults/bug.rs")).unwrap_or_default();
    let list = source.split("\nbugs! {").nth(1).unwrap_or_default();
    let list = list.split("\n}").next().unwrap_or_default();
    let bug = |line: &str| {
        let (name, what) = line.trim().split_once(", \"")?;
        Some((name.to_owned(), what.trim_end_matches("\";").to_owned()))
    };
    list.lines().filter_map(bug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_check_and_every_check_a_row() {
        let declared = declared();
        assert!(declared.len() >= 12, "{declared:?}");
        let document = fs::read_to_string(root().join("docs/FAULTS.md")).expect("it is there");
        for (bug, _) in &declared {
            let mut checks = CHECKS.iter().filter(|check| check.bug == bug).peekable();
            assert!(checks.peek().is_some(), "{bug} has no check");
            let row = document
                .lines()
                .find(|line| line.starts_with(&format!("| `{bug}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/FAULTS.md lacks {bug}"));
            let mut runs = Vec::new();
            for check in checks {
                let name = check.test.rsplit("::").next().unwrap_or_default();
                assert!(row.contains(name), "docs/FAULTS.md: {bug} lacks {name}");
                let point = check.point.unwrap_or_default();
                assert!(row.contains(point), "docs/FAULTS.md: {bug} lacks {point}");
                runs.push(check.runs.to_string());
            }
            let runs = format!("| {} |", runs.join(", "));
            assert!(row.ends_with(&runs), "docs/FAULTS.md: {bug} lacks {runs}");
        }
        for check in CHECKS {
            assert!(
                declared.iter().any(|(bug, _)| bug == check.bug),
                "there is no bug {}",
                check.bug
            );
        }
    }
}
