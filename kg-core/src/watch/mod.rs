//! Watching: following the graph as it changes.
//!
//! A watcher is a cursor, not a buffer: it holds the revision that it wants next and reads records from the history ring,
//! or from the log once it has fallen behind the ring. So it costs the same fast or slow, and cannot slow a writer.

pub mod cursor;
pub mod filter;

pub use cursor::{Cursor, Step};
pub use filter::Filter;
