//! The way to a server: where it is, whether what is said there is encrypted, and what every call shows of who makes it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::frames::Frames;
use super::headers::{Headers, Shown};
use super::tls::Tls;

#[derive(Clone)]
pub struct Way<'a> {
    pub at: SocketAddr,
    pub tls: Option<&'a Tls>,
    pub shown: Shown,
}

/// What goes both ways. It is called through a pointer, once for each read from the socket and each write to it.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Bytes for T {}

impl Way<'_> {
    /// For anybody, in the clear.
    pub fn plain(at: SocketAddr) -> Self {
        Self {
            at,
            tls: None,
            shown: Shown::Nothing,
        }
    }

    /// The same way for whoever shows this.
    #[must_use]
    pub fn showing(&self, shown: Shown) -> Self {
        Self {
            shown,
            ..self.clone()
        }
    }

    /// A connection.
    pub async fn open(&self) -> io::Result<Box<dyn Bytes>> {
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        Ok(match self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.greet(stream).await?),
        })
    }

    /// What is said on a connection that is for calls of `path`.
    pub fn frames(&self, path: &str) -> Frames {
        let authority = self.at.to_string();
        let encrypted = self.tls.is_some();
        Frames::new(Headers::new(path, &authority, encrypted, &self.shown))
    }
}
