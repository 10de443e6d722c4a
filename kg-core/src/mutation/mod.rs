//! Mutations: what is asked for, what it must satisfy, and what it does. Pure functions of a snapshot.

mod change;
mod guard;
mod plan;
mod transaction;

pub use change::Change;
pub use plan::{Plan, plan};
pub use transaction::{Mutation, Precondition, Request, Transaction};
