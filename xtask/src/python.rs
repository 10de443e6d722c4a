//! The end-to-end tests: `server/tests/python`, run with grpcio from PyPI against the real binary.
//!
//! They live in Python on purpose: a client that shares no code with the server and learns its messages by reflection.
//! The packages go into a virtual environment below the target folder. Without Python, or without a way to PyPI, the tests
//! are skipped and the reason is printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::E2e;
use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, root, server_binary, target};

/// Builds the binary if none is given, prepares Python, runs the tests.
pub fn run(wanted: &E2e) -> Tally {
    let binary = match &wanted.binary {
        Some(binary) => binary.clone(),
        None => {
            let profile = if wanted.release { "release" } else { "debug" };
            let mut build = cargo();
            build.args(["build", "--package", "amadeus"]);
            if wanted.release {
                build.arg("--release");
            }
            let built = step::check("Build the server", &mut build);
            if built.failed > 0 {
                return built;
            }
            server_binary(profile)
        }
    };
    let title = "Python client against the server";
    let python = match environment() {
        Ok(python) => python,
        Err(reason) => {
            return step::timed(title, || {
                println!("skipped: {reason}");
                Tally::of_skipped()
            });
        }
    };
    let mut command = Command::new(python);
    command
        .current_dir(root())
        .arg("-u")
        .arg(tests().join("run.py"))
        .arg("--binary")
        .arg(binary);
    if wanted.long {
        command.arg("--long");
    }
    if wanted.release {
        command.arg("--timed");
    }
    step::tests(title, command.args(&wanted.names))
}

fn tests() -> PathBuf {
    root().join("server/tests/python")
}

/// A Python interpreter that can import the packages of `requirements.txt`, or why there is none.
fn environment() -> Result<PathBuf, String> {
    let folder = target().join("python");
    let interpreter = folder.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    if ready(&interpreter) {
        return Ok(interpreter);
    }
    println!("\n== Python packages into {}", folder.display());
    let system = if cfg!(windows) { "python" } else { "python3" };
    if !quietly(Command::new(system).arg("--version")) {
        return Err(format!("there is no `{system}` on the path"));
    }
    if !step::succeeds(Command::new(system).args(["-m", "venv"]).arg(&folder)) {
        return Err(format!(
            "`{system} -m venv` failed (on Debian and Ubuntu it is the package python3-venv)"
        ));
    }
    let install = step::succeeds(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(tests().join("requirements.txt")),
    );
    if install && ready(&interpreter) {
        Ok(interpreter)
    } else {
        Err("pip could not install grpcio and grpcio-reflection from PyPI".to_owned())
    }
}

fn ready(interpreter: &Path) -> bool {
    quietly(
        Command::new(interpreter)
            .args(["-c", "import grpc, grpc_reflection.v1alpha.reflection_pb2"]),
    )
}

fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
