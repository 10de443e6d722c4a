//! Events from the command line: told, followed, and the groups that consume them.

mod command;
mod emit;
mod follow;
mod groups;

pub use command::{EventCommand, run};
