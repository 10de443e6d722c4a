//! The services over a real connection: a server on port 0 over a graph on a memory log.

mod agreement;
mod bad_input;
mod bytes;
mod consistency;
mod harness;
mod import;
mod pages;
mod questions;
mod watch;
mod writes;
