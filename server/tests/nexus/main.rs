//! Runs: where they are kept, how they are carried out, and what becomes of them when something ends in the middle.

#[path = "../rpc/bytes.rs"]
#[allow(dead_code, reason = "the harness calls by it, and no test here")]
mod bytes;
#[path = "../rpc/harness.rs"]
#[allow(dead_code, reason = "of the harness only its graph is used")]
mod harness;
mod killed;
#[path = "../faults/process.rs"]
#[allow(dead_code, reason = "no test here asks for a signal or a failpoint")]
mod process;
#[path = "../faults/random.rs"]
#[allow(dead_code, reason = "no test here branches or shuffles")]
mod random;
mod rows;
mod runner;
mod scripted;
