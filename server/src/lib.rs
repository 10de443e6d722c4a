//! The service shell around `kg-core`: IO and policy, thin.
//!
//! Everything that decides is in `kg-core`; here bytes come in and go out, a store is opened, a task commits, and signals end it.

pub mod picture;
pub mod rpc;
pub mod storage;
