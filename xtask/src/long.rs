//! The long forms of tests that `cargo xtask test` runs for a moment: the real server under clients whose answers must have
//! one order, under a crowd of watchers, under very many events, and standing still.

use clap::Args;

use crate::step;
use crate::tally::Tally;
use crate::workspace::cargo;

/// How many histories to decide.
#[derive(Args)]
pub struct Linearize {
    /// Histories, one in five with a kill in the middle
    #[arg(long, default_value_t = 200)]
    histories: u32,
    /// Repeats the choices of the run that printed it
    #[arg(long)]
    seed: Option<u64>,
    /// Build and drive the release binary
    #[arg(long)]
    release: bool,
}

/// How many watch.
#[derive(Args)]
pub struct Crowd {
    /// Watchers at once; the server allows 20,000
    #[arg(long, default_value_t = 10_000)]
    watchers: u32,
    /// Build and drive the release binary
    #[arg(long)]
    release: bool,
}

/// How much fails.
#[derive(Args)]
pub struct Siege {
    /// Faults, one after the other
    #[arg(long, default_value_t = 100)]
    faults: u32,
    /// Repeats the choices of the run that printed it
    #[arg(long)]
    seed: Option<u64>,
}

/// How many are emitted.
#[derive(Args)]
pub struct Events {
    /// Events, consumed by three groups, with kills of the server between them
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// Build and drive the release binary
    #[arg(long)]
    release: bool,
}

/// How many runs are killed.
#[derive(Args)]
pub struct Kill {
    /// Runs of patterns
    #[arg(long, default_value_t = 200)]
    runs: u32,
    /// Repeats the choices of the run that printed it
    #[arg(long)]
    seed: Option<u64>,
}

/// How long it stands.
#[derive(Args)]
pub struct Stop {
    /// Seconds; the longest keepalive is 30, and 20 more until it gives up
    #[arg(long, default_value_t = 90)]
    seconds: u32,
}

/// Records histories of several clients, and looks for an order that explains each.
pub fn linearize(wanted: &Linearize) -> Tally {
    let settings = seeded("AMADEUS_LINEAR_HISTORIES", wanted.histories, wanted.seed);
    let title = "Histories of concurrent clients, with kills and lost replies";
    run(title, "faults", "linear::", wanted.release, &settings)
}

/// Lets very many watch.
pub fn crowd(wanted: &Crowd) -> Tally {
    let settings = [("AMADEUS_CROWD_WATCHERS", wanted.watchers.to_string())];
    let title = "A crowd of watchers";
    run(title, "faults", "crowd::", wanted.release, &settings)
}

/// Emits very many events while the server is killed.
pub fn events(wanted: &Events) -> Tally {
    let settings = [("AMADEUS_EVENTS", wanted.events.to_string())];
    let title = "Very many events, three groups, and a server that is killed";
    run(title, "events", "wire::no_group", wanted.release, &settings)
}

/// Kills servers in the middle of their runs.
pub fn kill(wanted: &Kill) -> Tally {
    let settings = seeded("AMADEUS_KILLED_RUNS", wanted.runs, wanted.seed);
    let title = "Runs of patterns, with kills of their servers";
    run(title, "nexus", "killed::", false, &settings)
}

/// Stops a server under its clients.
pub fn stop(wanted: &Stop) -> Tally {
    let settings = [("AMADEUS_STOP_SECONDS", wanted.seconds.to_string())];
    let title = "A server that stands still";
    run(title, "faults", "stopped::", false, &settings)
}

/// Lets servers, database, Redis and the ways between them fail while clients write.
pub fn siege(wanted: &Siege) -> Tally {
    let settings = seeded("AMADEUS_SIEGE_FAULTS", wanted.faults, wanted.seed);
    let title = "Three servers, a database and Redis, failing at random";
    run(title, "cluster", "siege::", false, &settings)
}

/// How many, and the choices of an earlier run, if they are to be repeated.
fn seeded(name: &'static str, count: u32, seed: Option<u64>) -> Vec<(&'static str, String)> {
    let seed = seed.map(|seed| ("AMADEUS_TEST_SEED", seed.to_string()));
    std::iter::once((name, count.to_string()))
        .chain(seed)
        .collect()
}

fn run(
    title: &str,
    target: &str,
    tests: &str,
    release: bool,
    settings: &[(&str, String)],
) -> Tally {
    let mut command = cargo();
    command.args(["test", "--package", "amadeus", "--test", target]);
    if release {
        command.arg("--release");
    }
    command.args(["--", tests, "--nocapture"]);
    for (name, value) in settings {
        command.env(name, value);
    }
    step::tests(title, &mut command)
}
