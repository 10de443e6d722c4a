//! Events on the real stores, and over the wire with the real server.

mod consumer;
mod groups;
mod log;
mod place;
#[path = "../faults/process.rs"]
#[expect(dead_code, reason = "not all that a process can do is needed here")]
mod process;
mod servers;
#[path = "../storage/small_disk.rs"]
mod small_disk;
mod wire;
