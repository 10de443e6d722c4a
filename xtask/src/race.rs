//! `cargo xtask race`: the stress tests of what threads share, under ThreadSanitizer, and the controls that it has to catch.
//!
//! loom runs small models through every interleaving; this runs the real code on real threads and looks at every access to
//! memory. So it sees what no model does (`ArcSwap`, `DashMap`, crossbeam, the machine's own order) in the interleavings that
//! happen to come. A report fails the run, whatever the test said.
//!
//! The detector is a flag that stable compilers refuse: a nightly toolchain is used if there is one, else the project's own
//! with `RUSTC_BOOTSTRAP=1`; the first line says which. std comes compiled without the flag (to compile it anew would need
//! its sources and `-Zbuild-std`), so an order that is made inside std's own code is invisible, and looks like a race.
//! Against that `--cfg race` takes a lock that is compiled here, the tests join all their threads, and `race.supp` names
//! what is left, each line with its reason.
//!
//! A control runs the same binary, with the same suppressions, with one ordering of the production code broken
//! (`kg_core::sync::control`): it passes if that is reported as a race in the file that it breaks.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::proof::{self, Proof};
use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, root, target};

/// A control, and the test that has to report it.
const CONTROLS: [(&str, &str); 3] = [
    ("RelaxedPush", "parts::what_is_pushed_is_taken_whole"),
    ("RelaxedTake", "parts::what_is_pushed_is_taken_whole"),
    ("RelaxedSlot", "parts::a_ticket_brings_the_outcome_whole"),
];

/// The file that these break.
const BROKEN: &str = "kg-core/src/sync/exchange.rs";

const REPORT: &str = "WARNING: ThreadSanitizer: data race";

/// How often each test does what it does: `AMADEUS_STRESS` overrides it.
const TIMES: &str = "2000";

/// A compiler that has the detector.
struct Detector {
    /// `nightly`, or none for the project's own toolchain.
    toolchain: Option<&'static str>,
    host: String,
}

/// Runs the stress tests and the controls; skipped where no compiler has the detector.
pub fn run() -> Tally {
    let Some(detector) = Detector::find() else {
        println!(
            "ThreadSanitizer is in neither toolchain here (nightly, or RUSTC_BOOTSTRAP=1, on Linux or macOS): skipped"
        );
        return Tally::of_skipped();
    };
    println!("ThreadSanitizer of {}", detector.name());
    let mut tally = step::tests("Races (ThreadSanitizer)", &mut detector.stress(&[]));
    tally += step::timed("Controls (ThreadSanitizer)", || {
        proof::report(&detector.proofs())
    });
    tally
}

/// The controls alone: none where no compiler has the detector.
pub fn proofs() -> Vec<Proof> {
    Detector::find().map_or_else(Vec::new, |detector| detector.proofs())
}

impl Detector {
    fn find() -> Option<Self> {
        [Some("nightly"), None].into_iter().find_map(Self::of)
    }

    /// The detector of a toolchain, if that is installed and has its runtime.
    fn of(toolchain: Option<&'static str>) -> Option<Self> {
        let ask = |question: &[&str]| {
            let mut rustc = match toolchain {
                Some(toolchain) => rustup(toolchain, "rustc"),
                None => own_rustc(),
            };
            let answer = rustc.current_dir(root()).args(question).output().ok()?;
            let answer = String::from_utf8(answer.stdout).ok()?;
            Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty())
        };
        let host = ask(&["-vV"])?
            .lines()
            .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))?;
        let libraries = PathBuf::from(ask(&["--print", "sysroot"])?)
            .join("lib/rustlib")
            .join(&host)
            .join("lib");
        let mut files = libraries.read_dir().ok()?.flatten();
        files
            .any(|file| file.file_name().to_string_lossy().contains("_rt.tsan"))
            .then_some(Self { toolchain, host })
    }

    fn name(&self) -> &str {
        self.toolchain
            .unwrap_or("the project's own toolchain, with RUSTC_BOOTSTRAP=1")
    }

    /// The stress tests, or those of them that are named.
    fn stress(&self, names: &[&str]) -> Command {
        let mut command = match self.toolchain {
            Some(toolchain) => rustup(toolchain, "cargo"),
            None => cargo(),
        };
        if self.toolchain.is_none() {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        let suppressions = root().join("xtask/race.supp");
        let times = env::var("AMADEUS_STRESS").unwrap_or_else(|_| TIMES.to_owned());
        command
            .current_dir(root())
            .args([
                "test",
                "--quiet",
                "--package",
                "kg-core",
                "--test",
                "stress",
            ])
            // With a target, build scripts and macros are compiled without the flags.
            .args(["--target", &self.host, "--"])
            // One test at a time runs on the main thread, and the harness shares nothing.
            .args(["--test-threads=1", "--format=pretty", "--exact"])
            .args(names)
            .env(
                "RUSTFLAGS",
                "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg race",
            )
            // It would win over RUSTFLAGS.
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("CARGO_TARGET_DIR", target().join("race"))
            .env(
                "TSAN_OPTIONS",
                format!("suppressions={} exitcode=66", suppressions.display()),
            )
            .env("AMADEUS_STRESS", times)
            .env_remove("AMADEUS_CONTROL");
        command
    }

    fn proofs(&self) -> Vec<Proof> {
        let prove = |(control, test): (&str, &str)| {
            let by = format!("race {test}");
            let mut proof = Proof::of(control, by)
                .unwrap_or_else(|error| panic!("the list of controls: {error}"));
            let mut command = self.stress(&[test]);
            let output = command.env("AMADEUS_CONTROL", control).output();
            proof.red = output.is_ok_and(|output| is_reported(&output));
            proof
        };
        CONTROLS.into_iter().map(prove).collect()
    }
}

/// Whether the run failed with a race in the file that was broken.
fn is_reported(output: &Output) -> bool {
    let said = [&*output.stdout, &*output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    !output.status.success() && said.split(REPORT).skip(1).any(|race| race.contains(BROKEN))
}

/// The compiler beside the cargo that started us.
pub fn own_rustc() -> Command {
    let cargo = env::var_os("CARGO").map(PathBuf::from);
    Command::new(cargo.map_or_else(|| "rustc".into(), |cargo| cargo.with_file_name("rustc")))
}

/// A program of another toolchain than the one that started us.
pub fn rustup(toolchain: &str, program: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", toolchain, program])
        // Ours, which was set for us by the cargo that started us.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_suppression_says_why() {
        let list = fs::read_to_string(root().join("xtask/race.supp")).expect("the list exists");
        let mut reason = false;
        let mut suppressions = 0;
        for line in list.lines() {
            if line.starts_with("# ") {
                reason = true;
            } else if line.is_empty() {
                reason = false;
            } else {
                assert!(
                    line.starts_with("race:"),
                    "only races are suppressed: {line}"
                );
                assert!(
                    !line.contains("kg_core"),
                    "our own code is not suppressed: {line}"
                );
                assert!(reason, "{line} has no reason above it");
                suppressions += 1;
            }
        }
        assert!(suppressions > 0);
    }

    #[test]
    fn every_control_and_its_test_exist() {
        let tests = fs::read_to_string(root().join("kg-core/tests/stress/parts.rs"))
            .expect("the tests exist");
        for (control, test) in CONTROLS {
            let proof = Proof::of(control, String::new()).expect("the list exists");
            assert!(!proof.breaks.is_empty(), "there is no control {control}");
            let name = test.rsplit("::").next().expect("a name");
            assert!(
                tests.contains(&format!("fn {name}()")),
                "there is no {test}"
            );
        }
    }
}
