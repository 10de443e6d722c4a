//! Access: what somebody may see and change of the graph.
//!
//! A [`Scope`] names a part of the graph, a [`Reach`] is some of them or everything, and an [`Authority`] says what may be
//! seen and what may be changed. All is decided by pure functions of these and of the graph.

mod scope;
mod view;

pub use scope::{Authority, DOCUMENT, Reach, Scope, owner_of};
pub use view::{follow, view};
