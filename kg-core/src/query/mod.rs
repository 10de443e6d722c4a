//! Questions about the whole graph, as pure functions of one snapshot: who breaks, who offers, which way, in which order.
//!
//! Traversals run on dense ids, layer by layer and never by recursion; names are looked at only for what an answer shows.
//! Each takes a [`Budget`] and says when it was cut short. None waits, none fails on IO.

mod bits;
mod budget;
mod capability;
mod components;
mod cycles;
mod describe;
mod direction;
mod docs;
mod dot;
mod error;
mod layer;
mod mermaid;
mod order;
mod paths;
mod patterns;
mod picture;
mod prune;
mod reach;
mod search;
mod start_order;
mod subgraph;
#[cfg(test)]
mod tests;
mod validate;
mod walk;
mod way;

pub use budget::Budget;
pub use capability::find_by_capability;
pub use cycles::{Cycles, cycles};
pub use describe::{Description, describe};
pub use direction::{Along, Direction};
pub use docs::{docs, docs_index};
pub use dot::dot;
pub use error::QueryError;
pub use mermaid::mermaid;
pub use patterns::patterns_using;
pub use picture::{Picture, PictureEdge, PictureNode, StepLook, View, kind_of_section, picture};
pub use prune::{Idle, prune};
pub use reach::{Hit, Question, Reached, reach};
pub use search::{Matches, search};
pub use start_order::{StartOrder, start_order};
pub use subgraph::{Subgraph, subgraph};
pub use validate::{Finding, Severity, validate};
pub use way::{Way, find_path};
