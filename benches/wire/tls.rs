//! TLS: a certificate that servers show, and a client that trusts nobody else.
//!
//! Both sides are rustls and agree on TLS 1.3 with AES-256-GCM.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::servers::folder;

const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// Made for one run, and gone with it.
pub struct Tls {
    place: TempDir,
    client: TlsConnector,
}

impl Tls {
    pub fn new() -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let CertifiedKey { cert, signing_key } = own.expect("a certificate");
        let place = folder();
        let key = place.path().join(KEY);
        fs::write(place.path().join(CERTIFICATE), cert.pem()).expect("there is room");
        fs::write(&key, signing_key.serialize_pem()).expect("there is room");
        // The server takes no key that others may read.
        fs::set_permissions(key, Permissions::from_mode(0o600)).expect("it is ours");

        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has their ciphers");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            place,
            client: TlsConnector::from(Arc::new(config)),
        }
    }

    /// What a server is started with to show the certificate.
    pub fn options(&self) -> Vec<String> {
        let option = |name: &str, file| {
            let path = self.place.path().join(file);
            [name.to_owned(), path.display().to_string()]
        };
        [option("--tls-cert", CERTIFICATE), option("--tls-key", KEY)].concat()
    }

    /// The handshake.
    pub async fn greet(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = stream.peer_addr()?.ip().into();
        self.client.connect(name, stream).await
    }
}
