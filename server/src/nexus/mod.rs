//! Nexus: runs that are carried out.

pub mod failure;
pub mod fork;
pub mod pool;
pub mod reflection;
pub mod replay;
pub mod runs;
pub mod step;
pub mod steps;

pub use runs::Runs;
