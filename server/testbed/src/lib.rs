//! Servers that tests need beside ours: PostgreSQL and Redis, private to one test program, on free ports, gone with it.
//!
//! `cargo xtask test` installs what is missing where it may. A test that finds nothing says so and is skipped.

mod daemon;
mod postgres;
mod proxy;
mod redis;
mod user;

pub use daemon::Signal;
pub use postgres::Postgres;
pub use proxy::{Mode, Proxy};
pub use redis::Redis;

use std::net::{Ipv4Addr, TcpListener};

/// A program that a test needs is not there, or does not work.
#[derive(Debug)]
pub struct Missing(pub String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; `cargo xtask test` installs what it may", self.0)
    }
}

impl std::error::Error for Missing {}

/// The Debian packages of what is not here.
#[must_use]
pub fn missing_packages() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if postgres::binaries().is_none() {
        missing.push("postgresql");
    }
    if redis::binary().is_none() {
        missing.push("redis-server");
    }
    missing
}

/// A port that nobody listens on.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let at = listener.and_then(|listener| listener.local_addr());
    at.map(|at| at.port())
        .unwrap_or_else(|error| panic!("no port is free: {error}"))
}

/// Where a program is, if it is on the path.
fn on_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let sbin = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
