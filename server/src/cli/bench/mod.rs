//! The load generator: keeps a number of calls in flight over a number of connections, and says how many were answered and
//! how long each took.
//!
//! It is a closed loop: a slot makes its next call when the last is answered, so a stalled server is asked less, and the
//! percentiles flatter it. Give it more in flight before believing a tail.

mod command;
mod load;
mod report;

pub use command::{BenchArgs, run};
