//! Builds with `--cfg faults`: failpoints and seeded bugs, in a target folder of their own (`faults/` below the usual one), so
//! that no such binary is ever taken for a real one.

use std::env;
use std::process::Command;

use clap::Args;

use crate::step;
use crate::tally::Tally;
use crate::workspace::{cargo, target};

/// How long to torture the server, and where.
#[derive(Args)]
pub struct Chaos {
    /// Kills, over all failpoints in turn
    #[arg(long, default_value_t = 1_000)]
    kills: u32,
    /// Only this failpoint, such as `log.committed`
    #[arg(long, value_name = "NAME")]
    point: Option<String>,
    /// Repeats the choices of the run that printed it
    #[arg(long)]
    seed: Option<u64>,
}

/// Kills the real server at its failpoints, and proves what it holds after every start.
pub fn chaos(wanted: &Chaos) -> Tally {
    let mut command = cargo_test("amadeus");
    command
        .args(["--test", "faults", "--", "chaos::", "failed_sync::"])
        .args(["--nocapture", "--test-threads=1"])
        .env("AMADEUS_CHAOS_KILLS", wanted.kills.to_string());
    if let Some(point) = &wanted.point {
        command.env("AMADEUS_CHAOS_POINT", point);
    }
    if let Some(seed) = wanted.seed {
        command.env("AMADEUS_TEST_SEED", seed.to_string());
    }
    step::tests(
        "Kills, panics and bad disks at every failpoint",
        &mut command,
    )
}

/// `cargo test` of a package with faults compiled in, and none switched on.
pub fn cargo_test(package: &str) -> Command {
    let flags = env::var("RUSTFLAGS").unwrap_or_default();
    let mut command = cargo();
    command
        .args(["test", "--quiet", "--package", package])
        .env("RUSTFLAGS", format!("{flags} --cfg faults").trim())
        .env("CARGO_TARGET_DIR", target().join("faults"))
        // It would win over RUSTFLAGS.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("AMADEUS_SEEDED_BUG")
        .env_remove("AMADEUS_FAILPOINTS");
    command
}
