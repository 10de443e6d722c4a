//! Records: one committed transaction as the log keeps it.
//!
//! A record is a protobuf message inside an envelope of version, checksum and body. Protobuf, because old logs must stay
//! readable; a checksum, because a flipped bit must be found; a version, because a server that meets one that it does not
//! know must stop there and say so. Properties and document values are canonical JSON inside the message.

use super::{convert::entity_body, wire};
use crate::model::value::object_json;
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
    /// From where: the address of the caller; empty where nobody knows.
    pub source: Arc<str>,
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
///
/// It is the message of an entity without its revisions, field by field, for every commit hashes what it puts: to build
/// the message first takes three times as long.
#[must_use]
pub fn entity_content(entity: &Entity) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    put_text(&mut bytes, 1, entity.key.kind.as_str());
    put_text(&mut bytes, 2, entity.key.name.as_str());
    if !entity.properties.is_empty() {
        put_text(&mut bytes, 3, &object_json(&entity.properties));
    }
    if let Some(body) = entity_body(&entity.body) {
        body.encode(&mut bytes);
    }
    bytes
}

fn put_text(bytes: &mut Vec<u8>, tag: u32, text: &str) {
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, bytes);
    prost::encoding::encode_varint(text.len() as u64, bytes);
    bytes.extend_from_slice(text.as_bytes());
}

/// Bytes of an entity's encoded form, a measure of its text.
#[must_use]
pub fn entity_weight(entity: &Entity) -> usize {
    match &entity.body {
        Body::Plain | Body::Placeholder if entity.properties.is_empty() => 0,
        _ => wire::Entity::from(entity).encoded_len(),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::commit::Graph;
    use crate::testing::generate::{self, Rng};
    use crate::testing::oracle::Oracle;
    use std::collections::HashSet;

    #[test]
    fn the_content_of_an_entity_is_its_message_without_revisions() {
        let graph = Graph::in_memory();
        let mut rng = Rng::new(7);
        let mut bodies = HashSet::new();
        for _ in 0..300 {
            let state = Oracle::of(&graph.snapshot());
            let _ = graph.commit(generate::transaction(&mut rng, &state));
            for entity in graph.snapshot().entities() {
                let mut message = wire::Entity::from(&**entity);
                message.created_revision = 0;
                message.modified_revision = 0;
                let written = entity_content(entity);
                assert_eq!(written, message.encode_to_vec(), "{}", entity.key);
                bodies.insert(std::mem::discriminant(&entity.body));
            }
        }
        assert_eq!(bodies.len(), 4, "entities of every sort came");
    }
}
