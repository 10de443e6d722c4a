//! The types of steps: one file each, and what several of them share.
//!
//! To add one: a file with its `ABOUT` and its [`StepProvider`](super::step::StepProvider), and a line in `kinds`.

mod address;
mod choice;
mod dynamic;
mod event;
mod graph;
mod grpc;
mod http;
mod kinds;
mod map;
mod parameters;
mod pass;
mod pattern;
mod result;
mod rights;
mod wait;

#[cfg(test)]
pub mod tests;

#[cfg(test)]
pub use dynamic::try_out;
pub use kinds::StepKinds;
