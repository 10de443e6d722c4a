//! `cargo loom`: the models of what threads share, and for each the controls that show that it can fail.
//!
//! It builds `loom-tests` alone, so that tokio is not in that build, with `--cfg loom`, in a target folder of its own
//! (`loom/` below the usual one), and runs each file of models. It counts what the source declares and fails if fewer ran:
//! a model that is compiled out, filtered or lost must not pass for one that holds.
//!
//! The flag goes through the environment, because an environment `RUSTFLAGS` silently wins over flags in cargo's
//! configuration; flags that are already there are kept.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::process::Command;

use crate::proof::Proof;
use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, root, target};

/// A test, by file and name: `queue`, `models::take_all_loses_and_repeats_nothing`.
type Tests = BTreeMap<(String, String), bool>;

/// Runs every model and every control, prints what became of each, and returns the sum.
pub fn run() -> Tally {
    step::timed("Models (loom)", || match declared() {
        Ok(declared) if !declared.is_empty() => judge(declared),
        Ok(_) => {
            println!("there are no models in loom-tests/tests");
            Tally::of_one(false)
        }
        Err(error) => {
            println!("the models could not be listed: {error}");
            Tally::of_one(false)
        }
    })
}

/// Runs the controls alone: of each what it breaks, which model has to notice, and whether it did.
pub fn proofs() -> Vec<Proof> {
    let mut proofs = Vec::new();
    for (file, source) in sources().unwrap_or_default() {
        let passed = passed(&file, "controls::");
        for (name, control, model) in controls_in(&source) {
            let Ok(proof) = Proof::of(&control, format!("loom {file}::{model}")) else {
                continue;
            };
            let red = passed.contains(&format!("controls::{name}"));
            proofs.push(Proof { red, ..proof });
        }
    }
    proofs
}

/// A file's controls: the test's name, what it switches on, and the model that has to fail.
fn controls_in(source: &str) -> Vec<(String, String, String)> {
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let after = |text: &str, mark: &str| Some(word(text.split_once(mark)?.1));
    // A model that several controls share has its name in a constant.
    let constants: Vec<(String, String)> = source
        .split("const ")
        .skip(1)
        .filter_map(|rest| Some((word(rest), after(rest, ": &str = \"models::")?)))
        .collect();
    let controls = source
        .split_once("\nmod controls {")
        .map_or("", |(_, controls)| controls);
    let control = |test: &str| {
        let model = after(test, "\"models::").or_else(|| {
            let shared = constants
                .iter()
                .find(|(constant, _)| test.contains(&**constant));
            shared.map(|(_, model)| model.clone())
        });
        Some((after(test, "fn ")?, after(test, "Control::")?, model?))
    };
    controls
        .split("#[test]")
        .skip(1)
        .filter_map(control)
        .collect()
}

fn judge(mut tests: Tests) -> Tally {
    if !step::succeeds(cargo_test().args(["--quiet", "--no-run"])) {
        println!("the models do not compile");
        return Tally::of_one(false);
    }
    let mut files: Vec<String> = tests.keys().map(|(file, _)| file.clone()).collect();
    files.dedup();
    for file in files {
        for name in passed(&file, "") {
            tests.insert((file.clone(), name), true);
        }
    }
    report(&tests);
    let passed = tests.values().filter(|passed| **passed).count();
    Tally {
        passed: passed as u64,
        failed: (tests.len() - passed) as u64,
        ..Tally::default()
    }
}

/// The tests that the source declares, each not yet passed.
fn declared() -> io::Result<Tests> {
    let mut tests = Tests::new();
    for (file, source) in sources()? {
        for name in declared_in(&source) {
            tests.insert((file.clone(), name), false);
        }
    }
    Ok(tests)
}

/// The files of models, each with its text.
fn sources() -> io::Result<BTreeMap<String, String>> {
    let mut sources = BTreeMap::new();
    for file in fs::read_dir(root().join("loom-tests/tests"))? {
        let path = file?.path();
        let Some(file) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        if path.extension().is_some_and(|extension| extension == "rs") {
            sources.insert(file.to_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(sources)
}

/// The names of a file's tests, each with the module that it stands in.
fn declared_in(source: &str) -> Vec<String> {
    let (mut module, mut is_test, mut names) = (None, false, Vec::new());
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("mod ") {
            module = name.strip_suffix(" {");
        }
        let line = line.trim();
        if line == "#[test]" {
            is_test = true;
        } else if let Some((name, _)) = line
            .strip_prefix("fn ")
            .and_then(|rest| rest.split_once('('))
            && is_test
        {
            is_test = false;
            names
                .push(module.map_or_else(|| name.to_owned(), |module| format!("{module}::{name}")));
        }
    }
    names
}

/// Runs one file's tests whose names begin so and returns those that passed; shows everything that it said if not all did.
fn passed(file: &str, filter: &str) -> Vec<String> {
    let output = match cargo_test()
        .args(["--quiet", "--test", file, "--", "--format=pretty", filter])
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            println!("{file} could not be run: {error}");
            return Vec::new();
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    said.lines()
        .filter_map(passed_line)
        .map(str::to_owned)
        .collect()
}

/// `test models::no_ring_is_lost ... ok`.
fn passed_line(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... ok")
}

fn report(tests: &Tests) {
    println!();
    for ((file, name), passed) in tests {
        let (kind, name) = name.split_once("::").unwrap_or(("checks", name));
        let outcome = match (kind, passed) {
            ("models", true) => "holds",
            ("controls", true) => "caught",
            (_, true) => "passed",
            ("controls", false) => "NOT CAUGHT",
            (_, false) => "FAILED",
        };
        let kind = kind.strip_suffix('s').unwrap_or(kind);
        println!(
            "{file:<8} {kind:<8} {outcome:<11} {}",
            name.replace('_', " ")
        );
    }
    println!();
}

fn cargo_test() -> Command {
    let flags = env::var("RUSTFLAGS").unwrap_or_default();
    let mut command = cargo();
    command
        .args(["test", "--package", "loom-tests"])
        .env("RUSTFLAGS", format!("{flags} --cfg loom").trim())
        .env("CARGO_TARGET_DIR", target().join("loom"))
        // It would win over RUSTFLAGS.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // It would break every model.
        .env_remove("AMADEUS_CONTROL");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_of_a_file_is_found_and_nothing_else() {
        let source = "#![cfg(loom)]\nmod models {\n    #[test]\n    fn holds() {\n    }\n    fn other() {}\n}\n\
                      mod controls {\n    #[test]\n    fn caught() {}\n}\n";
        assert_eq!(declared_in(source), ["models::holds", "controls::caught"]);
        assert!(declared_in("fn main() {}").is_empty());
    }

    #[test]
    fn every_control_of_every_file_is_found_with_its_model() {
        for (file, source) in sources().expect("the models are readable") {
            let declared = declared_in(&source);
            let controls = declared
                .iter()
                .filter(|name| name.starts_with("controls::"));
            let found = controls_in(&source);
            assert_eq!(found.len(), controls.count(), "{file}");
            for (name, _, model) in found {
                assert!(
                    declared.contains(&format!("controls::{name}")),
                    "{file}: {name}"
                );
                assert!(
                    declared.contains(&format!("models::{model}")),
                    "{file}: {model}"
                );
            }
        }
    }

    #[test]
    fn only_a_test_that_passed_has_passed() {
        assert_eq!(passed_line("test models::a ... ok"), Some("models::a"));
        assert_eq!(passed_line("test models::a ... FAILED"), None);
        assert_eq!(passed_line("running 3 tests"), None);
    }
}
