//! What tests need, here and in the crates above: a naive graph to compare with, random transactions and graphs, the suite
//! that holds a log to its trait, and a log that fails on cue. Behind the feature `testing`.

mod answers;
pub mod compare;
pub mod conformance;
mod faulty;
pub mod generate;
pub mod histories;
pub mod nexus;
pub mod oracle;
mod views;

pub use faulty::{Fault, FaultyLog};
