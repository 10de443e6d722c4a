//! The graph at one revision, on persistent structures.

pub mod adjacency;
mod diff;
mod fold;
pub(crate) mod hash;
mod hub;
pub mod index;
pub mod neighbours;
pub mod node;
pub mod radix;
pub mod relations;
pub mod requests;
mod state;
mod table;

pub use adjacency::Adjacency;
pub use diff::diff;
pub use fold::{FoldError, fold};
pub use index::{Indexes, Names};
pub use neighbours::Neighbours;
pub use node::{TypedSection, pattern_spec};
pub use relations::{Edge, Relations};
pub use requests::{Remembered, RequestKey, Requests};
pub use state::Snapshot;
