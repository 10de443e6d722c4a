//! TLS of the server, over real sockets: who is served, who is not, what changes while it runs, and who signs in over it.

#[path = "../faults/process.rs"]
#[expect(dead_code, reason = "what dies on cue is told of in the other tests")]
mod process;

mod authority;
mod cli;
mod clients;
mod door;
mod registration;
mod reload;
mod serving;
mod sessions;
