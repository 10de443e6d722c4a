//! The code in which HPACK writes text, for the characters that tokens have (RFC 7541, appendix B).
//!
//! It is canonical: the codes of one length follow each other in the order of their characters, and a length begins where
//! the one before ended, with a bit more. So the characters of each length are all there is to tell.

/// By the length of their codes, from five bits on.
const OF_LENGTH: [&[u8]; 4] = [
    b"012aceiost",
    b" %-./3456789=A_bdfghlmnpru",
    b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    b"&*,;XZ",
];
const SHORTEST: u32 = 5;

/// The text in this code.
pub fn encode(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut waiting) = (Vec::new(), 0, 0);
    for character in text.bytes() {
        let (code, length) = code(character);
        // What is already in `out` leaves at the top.
        bits = bits << length | code;
        waiting += length;
        while waiting >= 8 {
            waiting -= 8;
            out.push((bits >> waiting) as u8);
        }
    }
    if waiting > 0 {
        // The last byte is filled up with ones.
        out.push((bits << (8 - waiting)) as u8 | 0xff >> waiting);
    }
    out
}

/// The code of a character, and its bits.
fn code(character: u8) -> (u64, u32) {
    let mut first = 0;
    for (length, characters) in (SHORTEST..).zip(OF_LENGTH) {
        if let Some(at) = characters.iter().position(|one| *one == character) {
            return (first + at as u64, length);
        }
        first = (first + characters.len() as u64) << 1;
    }
    panic!("no token has the byte {character}");
}
