//! Inputs changed at random into inputs like them.
//!
//! A change of one byte of a protobuf message mostly breaks a length and with it everything behind it. So messages are taken
//! apart into fields, changed inside, and put together with lengths that fit; what is no message is changed byte by byte.

use kg_core::testing::generate::Rng;

/// Bytes that mean something somewhere.
const TOKENS: [&[u8]; 22] = [
    b"{}",
    b"[]",
    b"null",
    b"-1",
    b"1e308",
    b"9007199254740993",
    b"\"\"",
    b"\\u0000",
    b"\"",
    b",",
    b".",
    b"[0]",
    b"\0",
    b"\n",
    b"\xff",
    b"\xc3\xbc",
    b"service/a",
    b"depends_on",
    b"requires",
    b"metadata",
    b"version",
    b"a:v1",
];

/// Longer inputs find nothing that these do not.
const BYTES: usize = 4 * 1024;

/// Any bytes: some flipped, left out, doubled, replaced, or something put between.
#[must_use]
pub fn bytes(input: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len() + 1);
        let end = (at + 1 + rng.below(8)).min(bytes.len());
        match rng.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            1 if at < bytes.len() => drop(bytes.drain(at..end)),
            2 if at < bytes.len() => {
                let part = bytes[at..end].to_vec();
                let to = rng.below(bytes.len());
                drop(bytes.splice(to..to, part));
            }
            3 if at < bytes.len() => bytes[at] = rng.below(256) as u8,
            _ => drop(bytes.splice(at..at, rng.pick(&TOKENS).iter().copied())),
        }
    }
    bytes.truncate(BYTES);
    bytes
}

/// A protobuf message: a field changed, left out, doubled or moved, at any depth.
#[must_use]
pub fn message(input: &[u8], rng: &mut Rng) -> Vec<u8> {
    match fields(input) {
        Some(mut fields) if !fields.is_empty() && !rng.once_in(16) => {
            change(&mut fields, rng);
            fields.iter().flat_map(Field::bytes).collect()
        }
        _ => bytes(input, rng),
    }
}

fn change(fields: &mut Vec<Field>, rng: &mut Rng) {
    let at = rng.below(fields.len());
    match rng.below(10) {
        0 => drop(fields.remove(at)),
        1 => fields.insert(rng.below(fields.len()), fields[at].clone()),
        2 => {
            let other = rng.below(fields.len());
            fields.swap(at, other);
        }
        // A field of another name and the same form.
        3 => fields[at].key = (fields[at].key & 7) | ((1 + rng.below(9) as u64) << 3),
        _ => match &mut fields[at].content {
            Content::Number(number) => {
                *number = *rng.pick(&[
                    0,
                    1,
                    2,
                    255,
                    1 << 32,
                    u64::MAX,
                    *number ^ 1,
                    number.wrapping_add(1),
                ]);
            }
            Content::Fixed(bytes) => {
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
            Content::Bytes(bytes) => *bytes = message(bytes, rng),
        },
    }
}

/// One field of a message, as the wire has it.
#[derive(Clone)]
struct Field {
    /// Its number and its form.
    key: u64,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Number(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Field {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(self.key, &mut out);
        match &self.content {
            Content::Number(number) => put(*number, &mut out),
            Content::Fixed(bytes) => out.extend(bytes),
            Content::Bytes(bytes) => {
                put(bytes.len() as u64, &mut out);
                out.extend(bytes);
            }
        }
        out
    }
}

/// The fields of a message, if these bytes can be one.
fn fields(mut rest: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let key = take(&mut rest)?;
        let content = match key & 7 {
            0 => Content::Number(take(&mut rest)?),
            1 => Content::Fixed(rest.split_off(..8)?.to_vec()),
            2 => {
                let length = usize::try_from(take(&mut rest)?).ok()?;
                Content::Bytes(rest.split_off(..length)?.to_vec())
            }
            5 => Content::Fixed(rest.split_off(..4)?.to_vec()),
            _ => return None,
        };
        if key >> 3 == 0 {
            return None;
        }
        fields.push(Field { key, content });
    }
    Some(fields)
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(rest).ok()
}

fn put(number: u64, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(number, out);
}
