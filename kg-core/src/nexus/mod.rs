//! Nexus: patterns that are checked, and runs as a machine that decides and does nothing.
//!
//! Nothing in here has a clock, a task or a store. A server asks a run what to do, does it, and tells the run what came of it.
//!
//! ```text
//! PatternSpec --check--> Plan --> Run::next(now) --> commands     decided here
//!                                   ^                  |
//!                                   +--- Line <--------+          done, and made durable, by the server
//! ```

mod condition;
mod journal;
mod reference;
mod state;
mod step_type;
mod template;

pub use condition::Condition;
pub use journal::{Failure, Line, What};
pub use reference::{Element, Found, Lookup, Reference, Root, RunFact};
pub use state::{RunState, StepState};
pub use step_type::{Argument, StepType, Target};
pub use template::Template;
