//! `cargo xtask test`: everything that has to hold before a change lands, in one command.
//!
//! Lints and tests each compile the workspace once (clippy needs only metadata, so the two cannot share); the Python tests
//! drive the very binary that the tests were built with, because `--bins --tests` selects the same features as `test` does.

use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, server_binary};
use crate::{E2e, deny, loom, prove, python};
use std::process::Command;

/// Installs the servers that tests need, where they are missing and this may be done. Tests that find none are skipped, and
/// say so.
fn install() {
    let missing = testbed::missing_packages();
    if missing.is_empty() {
        return;
    }
    let list = missing.join(" ");
    println!("\n== Install {list}");
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        step::succeeds(&mut apt)
    };
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(&missing);
    // The lists of packages may be older than the packages.
    let installed = apt(&install) || apt(&["update", "--quiet"]) && apt(&install);
    if !installed {
        println!(
            "not installed: the tests that need them are skipped. As root: apt-get install {list}"
        );
    }
}

/// Runs every step, also after one has failed, and returns the sum.
pub fn run() -> Tally {
    let mut total = Tally::default();
    install();
    total += step::check("Format", cargo().args(["fmt", "--all", "--check"]));
    total += deny::run();
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
    let stands = built.failed == 0;
    total += built;
    if stands {
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
