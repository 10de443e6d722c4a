//! The way in: accepts connections, and hands on those that are ready to be served.
//!
//! Accepting waits for nobody. A handshake is a task of its own that has ten seconds; when there are too many, the one that
//! has waited longest is cut off, which is seldom one that was going to end well. Nothing that a client does ends a door, nor does
//! a machine without free files: then it waits for a moment and goes on.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::certificates::Certificates;
use super::client::{Authorities, ClientCertificate};
use crate::connection::{Connection, Peer, Stream};

/// Handshakes at a time.
const HANDSHAKES: usize = 1_024;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that are ready and not served yet.
const READY: usize = 64;

/// How long a machine without free files is given.
const BREATH: Duration = Duration::from_millis(500);

/// What is spoken behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2.
    Grpc,
    /// HTTP/1.1.
    Http,
}

/// How handshakes ended.
#[derive(Clone, Debug)]
pub struct Handshakes {
    /// Well.
    pub done: IntCounter,
    /// Without agreement, or the client went away.
    pub failed: IntCounter,
    /// Not within their time, or cut off to make room.
    pub cut: IntCounter,
}

/// A door. Dropped, it closes.
pub struct Door {
    ready: mpsc::Receiver<Connection>,
    address: io::Result<SocketAddr>,
}

impl Door {
    /// Opens it, with TLS where there are certificates.
    #[must_use]
    pub fn open(
        listener: TcpListener,
        protocol: Protocol,
        certificates: Option<Certificates>,
        handshakes: Handshakes,
    ) -> Self {
        let address = listener.local_addr();
        let (pass, ready) = mpsc::channel(READY);
        let keeper = Keeper {
            protocol,
            certificates,
            handshakes,
            pass,
            begun: VecDeque::new(),
        };
        tokio::spawn(keeper.run(listener));
        Self { ready, address }
    }
}

impl futures::Stream for Door {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|ready| ready.map(Ok))
    }
}

impl axum::serve::Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => {
                let address = connection.peer().address;
                (connection, address)
            }
            // The runtime ends.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Door>) -> Self {
        stream.io().peer().clone()
    }
}

/// The task behind a door.
struct Keeper {
    protocol: Protocol,
    certificates: Option<Certificates>,
    handshakes: Handshakes,
    pass: mpsc::Sender<Connection>,
    /// Handshakes that were begun, the oldest first; some have ended since.
    begun: VecDeque<AbortHandle>,
}

impl Keeper {
    async fn run(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.pass.closed() => return,
            };
            match accepted {
                Ok((stream, address)) => self.welcome(stream, address).await,
                // The client was gone before it was seen.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted now");
                    sleep(BREATH).await;
                }
            }
        }
    }

    async fn welcome(&mut self, stream: TcpStream, address: SocketAddr) {
        // Without this a reply would wait for the client to acknowledge the one before.
        if let Err(error) = stream.set_nodelay(true) {
            return tracing::debug!(%error, %address, "a connection broke at once");
        }
        let Some(certificates) = &self.certificates else {
            let peer = Peer {
                address,
                certificate: None,
            };
            let connection = Connection::new(Stream::Plain(stream), peer);
            // It fails when nobody serves any longer.
            let _ = self.pass.send(connection).await;
            return;
        };
        let (config, authorities) = certificates.now(self.protocol);
        let acceptor = TlsAcceptor::from(config);
        self.make_room();
        let (pass, handshakes) = (self.pass.clone(), self.handshakes.clone());
        let handshake = tokio::spawn(async move {
            if let Some(connection) =
                greet(acceptor, authorities, stream, address, &handshakes).await
            {
                let _ = pass.send(connection).await;
            }
        });
        self.begun.push_back(handshake.abort_handle());
    }

    /// Cuts off the oldest handshake where there are too many.
    fn make_room(&mut self) {
        if self.begun.len() < HANDSHAKES {
            return;
        }
        self.begun.retain(|handshake| !handshake.is_finished());
        if self.begun.len() >= HANDSHAKES
            && let Some(oldest) = self.begun.pop_front()
        {
            oldest.abort();
            self.handshakes.cut.inc();
        }
    }
}

/// One handshake.
async fn greet(
    acceptor: TlsAcceptor,
    authorities: Authorities,
    stream: TcpStream,
    address: SocketAddr,
    handshakes: &Handshakes,
) -> Option<Connection> {
    let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            handshakes.failed.inc();
            tracing::debug!(%error, %address, "a handshake failed");
            return None;
        }
        Err(_) => {
            handshakes.cut.inc();
            tracing::debug!(%address, "a handshake took too long");
            return None;
        }
    };
    handshakes.done.inc();
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.and_then(|chain| ClientCertificate::of(chain, authorities));
    let peer = Peer {
        address,
        certificate,
    };
    Some(Connection::new(Stream::Encrypted(Box::new(stream)), peer))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionAborted | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn where_there_are_too_many_handshakes_the_oldest_is_cut_off() {
        let metrics = Metrics::new().expect("the names differ");
        let (pass, _ready) = mpsc::channel(1);
        let mut keeper = Keeper {
            protocol: Protocol::Grpc,
            certificates: None,
            handshakes: metrics.handshakes(),
            pass,
            begun: VecDeque::new(),
        };
        let never = || tokio::spawn(std::future::pending::<()>());
        let oldest = never();
        keeper.begun.push_back(oldest.abort_handle());
        for _ in 1..HANDSHAKES {
            keeper.begun.push_back(never().abort_handle());
        }
        keeper.make_room();
        assert!(oldest.await.expect_err("it was cut off").is_cancelled());
        assert_eq!(keeper.begun.len(), HANDSHAKES - 1);
        assert_eq!(keeper.handshakes.cut.get(), 1);

        // One that has ended makes room by itself.
        let ended = tokio::spawn(async {});
        keeper.begun.push_back(ended.abort_handle());
        ended.await.expect("it ends");
        keeper.make_room();
        assert_eq!(keeper.begun.len(), HANDSHAKES - 1);
        assert_eq!(keeper.handshakes.cut.get(), 1);
    }
}
