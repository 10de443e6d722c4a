//! Whatever file is read as a checkpoint: it is refused, or what was read is written again as the same content.

use kg_core::log::Header;
use kg_core::log::checkpoint::{self, CheckpointError, MAGIC};
use kg_core::testing::compare;
use kg_core::testing::generate::Rng;
use kg_core::testing::oracle::Oracle;
use prost::Message;

/// The file as it is, and as one whose checksums and whose hash fit, for no chance finds those.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    let _ = read(bytes);
    let Some(mut frames) = frames(bytes) else {
        return;
    };
    let Err(CheckpointError::Corrupt(why)) = read(&file(&frames)) else {
        return;
    };
    if let Some(hash) = found(&why)
        && let Ok(mut header) = Header::decode(&*frames[0])
    {
        header.hash = hash.to_le_bytes().to_vec();
        frames[0] = header.encode_to_vec();
        let _ = read(&file(&frames));
    }
}

/// One frame of a checkpoint changed as a message, in a file whose checksums fit.
#[must_use]
pub fn mutate(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let Some(mut frames) = frames(bytes).filter(|_| !rng.once_in(4)) else {
        return crate::mutate::bytes(bytes, rng);
    };
    let at = rng.below(frames.len());
    match rng.below(8) {
        0 => drop(frames.remove(at)),
        1 => frames.insert(at, frames[at].clone()),
        _ => frames[at] = crate::mutate::message(&frames[at], rng),
    }
    file(&frames)
}

fn read(bytes: &[u8]) -> Result<(), CheckpointError> {
    let header = checkpoint::read_header(&mut &*bytes);
    let scanned = checkpoint::scan(&mut &*bytes);
    let (of, snapshot) = checkpoint::read(&mut &*bytes)?;
    assert_eq!(header.expect("what reads whole has a header"), of);
    assert_eq!(scanned.expect("what reads whole is scanned"), of);
    assert_eq!(compare::content_hash(&snapshot), snapshot.hash());
    assert_eq!(
        (snapshot.revision(), snapshot.hash()),
        (of.revision, of.hash_value())
    );
    compare::checkpoint_round_trip(&snapshot, &Oracle::of(&snapshot));
    Ok(())
}

/// The bodies of the frames of a file, the header's first.
fn frames(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = file.strip_prefix(&MAGIC)?;
    let mut frames = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let body = after.get(4..)?.get(..length)?;
        frames.push(body.to_vec());
        rest = &after[4 + length..];
    }
    (!frames.is_empty()).then_some(frames)
}

/// A file of these frames.
fn file(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for body in frames {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        file.extend(length.to_le_bytes());
        file.extend(crc32c::crc32c(body).to_le_bytes());
        file.extend(body);
    }
    file
}

/// The hash that the reader found, as it says in its error.
fn found(why: &str) -> Option<u128> {
    let digits = why.split("has the hash ").nth(1)?.get(..32)?;
    u128::from_str_radix(digits, 16).ok()
}
