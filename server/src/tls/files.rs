//! The files that TLS is made of: a certificate with its chain, its key, and the authority of the clients, all in PEM.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use xxhash_rust::xxh3::Xxh3;

use super::client::Authorities;

/// Bytes that one of the files may have. A bundle of all public authorities has a quarter of it.
const FILE_BYTES: u64 = 1 << 20;

/// Where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// The authorities whose certificates are good for clients. None: no client is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// Why they cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One cannot be read.
    #[error("{path} cannot be read: {cause}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The key is not kept from others.
    #[error(
        "the key {path} can be used by everybody on this machine (its mode is {mode:03o}): run `chmod 600 {path}`",
        path = .path.display()
    )]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// One does not hold what it should.
    #[error("{path} holds no {what} in PEM: {why}", path = .path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// They do not go together, or no TLS can be made of them.
    #[error("{certificate} and {key} cannot be used: {cause}", certificate = .certificate.display(), key = .key.display())]
    Unusable {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// No client can be judged by these authorities.
    #[error("the authorities in {path} cannot be used: {why}", path = .path.display())]
    ClientCa {
        /// Where they are.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// What TLS needs to greet a connection, for each protocol that is spoken inside.
#[derive(Clone)]
pub(super) struct Configs {
    /// For gRPC.
    pub(super) h2: Arc<ServerConfig>,
    /// For metrics and health.
    pub(super) http1: Arc<ServerConfig>,
    /// Who vouches for clients, and the judge who asks them; nobody, where clients show no certificates.
    pub(super) clients: Option<(Authorities, Arc<dyn ClientCertVerifier>)>,
}

impl Configs {
    /// Who vouches for clients.
    pub(super) fn authorities(&self) -> Authorities {
        let clients = self.clients.as_ref();
        clients.map_or_else(Authorities::default, |(authorities, _)| *authorities)
    }
}

/// What the files held when they were read.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    /// Differs for other contents. Chosen for speed, and no secret: it stays in this process.
    pub(super) fn fingerprint(&self) -> u128 {
        let mut hash = Xxh3::new();
        let ca = self.client_ca.as_deref().unwrap_or_default();
        for part in [&self.certificate, &self.key, ca] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.digest128()
    }
}

impl TlsFiles {
    /// What they hold now.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: content(&self.certificate)?,
            key: secret(&self.key)?,
            client_ca: self.client_ca.as_deref().map(content).transpose()?,
        })
    }

    /// What can be made of it.
    pub(super) fn configs(&self, contents: &Contents) -> Result<Configs, TlsError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|cause| unreadable(&self.key, "private key", &cause))?;
        // Named, so that nothing depends on what somebody else has installed as the default of the process.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unusable = |cause| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            cause,
        };
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let mut clients = None;
        let config = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(content)) => {
                let refused = |why: String| TlsError::ClientCa {
                    path: path.clone(),
                    why,
                };
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, content)? {
                    roots
                        .add(certificate)
                        .map_err(|error| refused(error.to_string()))?;
                }
                // One that shows none may still sign in otherwise; one that shows a wrong one has no connection.
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated()
                        .build()
                        .map_err(|error: VerifierBuilderError| refused(error.to_string()))?;
                clients = Some((fingerprint(content), verifier.clone()));
                config.with_client_cert_verifier(verifier)
            }
            _ => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(chain, key).map_err(unusable)?;
        // A session that is taken up again is not asked for its certificate, though that may have expired meanwhile; and
        // connections are few and long, so that little is lost.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Configs {
            h2: speaking(b"h2"),
            http1: speaking(b"http/1.1"),
            clients,
        })
    }
}

/// Names authorities by what their file holds.
fn fingerprint(content: &[u8]) -> Authorities {
    let mut hash = Xxh3::new();
    hash.update(content);
    Authorities(hash.digest128())
}

fn certificates(path: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(content).collect();
    let all = match all {
        Ok(all) if all.is_empty() => Err(pem::Error::NoItemsFound),
        all => all,
    };
    all.map_err(|cause| unreadable(path, "certificate", &cause))
}

fn unreadable(path: &Path, what: &'static str, cause: &pem::Error) -> TlsError {
    // Others of its errors quote what they have read, which may be a key.
    let why = match cause {
        pem::Error::NoItemsFound => "there is none in it",
        _ => "it is damaged",
    };
    TlsError::Pem {
        path: path.into(),
        what,
        why: why.into(),
    }
}

/// What is in the file of a key, which nobody else may read.
fn secret(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::os::unix::fs::PermissionsExt as _;
    let read = |cause| TlsError::Read {
        path: path.into(),
        cause,
    };
    // Its group may read it: so Debian keeps keys for the programs that need them.
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(TlsError::Exposed {
            path: path.into(),
            mode,
        });
    }
    content(path)
}

fn content(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut content = Vec::new();
        let file = std::fs::File::open(path)?;
        // One byte more than allowed tells that there is more.
        file.take(FILE_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > FILE_BYTES {
            let what = format!("it has more than {FILE_BYTES} bytes, which no file of PEM needs");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(content)
    };
    read().map_err(|cause| TlsError::Read {
        path: path.into(),
        cause,
    })
}
