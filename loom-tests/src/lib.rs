//! Models of the code in `kg-core` that threads share, one file per invariant in `tests/`.
//!
//! `cargo loom` runs them. A model is a small program on the production code, run by loom through every interleaving (up to
//! a bound on preemptions) and through every value that the memory model lets a load return. A **control** runs a model
//! again with one line of the production code broken (`kg_core::sync::control`), in a child process, and passes if the model
//! fails there with the message that it expects. A child process, because loom ends the process when all threads wait for
//! ever, and because a control is a property of the whole process.
//!
//! **Models race their threads in every order of starting** ([`check_race`]). loom skips interleavings that it takes to be
//! equal to one that it has run, and remembers for that only the last access to each atomic: when a thread reads a word and
//! then exchanges it, its own read hides another thread's earlier one. A queue's model in one order passed with a Relaxed
//! push; in another the same model fails. The controls found this; trust no model that has none.
//!
//! Without `--cfg loom` this crate is empty.

#[cfg(loom)]
mod model;

#[cfg(loom)]
pub use model::{Body, Order, assert_each_once, body, caught, check, check_race};

/// What loom says when a value is used by a thread that has no right to it yet.
pub const UNORDERED: &str = "Causality violation";

/// What loom says when all threads wait for ever.
pub const STUCK: &str = "deadlock";
