//! The commit path: how a submitted transaction becomes a revision that everybody can read.

mod committer;
pub mod head;
mod history;
mod outcome;
pub mod queue;
mod reclaim;
pub mod role;
pub mod ticket;

pub use crate::graph::{Graph, Options, Pending, Published, Submission};
pub use committer::{Committer, Settled, Staged};
pub use history::{History, HistoryLimits, NotKept};
pub use outcome::{CommitError, Outcome};
pub use reclaim::{Held, Reclaimer};
