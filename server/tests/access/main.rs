//! Who may do what, seen from outside: the real server, which asks everybody to sign in.

mod answers;
mod flow;
mod matrix;
#[path = "../faults/process.rs"]
mod process;
mod raw;
mod server;
mod streams;
