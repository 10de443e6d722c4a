//! `cargo xtask test`: everything that has to hold before a change lands, in one command.
//!
//! Lints and tests each compile the workspace once (clippy needs only metadata, so the two cannot share); the Python tests
//! drive the very binary that the tests were built with, because `--bins --tests` selects the same features as `test` does.

use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, server_binary};
use crate::{E2e, loom, prove, python};

/// Runs every step, also after one has failed, and returns the sum.
pub fn run() -> Tally {
    let mut total = Tally::default();
    total += step::check("Format", cargo().args(["fmt", "--all", "--check"]));
    total += step::check(
        "Lints",
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]),
    );
    let built = step::check(
        "Build",
        cargo().args(["build", "--workspace", "--bins", "--tests"]),
    );
    total += built;
    if built.failed == 0 {
        total += step::tests(
            "Unit, integration and doc tests",
            cargo().args(["test", "--workspace", "--no-fail-fast"]),
        );
        total += loom::run();
        total += prove::run_core();
        total += python::run(&E2e {
            long: false,
            release: false,
            binary: Some(server_binary("debug")),
            names: Vec::new(),
        });
    }
    total
}
