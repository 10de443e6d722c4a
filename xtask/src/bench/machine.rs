//! Where and when figures were measured, and beside which versions: a figure without it means little.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::workspace::root;

/// The rivals whose versions are told.
const RIVALS: [&str; 6] = [
    "arc-swap",
    "dashmap",
    "papaya",
    "parking_lot",
    "petgraph",
    "scc",
];

/// A machine on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub date: String,
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub system: String,
    pub compiler: String,
    /// Load average of a minute when the run began; far from 0 means that others were at work.
    pub load: String,
    /// Of the rivals.
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    /// This one, now. What cannot be found out is left empty.
    pub fn here() -> Self {
        let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
        Self {
            date: said("date", &["-u", "+%F"]),
            processor: of("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_gib: of("/proc/meminfo", "MemTotal")
                .trim_end_matches(" kB")
                .parse::<u64>()
                .unwrap_or_default()
                >> 20,
            system: said("uname", &["-s", "-r"]),
            compiler: said("rustc", &["--version"]),
            load: first_word(&fs::read_to_string("/proc/loadavg").unwrap_or_default()),
            versions: RIVALS
                .iter()
                .filter_map(|name| Some((String::from(*name), version(&lock, name)?)))
                .collect(),
        }
    }
}

/// The value behind a key, in one of the kernel's lists.
fn of(file: &str, key: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_prefix(':'))
        .map_or_else(String::new, |value| value.trim().to_owned())
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |o| String::from_utf8_lossy(&o.stdout).trim().to_owned(),
    )
}

fn first_word(text: &str) -> String {
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The version of a package in `Cargo.lock`.
fn version(lock: &str, package: &str) -> Option<String> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(after.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_by_the_whole_name() {
        let lock = "[[package]]\nname = \"scc2\"\nversion = \"9.0.0\"\n\n[[package]]\nname = \"scc\"\nversion = \"3.8.8\"\n";
        assert_eq!(version(lock, "scc").as_deref(), Some("3.8.8"));
        assert_eq!(version(lock, "sc"), None);
    }
}
