//! Whatever bytes lie in the log: they are refused, or they are a record that is written again as the same record; and what
//! it says follows the graph before it, or is found to contradict it, and never breaks it.

use crate::graph::small;
use kg_core::log::{RECORD_VERSION, Record};
use kg_core::snapshot::{FoldError, fold};
use kg_core::testing::compare;
use prost::Message;

/// What a record lies in.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed32, tag = "2")]
    checksum: u32,
    #[prost(bytes = "vec", tag = "3")]
    body: Vec<u8>,
}

/// The bytes as the log has them, and as the body of an envelope that fits, for no chance finds a checksum.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    read(bytes);
    read(&enveloped(bytes));
}

/// A body in an envelope that vouches for it.
fn enveloped(body: &[u8]) -> Vec<u8> {
    let (version, checksum) = (RECORD_VERSION, crc32c::crc32c(body));
    let body = body.to_vec();
    Envelope {
        version,
        checksum,
        body,
    }
    .encode_to_vec()
}

/// What is inside the envelope of a record.
#[must_use]
pub fn body(record: &Record) -> Vec<u8> {
    let envelope = Envelope::decode(&*record.encode()).expect("an envelope");
    envelope.body
}

fn read(bytes: &[u8]) {
    let Ok(mut record) = Record::decode(bytes) else {
        return;
    };
    let written = record.encode();
    let again = Record::decode(&written).expect("what was written is read");
    assert_eq!(again.encode(), written);
    assert_eq!((again.revision, again.hash), (record.revision, record.hash));

    let before = small();
    record.revision = before.revision() + 1;
    let folded = match fold(before, &record) {
        Err(FoldError::HashMismatch { found, .. }) => {
            record.hash = found;
            fold(before, &record)
        }
        other => other,
    };
    assert_eq!(
        compare::content_hash(before),
        before.hash(),
        "folding left a trace"
    );
    if let Ok(after) = folded {
        assert_eq!(compare::content_hash(&after), after.hash());
    }
}
