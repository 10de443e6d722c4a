//! Chunks: the rows of a file of events. Thousands of events a row would be dear to read one of, and a row for each would cost
//! a tree of its own for repetitions, whose pages are written anew by every batch; so a row holds what came at once, up to a
//! bound, and repetitions are looked for in memory.

use super::super::event::{Event, Prepared, decode};
use super::Weighed;
use std::sync::Arc;

/// Events and bytes of one chunk; a larger event has one to itself.
pub(super) const EVENTS: usize = 1_024;
const BYTES: usize = 256 * 1024;

/// Bytes of one mark: the key and the content.
const MARK: usize = 16;

/// A row.
#[derive(Debug, PartialEq)]
pub(super) struct Chunk {
    pub(super) first: u64,
    pub(super) count: usize,
    pub(super) sum: u32,
    pub(super) marks: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Events from a place on, in chunks.
pub(super) fn chunks(events: &[Prepared], mut first: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        for event in rest.iter().take(EVENTS) {
            if count > 0 && bytes + event.body.len() > BYTES {
                break;
            }
            count += 1;
            bytes += event.body.len();
        }
        let (these, others) = rest.split_at(count);
        let mut marks = Vec::with_capacity(count * MARK + 4);
        let mut body = Vec::with_capacity(bytes + count * 4);
        for event in these {
            marks.extend_from_slice(&event.key.to_le_bytes());
            marks.extend_from_slice(&event.content.to_le_bytes());
            // A body is bounded by the fields of an event, far below 2^32.
            body.extend_from_slice(&(event.body.len() as u32).to_le_bytes());
            body.extend_from_slice(&event.body);
        }
        let sum = crc32c::crc32c(&marks);
        marks.extend_from_slice(&sum.to_le_bytes());
        chunks.push(Chunk {
            first,
            count,
            sum: crc32c::crc32c(&body),
            marks,
            body,
        });
        first += count as u64;
        rest = others;
    }
    chunks
}

/// The keys and contents of a chunk's events; or what is wrong with them.
pub(super) fn marks(first: u64, marks: &[u8]) -> Result<Vec<(u64, u64)>, String> {
    let damaged = || format!("the marks of the events from {first} on are damaged");
    let (marks, sum) = marks.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32c::crc32c(marks) != u32::from_le_bytes(*sum) || marks.len() % MARK != 0 {
        return Err(damaged());
    }
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let mark = |mark: &[u8]| (number(&mark[..8]), number(&mark[8..]));
    Ok(marks.chunks_exact(MARK).map(mark).collect())
}

/// At most `limit` events of a chunk, from a place on; or what is wrong with it.
pub(super) fn events(
    chunk: (u64, u64),
    sum: u32,
    body: &[u8],
    from: u64,
    limit: usize,
) -> Result<Vec<Weighed>, String> {
    let (first, appended_ms) = chunk;
    let damaged = || format!("the events from {first} on are damaged");
    if crc32c::crc32c(body) != sum {
        return Err(damaged());
    }
    let (mut found, mut rest, mut place) = (Vec::new(), body, first);
    while !rest.is_empty() && found.len() < limit {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (event, behind) = behind.split_at_checked(length).ok_or_else(damaged)?;
        if place >= from {
            let event: Event = decode(place, appended_ms, event)?;
            found.push((Arc::new(event), length));
        }
        rest = behind;
        place += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::event::NewEvent;
    use super::*;
    use kg_core::model::{Object, Value};

    fn event(id: usize, bytes: usize) -> Prepared {
        let prepared = Prepared::of(NewEvent {
            id: id.to_string().into(),
            kind: "t".into(),
            entity: None,
            correlation: "".into(),
            payload: Object::unit("text".into(), Value::string(&"x".repeat(bytes))),
            time_ms: id as u64,
            actor: "".into(),
        });
        prepared.expect("it is fine")
    }

    #[test]
    fn chunks_are_bounded_and_give_back_what_they_took() {
        for bytes in [1, 30_000] {
            let prepared: Vec<Prepared> = (0..2_000).map(|id| event(id, bytes)).collect();
            let chunks = chunks(&prepared, 5);
            let (mut place, mut found) = (5, Vec::new());
            for chunk in &chunks {
                assert_eq!(chunk.first, place);
                assert!(chunk.count <= EVENTS && chunk.body.len() <= BYTES + 4 * EVENTS);
                let marks = marks(chunk.first, &chunk.marks).expect("they are whole");
                assert_eq!(marks.len(), chunk.count);
                let at = (chunk.first, 9);
                found.extend(events(at, chunk.sum, &chunk.body, 7, 1_500).expect("it is whole"));
                place += chunk.count as u64;
            }
            assert_eq!(place, 2_005);
            assert_eq!(found.len(), 1_998);
            for ((event, _), prepared) in found.iter().zip(&prepared[2..]) {
                assert_eq!(event.event, prepared.event);
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let chunk = chunks(&[event(1, 10)], 1).pop().expect("one");
        for at in 0..chunk.body.len() {
            let mut body = chunk.body.clone();
            body[at] ^= 1;
            assert!(events((1, 0), chunk.sum, &body, 1, 9).is_err());
        }
        for at in 0..chunk.marks.len() {
            let mut damaged = chunk.marks.clone();
            damaged[at] ^= 1;
            assert!(marks(1, &damaged).is_err());
        }
    }
}
