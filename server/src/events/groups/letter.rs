//! Dead letters: what a group could not handle, with the event itself, so that it outlives the log's own copy.

use super::super::event::Prepared;
use super::super::event::{Event, decode};

/// A dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// The event; without a type where the log did not keep it any more.
    pub event: Event,
    /// How often it failed.
    pub failures: u32,
    /// What was said of it last.
    pub reason: String,
    /// When it became one, in milliseconds since 1970.
    pub time_ms: u64,
}

/// What a store keeps of one.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(bytes = "vec", tag = "1")]
    event: Vec<u8>,
    #[prost(uint64, tag = "2")]
    appended_ms: u64,
    #[prost(uint32, tag = "3")]
    failures: u32,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(uint64, tag = "5")]
    time_ms: u64,
}

impl Letter {
    /// The bytes that a store keeps.
    pub(in super::super) fn encode(&self) -> Vec<u8> {
        let prepared = Prepared::of(self.event.event.clone());
        let stored = Stored {
            event: prepared.map(|p| p.body).unwrap_or_default(),
            appended_ms: self.event.appended_ms,
            failures: self.failures,
            reason: self.reason.clone(),
            time_ms: self.time_ms,
        };
        prost::Message::encode_to_vec(&stored)
    }

    /// Reads one back; or why it cannot be read.
    pub(in super::super) fn decode(offset: u64, bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = prost::Message::decode(bytes)
            .map_err(|e: prost::DecodeError| format!("the dead letter of {offset}: {e}"))?;
        Ok(Self {
            event: decode(offset, stored.appended_ms, &stored.event)?,
            failures: stored.failures,
            reason: stored.reason,
            time_ms: stored.time_ms,
        })
    }
}
