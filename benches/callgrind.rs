//! Counting instructions: a program runs itself once more under valgrind's callgrind.
//!
//! Building a large graph under callgrind would take minutes, so it starts with its instruments off, and the program asks
//! `callgrind_control`, which comes with it, to switch them on once the graph stands.

use std::env;
use std::fs;
use std::process::{Command, Stdio, id};

/// What the other process is called with; a size follows.
const COUNT: &str = "--count-instructions";

/// The size to count at, if this is the other process.
pub fn size_to_count(mut args: impl Iterator<Item = String>) -> Option<u32> {
    args.find(|arg| arg == COUNT)?;
    args.next()?.parse().ok()
}

/// How many instructions this program spends in the function `inside` when it is asked to count at `size`.
pub fn instructions(size: u32, inside: &str) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let file = env::temp_dir().join(format!("callgrind-{}-{size}", id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--instr-atstart=no"])
        .arg(format!("--toggle-collect=*{inside}*"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args([COUNT, &size.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind could not be started ({error}): install it"))?;
    let counts = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    let total = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.filter(|count| *count > 0).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!(
            "callgrind counted nothing: {}",
            said.lines().last().unwrap_or_default()
        )
    })
}

/// In the other process: from here on instructions are counted.
pub fn switch_on() {
    let asked = Command::new("callgrind_control")
        .args(["-i", "on", &id().to_string()])
        .stdout(Stdio::null())
        .status();
    if !asked.is_ok_and(|status| status.success()) {
        eprintln!("callgrind_control could not switch the counting on");
    }
}
