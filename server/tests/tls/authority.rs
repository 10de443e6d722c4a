//! An authority of this test's own, the certificates that it gives, and the files that they are kept in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use amadeus::tls::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, as PEM.
    pub pem: String,
}

/// A certificate and its key, as PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        // Some libraries make one of it once for the process, in main.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer);
        Issued {
            certificate: certificate.expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// For a server on this machine.
    pub fn server(&self) -> Issued {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        self.issue(&CertificateParams::new(names).expect("names"))
    }

    /// For a server and nobody else.
    pub fn server_only(&self) -> Issued {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params)
    }

    /// For the user of this name.
    pub fn client(&self, name: &str) -> Issued {
        self.client_until(name, None)
    }

    /// For the user of this name, until so many seconds after 1970.
    pub fn client_until(&self, name: &str, end_s: Option<u64>) -> Issued {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Some(end_s) = end_s {
            params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end_s);
        }
        self.issue(&params)
    }

    /// A channel of who trusts this authority, and shows this certificate.
    pub async fn channel(
        &self,
        address: &str,
        client: Option<&Issued>,
    ) -> Result<Channel, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem));
        if let Some(client) = client {
            tls = tls.identity(Identity::from_pem(&client.certificate, &client.key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
        endpoint.tls_config(tls)?.connect().await
    }

    /// A connection of who trusts this authority, on which these protocols may be spoken.
    pub async fn connect(
        &self,
        address: &str,
        protocols: &[&str],
        client: Option<&Issued>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(own).expect("an authority");
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match client {
            Some(issued) => config
                .with_client_auth_cert(
                    vec![
                        CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM"),
                    ],
                    PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM"),
                )
                .expect("they go together"),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = "localhost".try_into().expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }
}

/// Writes what a server needs into this folder, as whoever renews certificates would: each file at once.
pub fn keep(folder: &Path, server: &Issued, clients: Option<&Authority>) -> TlsFiles {
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, content).expect("there is room");
        let only_ours = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&new, only_ours).expect("it is ours");
        std::fs::rename(&new, &path).expect("it is ours");
        path
    };
    TlsFiles {
        certificate: file("server.pem", &server.certificate),
        key: file("server.key", &server.key),
        client_ca: clients.map(|authority| file("clients.pem", &authority.pem)),
    }
}

/// The options that name them.
pub fn options(files: &TlsFiles) -> Vec<String> {
    let option = |name: &str, path: &PathBuf| [name.to_owned(), path.display().to_string()];
    let mut options = Vec::from(["--store".to_owned(), "memory:".to_owned()]);
    options.extend(option("--tls-cert", &files.certificate));
    options.extend(option("--tls-key", &files.key));
    if let Some(ca) = &files.client_ca {
        options.extend(option("--tls-client-ca", ca));
    }
    options
}
