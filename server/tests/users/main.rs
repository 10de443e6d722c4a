//! Users: one suite that their store is held to in memory, in SQLite and in PostgreSQL.

mod admins;
mod conformance;
mod events;
mod file;
mod keys;
mod names;
mod sessions;
mod subject;
