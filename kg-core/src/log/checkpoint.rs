//! Checkpoints: one snapshot as a file, which bounds the replay; a backup is the same file with a description.
//!
//! A header, frames of entities, relations, document sections and remembered requests, and a footer. Each frame has a
//! length and a checksum; the footer repeats the counts, and the content's hash stands in the header: a file that is
//! truncated or flipped anywhere is found, and one that was not finished has no footer. Written from an immutable
//! snapshot: nothing is paused while it goes on.

use super::wire;
use crate::faults::{Bug, seeded};
use crate::model::{Entity, EntityId, Relation, Value};
use crate::snapshot::{Remembered, RequestKey, Requests, Snapshot};
use prost::Message;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// The first bytes of every checkpoint.
pub const MAGIC: [u8; 8] = *b"AMADEUS\x01";

/// Version of the format that this program writes.
pub const CHECKPOINT_VERSION: u32 = 1;

/// Entities, relations or requests in one frame.
const FRAME_ITEMS: usize = 1_024;

/// No frame that this program writes comes near this; a longer one is damage.
const FRAME_BYTES: u32 = 256 * 1024 * 1024;

/// No footer is longer than this.
const FOOTER_BYTES: usize = 64;

/// What a checkpoint says of itself, in its first frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    /// Version of the format.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The store that it is of.
    #[prost(string, tag = "2")]
    pub store_id: String,
    /// Its revision.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
    /// When that revision was committed, in milliseconds since 1970.
    #[prost(uint64, tag = "4")]
    pub time_ms: u64,
    /// Hash of its content, 16 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub hash: Vec<u8>,
    /// What it was made for, in somebody's words.
    #[prost(string, tag = "6")]
    pub description: String,
    /// When it was written, in milliseconds since 1970.
    #[prost(uint64, tag = "7")]
    pub written_ms: u64,
    /// Entities in it.
    #[prost(uint64, tag = "8")]
    pub entities: u64,
    /// Relations in it.
    #[prost(uint64, tag = "9")]
    pub relations: u64,
}

impl Header {
    /// The content's hash as a number.
    #[must_use]
    pub fn hash_value(&self) -> u128 {
        <[u8; 16]>::try_from(self.hash.as_slice()).map_or(0, u128::from_le_bytes)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(message, repeated, tag = "1")]
    entities: Vec<wire::Entity>,
    #[prost(message, repeated, tag = "2")]
    relations: Vec<wire::Relation>,
    #[prost(message, repeated, tag = "3")]
    sections: Vec<Section>,
    #[prost(message, repeated, tag = "4")]
    requests: Vec<RequestEntry>,
    #[prost(message, optional, tag = "5")]
    footer: Option<Footer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Section {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(uint64, tag = "3")]
    modified_revision: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestEntry {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(fixed64, tag = "3")]
    body: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Footer {
    #[prost(uint64, tag = "1")]
    entities: u64,
    #[prost(uint64, tag = "2")]
    relations: u64,
    #[prost(uint64, tag = "3")]
    requests: u64,
}

/// Why a file is not a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is damaged, or not a checkpoint.
    #[error("is damaged: {0}")]
    Corrupt(String),
    /// Another version of this program wrote it.
    #[error("has version {0}, this program knows versions up to {CHECKPOINT_VERSION}")]
    UnknownVersion(u32),
}

/// Writes a checkpoint of `snapshot`. Cost: O(graph), in frames of a bounded number of items.
///
/// # Errors
/// Those of `out`.
pub fn write(
    snapshot: &Snapshot,
    store_id: &str,
    description: &str,
    written_ms: u64,
    out: &mut impl Write,
) -> io::Result<Header> {
    let header = Header {
        version: CHECKPOINT_VERSION,
        store_id: store_id.to_owned(),
        revision: snapshot.revision(),
        time_ms: snapshot.time_ms(),
        hash: snapshot.hash().to_le_bytes().to_vec(),
        description: description.to_owned(),
        written_ms,
        entities: snapshot.entity_count() as u64,
        relations: snapshot.relation_count() as u64,
    };
    out.write_all(&MAGIC)?;
    put(&header, out)?;

    // In the order of their numbers, so that one snapshot gives one file whatever its history.
    let mut frame = Frame::default();
    for id in 0..snapshot.id_bound() {
        if let Some(entity) = snapshot.by_id(EntityId::new(id)) {
            frame.entities.push((&**entity).into());
            flush(&mut frame, FRAME_ITEMS, out)?;
        }
    }
    for (label, relations) in snapshot.relations_by_label() {
        for (from, to, _) in relations.edges() {
            frame.relations.extend(
                snapshot
                    .relation_by_id(label, from, to)
                    .as_ref()
                    .map(wire::Relation::from),
            );
            flush(&mut frame, FRAME_ITEMS, out)?;
        }
    }
    for (name, value) in snapshot.documents() {
        let modified_revision = snapshot.section_revision(name).unwrap_or_default();
        frame.sections.push(Section {
            name: name.to_string(),
            value: value.to_json(),
            modified_revision,
        });
        flush(&mut frame, 1, out)?;
    }
    let requests = if seeded(Bug::ForgottenRequests) {
        &Requests::default()
    } else {
        snapshot.requests()
    };
    for (key, remembered) in requests.iter() {
        let key = key.0.to_le_bytes().to_vec();
        frame.requests.push(RequestEntry {
            key,
            revision: remembered.revision,
            body: remembered.body,
        });
        flush(&mut frame, FRAME_ITEMS, out)?;
    }
    flush(&mut frame, 0, out)?;
    let footer = Footer {
        entities: header.entities,
        relations: header.relations,
        requests: requests.len() as u64,
    };
    put(
        &Frame {
            footer: Some(footer),
            ..Frame::default()
        },
        out,
    )?;
    Ok(header)
}

fn flush(frame: &mut Frame, most: usize, out: &mut impl Write) -> io::Result<()> {
    let items =
        frame.entities.len() + frame.relations.len() + frame.sections.len() + frame.requests.len();
    if items == 0 || items < most {
        return Ok(());
    }
    put(&std::mem::take(frame), out)
}

fn put(message: &impl Message, out: &mut impl Write) -> io::Result<()> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).ok().filter(|n| *n <= FRAME_BYTES);
    let length = length
        .ok_or_else(|| io::Error::other(format!("a frame of {} bytes is too long", body.len())))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&crc32c::crc32c(&body).to_le_bytes())?;
    out.write_all(&body)
}

/// Reads only what a checkpoint says of itself.
///
/// # Errors
/// [`CheckpointError`].
pub fn read_header(input: &mut impl Read) -> Result<Header, CheckpointError> {
    let mut magic = [0; 8];
    input.read_exact(&mut magic).map_err(ended)?;
    if magic != MAGIC {
        return Err(CheckpointError::Corrupt(
            "it does not begin as a checkpoint does".into(),
        ));
    }
    let header: Header = take(input)?;
    if header.version != CHECKPOINT_VERSION {
        return Err(CheckpointError::UnknownVersion(header.version));
    }
    if header.hash.len() != 16 {
        return Err(CheckpointError::Corrupt("its header has no hash".into()));
    }
    Ok(header)
}

/// Proves every checksum and the end of a checkpoint without building its content, at about the speed of reading. What
/// only [`read`] finds is a program that wrote something wrong.
///
/// # Errors
/// [`CheckpointError`].
pub fn scan(input: &mut impl Read) -> Result<Header, CheckpointError> {
    let header = read_header(input)?;
    loop {
        let body = take_body(input)?;
        // A footer holds three numbers; decoding frames that are longer would cost what a scan saves.
        if body.len() > FOOTER_BYTES {
            continue;
        }
        let frame = Frame::decode(&*body).map_err(|e| CheckpointError::Corrupt(e.to_string()))?;
        if frame.footer.is_some() {
            break;
        }
    }
    ends_here(input)?;
    Ok(header)
}

/// Reads a checkpoint and proves it: every checksum, the counts, and the hash of the content. Entities are numbered anew.
///
/// # Errors
/// [`CheckpointError`].
pub fn read(input: &mut impl Read) -> Result<(Header, Snapshot), CheckpointError> {
    let header = read_header(input)?;
    let mut snapshot = Snapshot::new();
    let mut last_request = 0;
    loop {
        let frame: Frame = take(input)?;
        for entity in frame.entities {
            let entity = Entity::try_from(entity).map_err(CheckpointError::Corrupt)?;
            snapshot.put_entity(Arc::new(entity));
        }
        for relation in frame.relations {
            let relation = Relation::try_from(relation).map_err(CheckpointError::Corrupt)?;
            snapshot
                .put_relation(&relation, 0)
                .map_err(CheckpointError::Corrupt)?;
        }
        for section in frame.sections {
            // Its leaves would count twice in the hash, and stand once.
            if snapshot.documents().contains_key(section.name.as_str()) {
                let what = format!("the section {:?} stands in it twice", section.name);
                return Err(CheckpointError::Corrupt(what));
            }
            let value = Value::from_json(section.value.as_bytes())
                .map_err(|f| CheckpointError::Corrupt(f.to_string()))?;
            snapshot.load_section(section.name.into(), value, section.modified_revision);
        }
        for request in frame.requests {
            let key = <[u8; 16]>::try_from(request.key.as_slice())
                .map_err(|_| CheckpointError::Corrupt("a request's key is cut".into()))?;
            let remembered = Remembered {
                revision: request.revision,
                body: request.body,
            };
            let key = RequestKey(u128::from_le_bytes(key));
            // Oldest first, as they are written; a revision answered one request, and a request has one revision.
            let after =
                last_request < remembered.revision && remembered.revision <= header.revision;
            if !after || snapshot.requests.get(key).is_some() {
                let what = format!(
                    "the request of revision {} is out of order",
                    request.revision
                );
                return Err(CheckpointError::Corrupt(what));
            }
            last_request = remembered.revision;
            snapshot.requests.remember(key, remembered);
        }
        if let Some(footer) = frame.footer {
            prove(&header, &footer, &snapshot)?;
            break;
        }
    }
    ends_here(input)?;
    snapshot.revision = header.revision;
    snapshot.time_ms = header.time_ms;
    Ok((header, snapshot))
}

fn prove(header: &Header, footer: &Footer, snapshot: &Snapshot) -> Result<(), CheckpointError> {
    let found = [
        snapshot.entity_count() as u64,
        snapshot.relation_count() as u64,
        snapshot.requests().len() as u64,
    ];
    if found != [footer.entities, footer.relations, footer.requests] {
        return Err(CheckpointError::Corrupt(format!(
            "it holds {found:?} entities, relations and requests, its footer says otherwise"
        )));
    }
    let (expected, found) = (header.hash_value(), snapshot.hash());
    if expected != found {
        return Err(CheckpointError::Corrupt(format!(
            "its content has the hash {found:032x}, its header says {expected:032x}"
        )));
    }
    Ok(())
}

fn ends_here(input: &mut impl Read) -> Result<(), CheckpointError> {
    if input.read(&mut [0])? != 0 {
        return Err(CheckpointError::Corrupt("something follows its end".into()));
    }
    Ok(())
}

fn take<M: Message + Default>(input: &mut impl Read) -> Result<M, CheckpointError> {
    M::decode(&*take_body(input)?).map_err(|e| CheckpointError::Corrupt(e.to_string()))
}

fn take_body(input: &mut impl Read) -> Result<Vec<u8>, CheckpointError> {
    let mut word = [0; 4];
    input.read_exact(&mut word).map_err(ended)?;
    let length = u32::from_le_bytes(word);
    if length > FRAME_BYTES {
        return Err(CheckpointError::Corrupt(format!(
            "a frame claims {length} bytes"
        )));
    }
    input.read_exact(&mut word).map_err(ended)?;
    let checksum = u32::from_le_bytes(word);
    // Read through `take`, so that a damaged length allocates no more than the file holds.
    let mut body = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut body)?;
    if body.len() != length as usize {
        return Err(CheckpointError::Corrupt(
            "it ends in the middle of a frame".into(),
        ));
    }
    let found = crc32c::crc32c(&body);
    if found != checksum {
        return Err(CheckpointError::Corrupt(format!(
            "a frame has the checksum {found:08x}, it says {checksum:08x}"
        )));
    }
    Ok(body)
}

fn ended(error: io::Error) -> CheckpointError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return CheckpointError::Corrupt("it ends before its footer".into());
    }
    CheckpointError::Io(error)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What is said of a file of one frame, whose checksums fit.
    fn fault(frame: Frame) -> String {
        let mut snapshot = Snapshot::new();
        snapshot.revision = 9;
        let mut file = Vec::new();
        write(&snapshot, "store", "", 0, &mut file).expect("a vector has room");
        let header = read_header(&mut file.as_slice()).expect("a header");
        let mut file = MAGIC.to_vec();
        put(&header, &mut file).expect("a vector has room");
        put(&frame, &mut file).expect("a vector has room");
        match read(&mut file.as_slice()) {
            Err(CheckpointError::Corrupt(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Found by the fuzz target `checkpoints`: the second was added to the hash and took the place of the first.
    #[test]
    fn a_section_that_stands_twice_is_refused() {
        let section = Section {
            name: "notes".into(),
            value: "[1]".into(),
            modified_revision: 1,
        };
        let why = fault(Frame {
            sections: vec![section.clone(), section],
            ..Frame::default()
        });
        assert!(why.contains("notes"), "{why}");
    }

    /// Found by the fuzz target `checkpoints`: of two requests of one revision both were remembered, one was written again.
    #[test]
    fn requests_that_are_out_of_order_are_refused() {
        let request = |key: u8, revision| RequestEntry {
            key: vec![key; 16],
            revision,
            body: 0,
        };
        for requests in [
            vec![request(1, 4), request(2, 4)],
            vec![request(1, 4), request(1, 5)],
            vec![request(1, 4), request(2, 3)],
            vec![request(1, 10)],
        ] {
            let why = fault(Frame {
                requests,
                ..Frame::default()
            });
            assert!(why.contains("out of order"), "{why}");
        }
    }

    #[test]
    fn remembered_requests_go_with_the_graph() {
        let mut snapshot = Snapshot::new();
        // More than one frame of them.
        snapshot.revision = FRAME_ITEMS as u64 + 5;
        for revision in 1..=snapshot.revision {
            let key = RequestKey::new("me", &revision.to_string());
            let remembered = Remembered {
                revision,
                body: !revision,
            };
            snapshot.requests.remember(key, remembered);
        }
        let mut file = Vec::new();
        write(&snapshot, "store", "", 0, &mut file).expect("a vector has room");
        let (_, read) = read(&mut file.as_slice()).expect("it was written whole");
        // Their hash is no part of the graph's: nothing else would notice.
        assert!(read.requests().iter().eq(snapshot.requests().iter()));
    }
}
