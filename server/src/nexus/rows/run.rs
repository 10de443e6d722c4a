//! A run, as it is handed over to be kept and as it is found again.

use std::fmt;
use std::sync::Arc;

use kg_core::nexus::RunState;

use super::row::{About, RunRow};

/// Names a run for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub Arc<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a run among all, in the order in which they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey(pub u64);

/// A run that is to begin.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Whose request it is and under which id; the same one finds the same run.
    pub request: Option<String>,
    /// A hash of what was asked for: a request id that comes with another one is refused.
    pub body: u64,
    /// What is known of it from the beginning.
    pub about: About,
    /// What it is given, encoded.
    pub inputs: Vec<u8>,
    /// What it carries out, encoded.
    pub definition: Vec<u8>,
}

/// What came of a beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is there, mine, with the epoch 1.
    New(RunKey),
    /// It was there.
    Known(RunKey, RunId),
    /// The request id stands for something else.
    Reused,
}

/// Lines of a run that are to be durable, and how it is doing after them.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run: RunKey,
    /// The epoch of whoever writes.
    pub epoch: u32,
    /// The number of the first line.
    pub seq: u32,
    /// The lines, encoded.
    pub lines: Vec<Vec<u8>>,
    /// How the run is doing after them.
    pub now: Progress,
}

/// How a run is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// In one word.
    pub state: RunState,
    /// How many of its steps have ended.
    pub steps_done: u32,
    /// The code of what failed; may be empty.
    pub code: Arc<str>,
    /// What is wrong; may be empty.
    pub message: Arc<str>,
    /// When it ended. Nothing is appended after that.
    pub ended_ms: Option<u64>,
}

/// A run with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its row.
    pub row: RunRow,
    /// What it was given, encoded.
    pub inputs: Vec<u8>,
    /// What it carries out, encoded.
    pub definition: Vec<u8>,
    /// Its journal, line by line, encoded.
    pub lines: Vec<Vec<u8>>,
}
