//! What the tree of dependencies may hold, by `deny.toml`: no two providers of cryptography, one version of each crate, licences
//! that we can keep to, one registry. And whether something is known against any of it, where the database can be reached.
//!
//! cargo-deny is installed below the target folder where it is missing, without optimizations: to build it takes a minute or two,
//! and its work takes seconds either way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, root, target};

/// What cargo-deny says where it cannot look.
const OUT_OF_REACH: &str = "failed to fetch advisory database";

/// Checks everything that can be checked.
pub fn run() -> Tally {
    let Some(deny) = cargo_deny() else {
        return Tally::of_one(false);
    };
    let mut rules = cargo_deny_check(&deny);
    let mut tally = step::check("Dependencies", rules.args(["bans", "licenses", "sources"]));
    tally += step::timed("Advisories", || advisories(&deny));
    tally
}

fn cargo_deny_check(deny: &Path) -> Command {
    let mut command = Command::new(deny);
    command
        .current_dir(root())
        .args(["--locked", "check", "--hide-inclusion-graph"]);
    command
}

fn advisories(deny: &Path) -> Tally {
    let mut command = cargo_deny_check(deny);
    command.arg("advisories").stdin(Stdio::null());
    let answer = match command.output() {
        Ok(answer) => answer,
        Err(error) => {
            println!("{} could not be started: {error}", deny.display());
            return Tally::of_one(false);
        }
    };
    let said = String::from_utf8_lossy(&answer.stderr);
    if answer.status.success() {
        return Tally::of_one(true);
    }
    if said.contains(OUT_OF_REACH) {
        println!("skipped: the database of advisories at github.com cannot be reached");
        return Tally::of_skipped();
    }
    println!("{said}");
    Tally::of_one(false)
}

/// Where cargo-deny is; it is installed where it is nowhere.
fn cargo_deny() -> Option<PathBuf> {
    let tools = target().join("tools");
    let answers = |program: &PathBuf| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|answer| answer.status.success())
    };
    let places = [PathBuf::from("cargo-deny"), tools.join("bin/cargo-deny")];
    if let Some(found) = places.iter().find(|place| answers(place)) {
        return Some(found.clone());
    }
    let mut install = cargo();
    install
        .args([
            "install",
            "cargo-deny",
            "--version",
            "0.20.2",
            "--locked",
            "--debug",
            "--root",
        ])
        .arg(&tools)
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    let installed = step::check("Install cargo-deny", &mut install).failed == 0;
    installed.then(|| places[1].clone())
}
