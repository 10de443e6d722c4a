//! The client half of the binary: every command but `serve` is one or more calls to a running server.
//!
//! `command` is the command line as clap reads it, `run` takes a command to the file that carries it out, `session` makes
//! the calls (deadline, retries, pages), and `out` is the one place that writes to standard output. People get tables;
//! programs get the reply itself as JSON or YAML, with the names of the `.proto` files. `failure` says what went wrong,
//! where and what to do, and owns the exit codes.

mod admin;
mod args;
mod audit;
mod bench;
mod command;
mod credentials;
mod documents;
mod entities;
mod entity_ref;
mod events;
#[cfg(test)]
mod exchange_server;
mod export;
mod failure;
mod first_admin;
mod grants;
mod import;
mod keys;
mod leases;
mod literal;
mod login;
mod misfit;
mod out;
mod overview;
mod page;
mod password;
mod patterns;
mod pictures;
mod progress;
mod queries;
mod relations;
mod render;
mod run;
mod services;
mod session;
mod signing;
mod table;
mod users;
mod watch;
mod way;

pub use args::ClientArgs;
pub use command::ClientCommand;
pub use failure::EXIT_CODES;
pub use run::run;
