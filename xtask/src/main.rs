//! The index of everything that a developer runs: `cargo xtask --help` lists it.
//!
//! Each command is a module. A command that judges something prints headings and times while it works, ends with one line
//! `N passed, N failed`, and exits with 1 if anything failed. Nothing has to be installed beforehand except Rust and a C
//! compiler; what a command can use but does not find (Python for the client tests) is skipped with a reason, in the open.

#![expect(
    clippy::print_stdout,
    reason = "a developer's command talks to a terminal"
)]

mod bench;
mod deny;
mod faults;
mod fuzz;
mod long;
mod loom;
mod proof;
mod prove;
mod python;
mod race;
mod step;
mod tally;
mod test;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Everything that a developer of Amadeus runs"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, dependencies, lints, unit, integration and doc tests, models, seeded bugs of the core, and the Python client against the real server
    Test,
    /// The models of what threads share, each with the controls that it has to catch
    Loom(Controls),
    /// The stress tests of what threads share under ThreadSanitizer, and the controls that it has to catch
    Race(Controls),
    /// Every seeded bug and every control of the models, switched on one at a time: what caught it
    Prove(prove::Prove),
    /// The real server killed at every failpoint while clients write; nothing acknowledged may be lost
    Chaos(faults::Chaos),
    /// Concurrent clients of the real server, killed and cut off: what they were told must have one order
    Linearize(long::Linearize),
    /// Ten thousand watchers at once: each gets every change once, and what one costs
    Crowd(long::Crowd),
    /// A million events and three groups, while the server is killed: none is lost, none comes twice, and the order stays
    Events(long::Events),
    /// The real server stopped under its clients for longer than every timeout, and then going on
    Stop(long::Stop),
    /// Kill servers in the middle of their runs, and look for each effect by its key
    Kill(long::Kill),
    /// Three servers on one PostgreSQL, which all fail at random, as do Redis and the ways between them, while clients write
    Siege(long::Siege),
    /// Every fuzz target for some seconds: what has to hold for whatever comes from outside
    Fuzz(fuzz::Fuzz),
    /// What the tree of dependencies may hold, and what is known against any of it
    Deny,
    /// The benches, each beside its rivals: ratios, what they are held to, and docs/BENCHMARKS.md
    Bench(bench::Bench),
    /// The end-to-end tests alone: the real binary, driven over gRPC from Python
    E2e(E2e),
}

/// How much of the proof to run.
#[derive(Args)]
pub struct Controls {
    /// Run the seeded bugs alone, and tell of each what it breaks and whether it was noticed
    #[arg(long)]
    controls: bool,
}

/// What to run end to end, and against which binary.
#[derive(Args)]
pub struct E2e {
    /// Run the sizes and repetitions that take many minutes
    #[arg(long)]
    long: bool,
    /// Build and drive the release binary; time limits are only checked there
    #[arg(long)]
    release: bool,
    /// Drive this binary and build nothing
    #[arg(long, value_name = "PATH", conflicts_with = "release")]
    binary: Option<PathBuf>,
    /// Tests to run, each a file, a class or a test (`test_watch`, `test_watch.Watching.test_a_watcher...`); all if none
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

fn main() -> ExitCode {
    let tally = match Cli::parse().command {
        Command::Test => test::run(),
        Command::Loom(Controls { controls: true }) => proof::report(&loom::proofs()),
        Command::Loom(_) => loom::run(),
        Command::Race(Controls { controls: true }) => proof::report(&race::proofs()),
        Command::Race(_) => race::run(),
        Command::Prove(wanted) => prove::run(&wanted),
        Command::Chaos(wanted) => faults::chaos(&wanted),
        Command::Linearize(wanted) => long::linearize(&wanted),
        Command::Crowd(wanted) => long::crowd(&wanted),
        Command::Events(wanted) => long::events(&wanted),
        Command::Stop(wanted) => long::stop(&wanted),
        Command::Kill(wanted) => long::kill(&wanted),
        Command::Siege(wanted) => long::siege(&wanted),
        Command::Fuzz(wanted) => fuzz::run(&wanted),
        Command::Deny => deny::run(),
        Command::Bench(wanted) => bench::run(&wanted),
        Command::E2e(wanted) => python::run(&wanted),
    };
    println!();
    for name in &tally.failures {
        println!("failed: {name}");
    }
    println!("{tally}");
    if tally.failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
