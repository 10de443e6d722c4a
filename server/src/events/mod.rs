//! Events: a durable log with offsets, and those who read it.

pub mod log;

pub use log::{
    Appended, Cursor, Event, EventBatch, EventError, EventFilter, Events, NewEvent, Place,
};
