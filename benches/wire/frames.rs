//! HTTP/2, as little of it as a client needs that makes one unary call over and over.
//!
//! A whole client costs as much as the server that it asks, and where both share two cores it is then the client that is
//! measured. This one sends each call as two small frames, its headers as six indices once the server knows them (see
//! `headers.rs`), and of a reply it reads the lengths and the end. A call is answered when its reply ended after a message;
//! a reply without one carries an error.

use std::collections::HashMap;
use std::io;

use super::headers::Headers;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Bytes of a frame before its payload, and of a message before its body.
const FRAME: usize = 9;
const MESSAGE: usize = 5;

/// Bytes of a frame's payload that every server takes.
const MOST: usize = 16 * 1024;

/// What the server may send before it is told that it was read: enough for seconds. Half of it is given back at a time.
const READ_AHEAD: u32 = 1 << 30;

/// What may be sent on a connection before the server says that it was read, at the beginning.
const SEND_AHEAD: i64 = 65_535;

/// One connection, apart from its socket.
pub struct Frames {
    /// What has to be sent.
    pub out: Vec<u8>,
    /// The last reply's messages with their five bytes each, where they are kept.
    pub kept: Option<Vec<u8>>,
    received: Vec<u8>,
    headers: Headers,
    next_stream: u32,
    send_ahead: i64,
    unacknowledged: u32,
    /// Calls without an end, and the bytes of their replies so far.
    open: HashMap<u32, usize, foldhash::fast::FixedState>,
}

impl Frames {
    /// A connection for calls with these headers.
    pub fn new(headers: Headers) -> Self {
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // No pushes, and room for a large reply on each stream.
        let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
        settings.extend((1u32 << 24).to_be_bytes());
        frame(&mut out, SETTINGS, 0, 0, &settings);
        frame(&mut out, WINDOW, 0, 0, &READ_AHEAD.to_be_bytes());
        Self {
            out,
            kept: None,
            received: Vec::new(),
            headers,
            next_stream: 1,
            send_ahead: SEND_AHEAD,
            unacknowledged: 0,
            open: HashMap::default(),
        }
    }

    /// How many calls have no answer yet.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Whether the server would take a message of so many bytes now.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.send_ahead >= (bytes + MESSAGE) as i64
    }

    /// Adds a call to what has to be sent. Its message goes into one frame.
    pub fn call(&mut self, message: &[u8]) {
        assert!(message.len() + MESSAGE <= MOST, "the message has one frame");
        let stream = self.next_stream;
        self.next_stream += 2;
        let headers = self.headers.on(stream);
        frame(&mut self.out, HEADERS, END_HEADERS, stream, headers);
        let bytes = message.len() + MESSAGE;
        head(&mut self.out, bytes, DATA, END_STREAM, stream);
        self.out.push(0);
        self.out.extend((message.len() as u32).to_be_bytes());
        self.out.extend_from_slice(message);
        self.send_ahead -= bytes as i64;
        self.open.insert(stream, 0);
    }

    /// Takes what was received; tells how many calls it answered.
    pub fn take(&mut self, bytes: &[u8]) -> io::Result<u64> {
        self.received.extend_from_slice(bytes);
        let received = std::mem::take(&mut self.received);
        let (mut rest, mut answered) = (&received[..], 0);
        while let Some((head, after)) = rest.split_at_checked(FRAME) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            let stream = number(&head[5..]);
            answered += u64::from(self.one(head[3], head[4], stream, payload)?);
            rest = after;
        }
        self.received = rest.to_vec();
        Ok(answered)
    }

    /// One frame; whether it ended a reply.
    fn one(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<bool> {
        match kind {
            DATA => {
                self.read(payload.len() as u32);
                if let Some(so_far) = self.open.get_mut(&stream) {
                    *so_far += payload.len();
                }
                if let Some(kept) = &mut self.kept {
                    kept.extend_from_slice(payload);
                }
            }
            SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            WINDOW if stream == 0 => self.send_ahead += i64::from(number(payload)),
            // A call that is already answered may be reset.
            RESET if self.open.contains_key(&stream) => {
                return Err(io::Error::other("the server reset a call"));
            }
            GO_AWAY => return Err(io::Error::other("the server ended the connection")),
            _ => {}
        }
        let ends = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        match ends.then(|| self.open.remove(&stream)).flatten() {
            Some(bytes) if bytes < MESSAGE => Err(io::Error::other("the server refused a call")),
            ended => Ok(ended.is_some()),
        }
    }

    fn read(&mut self, bytes: u32) {
        self.unacknowledged += bytes;
        if self.unacknowledged > READ_AHEAD / 2 {
            let more = std::mem::take(&mut self.unacknowledged);
            frame(&mut self.out, WINDOW, 0, 0, &more.to_be_bytes());
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    head(out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
}

fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
}

/// Four bytes as a number; the first bit is reserved.
fn number(bytes: &[u8]) -> u32 {
    let four = bytes.first_chunk().copied().unwrap_or_default();
    u32::from_be_bytes(four) & 0x7fff_ffff
}
