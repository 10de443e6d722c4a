//! The load: a number of connections, and on each a number of calls in flight, from one thread.
//!
//! It is a closed loop. What is in flight when the time is up is waited for, so that no server works in another's turn.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use super::frames::Frames;
use super::way::{Bytes, Way};

/// Bytes that are read at once.
const READ: usize = 256 * 1024;

/// Writes the message of the call with this number.
pub type Message<'a> = Box<dyn Fn(u64, &mut Vec<u8>) + 'a>;

/// Connections to one server for calls of one method.
pub struct Load<'a> {
    runtime: Runtime,
    connections: Vec<Connection>,
    message: Message<'a>,
    /// How many calls were made.
    made: Cell<u64>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub answered: u64,
    pub took: Duration,
}

struct Connection {
    stream: Box<dyn Bytes>,
    frames: Frames,
    buffer: Vec<u8>,
}

impl<'a> Load<'a> {
    pub fn connect(at: SocketAddr, path: &str, connections: usize, message: Message<'a>) -> Self {
        Self::by(&Way::plain(at), path, connections, message)
    }

    /// The same by any way.
    pub fn by(way: &Way<'_>, path: &str, connections: usize, message: Message<'a>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be had");
        let connect = || async {
            Ok::<_, io::Error>(Connection {
                stream: way.open().await?,
                frames: way.frames(path),
                buffer: vec![0; READ],
            })
        };
        let connected = runtime.block_on(try_join_all((0..connections).map(|_| connect())));
        Self {
            connections: connected.expect("the server takes connections"),
            runtime,
            message,
            made: Cell::new(0),
        }
    }

    /// Keeps `in_flight` calls open on each connection for that long, then waits for their answers.
    pub fn run(&mut self, in_flight: usize, lasting: Duration) -> Turn {
        let began = Instant::now();
        let (message, made) = (&self.message, &self.made);
        let next = |message_of: &mut Vec<u8>| {
            made.set(made.get() + 1);
            message(made.get(), message_of);
        };
        let each = self.connections.iter_mut();
        let all = try_join_all(each.map(|c| c.run(in_flight, began + lasting, &next)));
        let answered = self.runtime.block_on(all).expect("every call is answered");
        Turn {
            answered: answered.iter().sum(),
            took: began.elapsed(),
        }
    }

    /// One call alone, and what it took.
    pub fn one(&mut self) -> Duration {
        self.run(1, Duration::ZERO).took
    }

    /// One call with this message; the body of its reply.
    pub fn ask(&mut self, message: &[u8]) -> Vec<u8> {
        let connection = &mut self.connections[0];
        connection.frames.kept = Some(Vec::new());
        let next = |out: &mut Vec<u8>| out.extend_from_slice(message);
        let asked = connection.run(1, Instant::now(), &next);
        self.runtime.block_on(asked).expect("the call is answered");
        let kept = connection.frames.kept.take().unwrap_or_default();
        kept.get(5..).unwrap_or_default().to_vec()
    }
}

/// One call over a connection of its own, and its reply.
pub fn ask<R: prost::Message + Default>(
    way: &Way<'_>,
    path: &str,
    message: &impl prost::Message,
) -> R {
    let mut load = Load::by(way, path, 1, Box::new(|_, _| {}));
    let reply = load.ask(&message.encode_to_vec());
    R::decode(&*reply).expect("it is a reply")
}

impl Connection {
    /// At least one call is made.
    async fn run(
        &mut self,
        in_flight: usize,
        until: Instant,
        next: &impl Fn(&mut Vec<u8>),
    ) -> io::Result<u64> {
        let (mut answered, mut message) = (0, Vec::new());
        let mut wanted = true;
        loop {
            while wanted && self.frames.open() < in_flight {
                if message.is_empty() {
                    next(&mut message);
                }
                if !self.frames.has_room(message.len()) {
                    break;
                }
                self.frames.call(&message);
                message.clear();
                wanted = Instant::now() < until;
            }
            self.stream.write_all(&self.frames.out).await?;
            // Encrypted bytes may still wait for room in the socket.
            self.stream.flush().await?;
            self.frames.out.clear();
            if !wanted && self.frames.open() == 0 {
                return Ok(answered);
            }
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(io::Error::other("the server closed the connection"));
            }
            answered += self.frames.take(&self.buffer[..read])?;
            wanted = wanted && Instant::now() < until;
        }
    }
}
