//! Nexus: patterns that are checked, and runs as a machine that decides and does nothing.
//!
//! Nothing in here has a clock, a task or a store. A server asks a run what to do, does it, and tells the run what came of it.
//!
//! ```text
//! PatternSpec --check--> Plan --> Run::next(now) --> commands     decided here
//!                                   ^                  |
//!                                   +--- Line <--------+          done, and made durable, by the server
//! ```

mod check;
mod condition;
mod difference;
mod encode;
mod journal;
mod order;
mod parameters;
mod picture;
mod plan;
mod reference;
mod run;
mod state;
mod step_type;
mod step_types;
mod template;
mod written;

pub use check::{PatternFault, check};
pub use condition::Condition;
pub use difference::{Difference, differences};
pub use encode::{BadLine, LINE_VERSION};
pub use journal::{Failure, Line, What};
pub use order::levels;
pub use parameters::Parameters;
pub use picture::picture;
pub use plan::{Call, Plan, PlannedStep};
pub use reference::{Element, Found, Lookup, Reference, Root, RunFact};
pub use run::{Command, Next, Run, RunFacts, StepStatus, WrongLine};
pub use state::{RunState, StepState};
pub use step_type::{Argument, CHOICE, MAP, PATTERN, StepType, Target, unchecked};
pub use step_types::StepTypes;
pub use template::Template;
pub use written::{Written, is_constant};
