//! The bench programs: where cargo put them, and running one.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use benches::figure::Line;
use serde::Deserialize;

use super::told;
use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, root, server_binary};

/// One bench target, built.
pub struct Program {
    pub name: String,
    path: PathBuf,
}

/// What cargo says of each thing that it built, as far as it matters here.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds the programs whose names begin with one of `names`, or all, and the server if one of them needs it.
pub fn build(names: &[String]) -> (Tally, Vec<Program>) {
    let mut programs = Vec::new();
    let mut tally = step::timed("Build the benches", || match built() {
        Ok(all) => {
            programs = all;
            Tally::of_one(true)
        }
        Err(error) => {
            println!("{error}");
            Tally::of_one(false)
        }
    });
    for name in names {
        if !programs.iter().any(|p| p.name.starts_with(name.as_str())) {
            println!("there is no bench whose name begins with `{name}`");
            tally += Tally::of_one(false);
        }
    }
    programs.retain(|p| names.is_empty() || names.iter().any(|n| p.name.starts_with(n.as_str())));
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    if programs.iter().any(Program::needs_server) {
        tally += step::check(
            "Build the server",
            cargo().args(["build", "--release", "--package", "amadeus"]),
        );
    }
    (tally, programs)
}

fn built() -> Result<Vec<Program>, String> {
    let output = cargo()
        .args(["bench", "--package", "benches", "--benches", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err("the benches do not compile".to_owned());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().filter_map(program).collect())
}

/// The program of a line of cargo's, if the line is about one.
fn program(line: &str) -> Option<Program> {
    let artifact: Artifact = serde_json::from_str(line).ok()?;
    let is_bench = artifact.target.kind.iter().any(|kind| kind == "bench");
    is_bench.then_some(Program {
        name: artifact.target.name,
        path: artifact.executable?,
    })
}

impl Program {
    fn needs_server(&self) -> bool {
        self.name.starts_with("wire")
    }

    /// Runs it: whether it ended well, and what it told.
    pub fn run(&self, rounds: u32) -> (bool, Vec<Line>) {
        let spawned = Command::new(&self.path)
            .args(["--rounds", &rounds.to_string()])
            .env("AMADEUS_BIN", server_binary("release"))
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                println!("{} could not be started: {error}", self.path.display());
                return (false, Vec::new());
            }
        };
        let output = child.stdout.take().map(BufReader::new);
        let lines = told(
            output
                .into_iter()
                .flat_map(|o| o.lines().map_while(Result::ok)),
        );
        (child.wait().is_ok_and(|status| status.success()), lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_is_found_among_what_cargo_built() {
        let line = |kind: &str, executable: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"target\":{{\"kind\":[\"{kind}\"],\"name\":\"hub\"}},\"executable\":{executable}}}"
            )
        };
        assert_eq!(
            program(&line("bench", "\"/t/hub\"")).map(|p| p.name),
            Some("hub".to_owned())
        );
        assert!(program(&line("lib", "null")).is_none());
        assert!(program("{\"reason\":\"build-finished\"}").is_none());
    }
}
