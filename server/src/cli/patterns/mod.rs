//! Patterns from the command line: their definitions, their runs, and pictures of both.

mod command;
mod definitions;
mod drawing;
mod follow;
mod replay;
mod runs;
mod show;
mod words;

pub use command::{PatternCommand, run};
pub use show::definition;
