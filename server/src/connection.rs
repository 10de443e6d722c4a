//! A client's connection, which sends together what is ready together.
//!
//! Below tonic each reply would go to the socket by itself, as soon as its call has ended, though others are about to end: with
//! many calls in flight, sending is then the largest part of what a read costs. So a flush lets the tasks that are waiting for
//! its thread run first, once, and then sends what they have added. A reply waits for as long as these run, and a
//! client alone for nothing, since nobody else waits. Whether the connection is encrypted makes no difference to this, except
//! that what goes together is encrypted together too.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::tls::ClientCertificate;

/// Bytes that wait for others before all are sent.
const MOST: usize = 64 * 1024;

/// Who is at the other end. Every request has it among its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address that it calls from.
    pub address: SocketAddr,
    /// The certificate that it showed, where it did; it was verified before the first byte of a request.
    pub certificate: Option<ClientCertificate>,
}

/// The bytes below: as they are, or encrypted.
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// By TLS, whose handshake is over.
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// The connection.
pub struct Connection {
    stream: Stream,
    peer: Peer,
    /// What has to be sent, and how much of it is.
    ready: Vec<u8>,
    sent: usize,
    /// The others' turn, while it lasts.
    turn: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether they had it since the last flush.
    waited: bool,
}

impl Connection {
    /// Around a stream whose every write is sent at once.
    #[must_use]
    pub fn new(stream: Stream, peer: Peer) -> Self {
        Self {
            stream,
            peer,
            ready: Vec::new(),
            sent: 0,
            turn: None,
            waited: false,
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.ready.len() {
            let rest = &self.ready[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.ready.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ready.len() >= MOST {
            ready!(this.send(cx))?;
        }
        let before = this.ready.len();
        for slice in slices {
            this.ready.extend_from_slice(slice);
        }
        Poll::Ready(Ok(this.ready.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ready.is_empty() {
            // What was encrypted may still wait for the socket.
            return Pin::new(&mut this.stream).poll_flush(cx);
        }
        if !this.waited {
            // Not by waking ourselves: that wakes another thread as well, which takes this task or one of those before it.
            let turn = this.turn.get_or_insert_with(|| Box::pin(yield_now()));
            ready!(turn.as_mut().poll(cx));
            this.turn = None;
            this.waited = true;
        }
        ready!(this.send(cx))?;
        this.waited = false;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, into)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("it is bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(at), listener.accept());
        let (stream, address) = accepted.expect("it was accepted");
        let peer = Peer {
            address,
            certificate: None,
        };
        (
            Connection::new(Stream::Plain(stream), peer),
            client.expect("it is connected"),
        )
    }

    #[tokio::test]
    async fn a_flush_sends_what_waiting_tasks_add() {
        let (connection, mut client) = pair().await;
        let shared = Arc::new(tokio::sync::Mutex::new(connection));
        let mine = shared.clone();
        let flushed = tokio::spawn(async move {
            mine.lock().await.write_all(b"first ").await.expect("room");
            std::future::poll_fn(|cx| {
                let Ok(mut connection) = mine.try_lock() else {
                    return Poll::Pending;
                };
                Pin::new(&mut *connection).poll_flush(cx)
            })
            .await
        });
        let other = tokio::spawn(async move {
            let mut connection = shared.lock().await;
            connection.write_all(b"second").await.expect("room");
        });
        flushed.await.expect("no panic").expect("it is sent");
        other.await.expect("no panic");
        let mut read = [0; 64];
        let n = client.read(&mut read).await.expect("it arrives");
        assert_eq!(&read[..n], b"first second");
    }

    #[tokio::test]
    async fn all_that_is_written_arrives_in_order_however_slowly_it_is_read() {
        let (mut connection, mut client) = pair().await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            for some in sent.chunks(9_973) {
                connection.write_all(some).await.expect("it is taken");
            }
            connection.shutdown().await.expect("it ends");
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.expect("it arrives");
        writing.await.expect("no panic");
        assert!(received == expected);
    }
}
