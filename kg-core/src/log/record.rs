//! Records: one committed transaction as the log keeps it.
//!
//! A record is a protobuf message inside an envelope of version, checksum and body. Protobuf, because old logs must stay
//! readable; a checksum, because a flipped bit must be found; a version, because a server that meets one that it does not
//! know must stop there and say so. Properties and document values are canonical JSON inside the message.

use super::wire;
use crate::model::{Body, Entity};
use crate::mutation::{Change, Request};
use prost::Message;
use std::sync::Arc;

/// Version of the envelope and the message that this program writes.
pub const RECORD_VERSION: u32 = 1;

/// One committed transaction.
#[derive(Clone, Debug)]
pub struct Record {
    /// The revision that it made.
    pub revision: u64,
    /// When, in milliseconds since 1970; never below its predecessor's.
    pub time_ms: u64,
    /// Who.
    pub actor: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// The request's own id; empty for none.
    pub request_id: Arc<str>,
    /// The request's identity, where it has one.
    pub request: Option<Request>,
    /// What it did.
    pub changes: Arc<[Change]>,
    /// Hash of the graph after it.
    pub hash: u128,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are damaged.
    #[error("record is damaged: {0}")]
    Corrupt(String),
    /// Another version of this program wrote it.
    #[error("record has version {found}, this program knows versions up to {RECORD_VERSION}")]
    UnknownVersion {
        /// The version found.
        found: u32,
    },
}

impl Record {
    /// The bytes that the log keeps.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = wire::Record::from(self).encode_to_vec();
        wire::Envelope {
            version: RECORD_VERSION,
            checksum: crc32c::crc32c(&body),
            body,
        }
        .encode_to_vec()
    }

    /// Reads a record back. Entities have no number yet: `fold` gives them theirs.
    ///
    /// # Errors
    /// [`DecodeError`], for damage and for an unknown version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let corrupt = |e: prost::DecodeError| DecodeError::Corrupt(e.to_string());
        let envelope = wire::Envelope::decode(bytes).map_err(corrupt)?;
        if envelope.version != RECORD_VERSION {
            return Err(DecodeError::UnknownVersion {
                found: envelope.version,
            });
        }
        let found = crc32c::crc32c(&envelope.body);
        if found != envelope.checksum {
            return Err(DecodeError::Corrupt(format!(
                "its checksum is {found:08x}, it says {:08x}",
                envelope.checksum
            )));
        }
        wire::Record::decode(&*envelope.body)
            .map_err(corrupt)?
            .try_into()
            .map_err(DecodeError::Corrupt)
    }

    /// A rough count of its bytes in memory, for bounds.
    #[must_use]
    pub fn weight(&self) -> usize {
        256 + self.reason.len() + self.changes.iter().map(Change::weight).sum::<usize>()
    }
}

/// The content of an entity as bytes: what its hash covers. Ids and revisions are no content.
#[must_use]
pub fn entity_content(entity: &Entity) -> Vec<u8> {
    let mut message = wire::Entity::from(entity);
    message.created_revision = 0;
    message.modified_revision = 0;
    message.encode_to_vec()
}

/// Bytes of an entity's encoded form, a measure of its text.
#[must_use]
pub fn entity_weight(entity: &Entity) -> usize {
    match &entity.body {
        Body::Plain | Body::Placeholder if entity.properties.is_empty() => 0,
        _ => wire::Entity::from(entity).encoded_len(),
    }
}
