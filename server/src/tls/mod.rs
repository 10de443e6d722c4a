//! TLS of what the server listens on.
//!
//! ```text
//! socket -> door (handshake, within 10 s, many at once) -> Connection { peer: address, name of the certificate } -> services
//!             \__ certificates: what the files say now    \__ subject: the name in a verified certificate
//! ```
//!
//! Both listeners have a door, with or without TLS, so that there is one way in. The files are looked at while the server
//! runs: a connection keeps what it began with, and the next one gets what the files say now. Files that cannot be used are
//! told of, and those before stay.

mod certificates;
mod client;
mod door;
mod files;
mod subject;

pub use certificates::Certificates;
pub use client::{Authorities, ClientCertificate};
pub use door::{Door, Handshakes, Protocol};
pub use files::{TlsError, TlsFiles};
