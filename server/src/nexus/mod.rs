//! Nexus: runs that are carried out.

mod announcer;
pub mod failure;
pub mod fork;
pub mod owner;
pub mod places;
pub mod pool;
pub mod reflection;
pub mod replay;
pub mod rows;
pub mod runs;
pub mod step;
pub mod steps;

pub use runs::Runs;
