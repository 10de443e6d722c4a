//! Users: one suite that their store is held to in memory, in SQLite and in PostgreSQL; their service, and the audit log.

mod admins;
mod audit;
mod conformance;
mod events;
mod file;
mod keys;
mod names;
mod server;
mod service;
mod sessions;
mod subject;
