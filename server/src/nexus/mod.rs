//! Nexus: runs that are carried out.

pub mod step;
pub mod steps;
