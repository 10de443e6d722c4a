//! Services: list, get, register, deregister, schema, capability, dep.

mod command;
mod read;
mod write;

pub use command::{ServiceCommand, run};
pub use read::{service, services};
