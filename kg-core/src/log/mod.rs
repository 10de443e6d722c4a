//! The durable side of the graph: records, the log that keeps them in order, and checkpoints that bound the replay.

pub mod checkpoint;
mod commit_log;
mod convert;
mod memory;
pub mod record;
mod wire;

pub use checkpoint::{CheckpointError, Header};
pub use commit_log::{AppendError, Batch, CommitLog, InlineLog, ReadError};
pub use memory::MemoryLog;
pub use record::{DecodeError, RECORD_VERSION, Record};
