//! The headers of a call in HPACK: in full on a connection's first call, and by the numbers that the server then has for them
//! on all that follow.
//!
//! Clients do not agree about a token. grpc-go has the server remember it as any other header, so that after the first call
//! it is one byte. h2, and so tonic's client and ours, takes it for a header that changes, and sends all of it each time.

use super::huffman;

/// What a call shows of who makes it.
#[derive(Clone, Debug)]
pub enum Shown {
    Nothing,
    /// A token, which the server remembers with the other headers.
    Once(String),
    /// A token that every call sends anew.
    EachTime(String),
}

/// The headers of the calls of one method on one connection.
pub struct Headers {
    first: Vec<u8>,
    further: Vec<u8>,
}

impl Headers {
    pub fn new(path: &str, authority: &str, encrypted: bool, shown: &Shown) -> Self {
        let always = [POST, if encrypted { HTTPS } else { HTTP }];
        let mut first = always.to_vec();
        let mut remembered = 0;
        let mut remember = |name: &[u8], value: &str| {
            first.extend_from_slice(name);
            length(&mut first, value.len(), 0);
            first.extend_from_slice(value.as_bytes());
            remembered += 1;
        };
        remember(b"\x44", path);
        remember(b"\x41", authority);
        remember(b"\x40\x02te", "trailers");
        remember(b"\x5f", "application/grpc");
        if let Shown::Once(token) = shown {
            remember(b"\x57", &bearer(token));
        }
        // The server numbers from the last on.
        let mut further = always.to_vec();
        further.extend((0..remembered).rev().map(|nth| LAST_TOLD + nth));
        if let Shown::EachTime(token) = shown {
            let value = huffman::encode(&bearer(token));
            for block in [&mut first, &mut further] {
                block.extend_from_slice(NOT_REMEMBERED);
                length(block, value.len(), IN_HUFFMANS_CODE);
                block.extend_from_slice(&value);
            }
        }
        Self { first, further }
    }

    /// The block of the call on this stream.
    pub fn on(&self, stream: u32) -> &[u8] {
        if stream == 1 {
            &self.first
        } else {
            &self.further
        }
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

const POST: u8 = 0x83;
const HTTP: u8 = 0x86;
const HTTPS: u8 = 0x87;

/// The number of the header that was told last, behind those of the static table.
const LAST_TOLD: u8 = 0x80 | 62;

/// `authorization`, by the number 23 of the static table, with a value that is not to be remembered.
const NOT_REMEMBERED: &[u8] = &[0x0f, 23 - 0x0f];

const IN_HUFFMANS_CODE: u8 = 0x80;

/// The length of a value: in seven bits, or all of them set and the rest in seven bits of each further byte.
fn length(block: &mut Vec<u8>, length: usize, code: u8) {
    let Some(mut rest) = length.checked_sub(0x7f) else {
        return block.push(code | length as u8);
    };
    block.push(code | 0x7f);
    while rest >= 0x80 {
        block.push(0x80 | rest as u8);
        rest >>= 7;
    }
    block.push(rest as u8);
}
