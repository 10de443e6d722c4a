//! `cargo xtask fuzz 60`: each fuzz target for so many seconds, from the seeds in `fuzz/corpus` and from what earlier runs found.
//!
//! libFuzzer and its sanitizer need flags that stable compilers refuse: a nightly toolchain is used if there is one, else the
//! project's own with `RUSTC_BOOTSTRAP=1`; the first line says which. cargo-fuzz, which knows the flags, is installed below the
//! target folder where it is missing. New inputs stay in the target folder of `fuzz/`, and the next run goes on from them. What
//! breaks a law is kept there too, and shown again without any of this by `cargo run -p fuzz-laws`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::race::{own_rustc, rustup};
use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, root, target};

/// Lines of libFuzzer's own report that are shown of a finding.
const SHOWN_LINES: usize = 40;

/// Which targets, and for how long.
#[derive(Args)]
pub struct Fuzz {
    /// Seconds for each target
    #[arg(default_value_t = 60)]
    seconds: u64,
    /// Targets; all if none
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// Builds the targets and runs each; a finding is a failure.
pub fn run(wanted: &Fuzz) -> Tally {
    let targets = match known(&wanted.targets) {
        Ok(targets) => targets,
        Err(error) => {
            println!("{error}");
            return Tally::of_one(false);
        }
    };
    let Some(fuzzer) = Fuzzer::find() else {
        return Tally::of_one(false);
    };
    println!("libFuzzer of {}", fuzzer.name());
    let mut tally = step::check("Build of the fuzz targets", &mut fuzzer.build());
    if tally.failed == 0 {
        for target in targets {
            tally += step::timed(&format!("Fuzz {target}"), || {
                Tally::of_one(fuzzer.run(&target, wanted.seconds))
            });
        }
    }
    tally
}

/// The targets that are wanted, or all.
fn known(wanted: &[String]) -> Result<Vec<String>, String> {
    let files =
        fs::read_dir(root().join("fuzz/fuzz_targets")).map_err(|error| error.to_string())?;
    let name = |file: fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    let mut all: Vec<String> = files.flatten().filter_map(name).collect();
    all.sort();
    match wanted.iter().find(|target| !all.contains(target)) {
        Some(unknown) => Err(format!("there is no target {unknown}: {}", all.join(", "))),
        None if wanted.is_empty() => Ok(all),
        None => Ok(wanted.to_vec()),
    }
}

/// What fuzzes: a toolchain with the flags, and cargo-fuzz.
struct Fuzzer {
    /// Whether it is nightly, and not the project's own.
    nightly: bool,
    host: String,
    cargo_fuzz: PathBuf,
}

impl Fuzzer {
    fn find() -> Option<Self> {
        let host = |mut rustc: Command| {
            let answer = rustc.current_dir(root()).arg("-vV").output().ok()?;
            let answer = String::from_utf8(answer.stdout).ok()?;
            let line = answer.lines().find_map(|line| line.strip_prefix("host: "));
            line.map(str::to_owned)
        };
        let (nightly, host) = match host(rustup("nightly", "rustc")) {
            Some(host) => (true, host),
            None => (false, host(own_rustc())?),
        };
        Some(Self {
            nightly,
            host,
            cargo_fuzz: cargo_fuzz()?,
        })
    }

    fn name(&self) -> &'static str {
        if self.nightly {
            "nightly"
        } else {
            "the project's own toolchain, with RUSTC_BOOTSTRAP=1"
        }
    }

    fn build(&self) -> Command {
        let mut command = if self.nightly {
            let mut command = rustup("nightly", "env");
            command.arg(&self.cargo_fuzz);
            command
        } else {
            let mut command = Command::new(&self.cargo_fuzz);
            command.env("RUSTC_BOOTSTRAP", "1");
            command
        };
        command
            .current_dir(root().join("fuzz"))
            .args(["fuzz", "build", "--fuzz-dir", ".", "--target-dir"])
            .arg(folder());
        command
    }

    /// Whether a target ran its time and found nothing.
    fn run(&self, target: &str, seconds: u64) -> bool {
        let log = folder().join(format!("{target}.log"));
        match self.fuzz(target, seconds, &log) {
            Ok(held) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                println!("{}", figures(&said));
                if !held {
                    found(target, &said);
                }
                held
            }
            Err(error) => {
                println!("{target} could not be run: {error}");
                false
            }
        }
    }

    fn fuzz(&self, target: &str, seconds: u64, log: &Path) -> io::Result<bool> {
        let seeds = root().join("fuzz/corpus").join(target);
        let bred = folder().join("corpus").join(target);
        let broken = folder().join("broken").join(target);
        fs::create_dir_all(&bred)?;
        fs::create_dir_all(&broken)?;
        let program = folder().join(&self.host).join("release").join(target);
        let mut command = Command::new(program);
        // What is new goes into the first folder.
        command
            .args([&bred, &seeds])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", broken.display()))
            .args(["-timeout=20", "-max_len=4096", "-print_final_stats=1"]);
        let words = root()
            .join("fuzz/dictionaries")
            .join(format!("{target}.dict"));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        let output = File::create(log)?;
        let status = command
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()?;
        Ok(status.success())
    }
}

/// The target folder of `fuzz/`, which is a workspace of its own.
fn folder() -> PathBuf {
    root().join("fuzz/target")
}

/// Where cargo-fuzz is; it is installed where it is nowhere.
fn cargo_fuzz() -> Option<PathBuf> {
    let tools = target().join("tools");
    let answers = |program: &PathBuf| {
        let asked = Command::new(program).args(["fuzz", "--version"]).output();
        asked.is_ok_and(|answer| answer.status.success())
    };
    let places = [PathBuf::from("cargo-fuzz"), tools.join("bin/cargo-fuzz")];
    if let Some(found) = places.iter().find(|place| answers(place)) {
        return Some(found.clone());
    }
    let mut install = cargo();
    install
        .args(["install", "cargo-fuzz", "--locked", "--root"])
        .arg(&tools);
    let installed = step::check("Install cargo-fuzz", &mut install).failed == 0;
    installed.then(|| places[1].clone())
}

/// How much was tried, in libFuzzer's own numbers.
fn figures(said: &str) -> String {
    let figure = |name: &str| {
        let line = said.lines().rev().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    format!(
        "{} executions, {} new inputs, {} MiB at most",
        figure("stat::number_of_executed_units:"),
        figure("stat::new_units_added:"),
        figure("stat::peak_rss_mb:"),
    )
}

/// Tells what was found and how to see it again.
fn found(target: &str, said: &str) {
    let at = said.find("panicked at").or_else(|| said.find("ERROR: "));
    for line in said[at.unwrap_or(0)..].lines().take(SHOWN_LINES) {
        println!("  {line}");
    }
    let file = said
        .lines()
        .find_map(|line| line.split("Test unit written to ").nth(1));
    if let Some(file) = file {
        println!("again: cargo run -p fuzz-laws -- {target} {file}");
        println!("keep it, once it holds: cp {file} fuzz/corpus/{target}/");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_last_that_were_told() {
        let said = "stat::number_of_executed_units: 1\n\
                    stat::number_of_executed_units: 4217\nstat::new_units_added:          12\nstat::peak_rss_mb:      80\n";
        assert_eq!(
            figures(said),
            "4217 executions, 12 new inputs, 80 MiB at most"
        );
    }

    #[test]
    fn every_target_has_seeds_and_is_declared() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("a manifest");
        for target in known(&[]).expect("a folder of targets") {
            assert!(
                manifest.contains(&format!("name = \"{target}\"")),
                "{target}"
            );
            assert!(
                root().join("fuzz/corpus").join(&target).is_dir(),
                "{target}"
            );
        }
        assert!(known(&["nothing".to_owned()]).is_err());
    }
}
