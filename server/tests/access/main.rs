//! Who may do what, seen from outside: the real server, which asks everybody to sign in.

mod abuse;
mod answers;
mod audit;
#[path = "../rpc/bytes.rs"]
mod bytes;
mod flow;
mod keys;
mod matrix;
#[path = "../faults/process.rs"]
#[expect(dead_code, reason = "not all that a process can do is needed here")]
mod process;
mod raw;
mod runs;
mod secrets;
mod server;
mod streams;
