//! A run, as a machine that decides and does nothing.
//!
//! What happened comes in as lines ([`Run::apply`]), what is to be done goes out as commands ([`Run::next`]); in between,
//! [`Run::outcome`] says what an attempt that has ended means. A run that was lost is the fold of its lines over its plan.

mod apply;
mod known;
mod next;
mod outcome;
mod state;
#[cfg(test)]
mod tests;

pub use apply::WrongLine;
pub use next::{Command, Next};
pub use state::{Run, RunFacts, StepStatus};
