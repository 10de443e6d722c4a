//! The service shell around `kg-core`: IO and policy, thin.
//!
//! Everything that decides is in `kg-core`; here bytes come in and go out, a store is opened, a task commits, and signals end it.

pub mod access;
pub mod app;
pub mod auth;
pub mod cli;
pub mod committer;
pub mod config;
pub mod connection;
pub mod events;
pub mod health;
pub mod hints;
pub mod http;
pub mod layer;
pub mod liveness;
pub mod load;
pub mod methods;
pub mod metrics;
pub mod nexus;
pub mod picture;
pub mod rpc;
pub mod shutdown;
pub mod standing;
pub mod storage;
pub mod store;
pub mod tls;
pub mod users;
