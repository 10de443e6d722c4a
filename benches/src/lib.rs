//! What every bench program says, and how it is asked: see [`figure`] for the lines and [`mode`] for the ways to run one.
//!
//! A bench is a program of one file that answers one written question. `cargo xtask bench` runs it for a number of rounds and
//! collects the lines; nothing here depends on what is measured, so that a program may talk to a server as well.

#![expect(clippy::print_stdout, reason = "programs that report figures")]

pub mod contest;
pub mod figure;
pub mod mode;
