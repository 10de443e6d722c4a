//! Nexus: runs that are carried out.

pub mod rows;
pub mod runs;
pub mod step;
pub mod steps;

pub use runs::Runs;
