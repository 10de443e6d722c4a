//! The wire: the services of package `amadeus.v1` over one graph.
//!
//! ```text
//! request -> from_proto -> graph (a snapshot for a read, a transaction for a write) -> to_proto -> reply
//!                 \__________________ whatever goes wrong: status __________________/
//! ```
//!
//! To add an RPC: declare it in `proto/`, parse its request in `from_proto`, answer it in the file of its service.

mod admin;
pub mod auth;
pub mod context;
pub mod freshness;
pub mod from_proto;
mod graph;
mod liveness;
mod nexus;
pub mod pages;
mod query;
mod seen;
mod shortcut;
pub mod status;
pub mod to_proto;
pub mod users;
mod views;
mod write;

pub use admin::Admin;
pub use auth::{Parts as AuthParts, Service as AuthRpc};
pub use context::{Context, LogTail, Store};
pub use graph::Service as GraphRpc;
pub use liveness::Service as LivenessRpc;
pub use nexus::Service as NexusRpc;
pub use query::Service as QueryRpc;
pub use seen::Seen;
pub use shortcut::Shortcut;
pub use users::{Parts as UserParts, Service as UserRpc};
