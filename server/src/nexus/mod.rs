//! Nexus: runs that are carried out.

pub mod failure;
pub mod pool;
pub mod reflection;
pub mod rows;
pub mod runs;
pub mod step;
pub mod steps;

pub use runs::Runs;
