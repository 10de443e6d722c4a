//! Registries: parts of a program, and whatever else is kept by key.

mod provider;

pub use crate::sync::Map as Registry;
pub use provider::{Chain, Key, Provider, ResolveError};
