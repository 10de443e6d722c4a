//! Linearizability: what several clients were told by a real server, also across its death, has one order in which a graph
//! with one writer would have told the same.
//!
//! A history is small, so that it can be decided: a few clients write and read a few entities, lose replies, repeat
//! themselves, and see the server killed. Every call is noted when it is asked and when it is told (`history`), a plain map
//! says what each should have told (`model`), and `stateright` looks for the order. A call without an answer may have
//! taken effect at any time, or never.

mod caller;
mod checks;
mod client;
mod history;
mod model;
mod order;
mod play;
mod torture;
mod wire;
