//! Pictures as SVG, laid out by the library `layout-rs`.
//!
//! The library draws well, and takes its time: its search for fewer crossings grows with the fourth power of a row, and its
//! test for cycles with the number of ways through the graph. So `plan` gives it a graph without cycles in an order in which
//! that test is trivial, counts beforehand what there will be to place, and asks for as much beauty as that allows. What
//! is too large even for the plainest layout is refused with the count. The same picture gives the same bytes.

mod canvas;
mod draw;
mod plan;

pub use draw::{NotDrawn, svg};

#[cfg(test)]
mod tests;
