//! The way to a server: its address, and what TLS needs to trust it and to be trusted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::failure::CliError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the server is.
#[derive(Debug, Clone, Args)]
pub struct WayArgs {
    /// The server: https://HOST:PORT, or http://HOST:PORT where it speaks no TLS
    #[arg(
        long,
        global = true,
        env = "AMADEUS_ADDR",
        default_value = "http://127.0.0.1:50051"
    )]
    pub addr: String,
    /// Authorities to trust besides those of this machine, in PEM
    #[arg(long, global = true, env = "AMADEUS_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Certificate to show to the server, in PEM: calls are its user's
    #[arg(long, global = true, env = "AMADEUS_CLIENT_CERT", value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// Key of that certificate, in PEM
    #[arg(long, global = true, env = "AMADEUS_CLIENT_KEY", value_name = "FILE")]
    pub client_key: Option<PathBuf>,
}

/// The way to a server.
#[derive(Clone, Debug)]
pub struct Way {
    url: String,
    endpoint: Endpoint,
}

impl Way {
    /// As the flags say it.
    pub fn of(args: &WayArgs) -> Result<Self, CliError> {
        if args.client_cert.is_some() != args.client_key.is_some() {
            return Err(CliError::Usage(
                "--client-cert and --client-key go together".into(),
            ));
        }
        let url = url(args)?;
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|e| CliError::Usage(format!("{:?} is not an address: {e}", args.addr)))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_adaptive_window(true);
        let endpoint = if is_encrypted(&url) {
            encrypted(endpoint, args)?
        } else {
            endpoint
        };
        Ok(Self { url, endpoint })
    }

    /// The whole address, by which credentials are kept.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether a secret can be read on its way.
    pub fn is_overheard(&self) -> bool {
        let host = self.endpoint.uri().host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        !is_encrypted(&self.url) && !is_loopback
    }

    /// Opens a connection.
    pub async fn dial(&self) -> Result<Channel, CliError> {
        let connected = self.endpoint.connect().await;
        connected.map_err(|cause| CliError::Connect {
            addr: self.url.clone(),
            cause,
        })
    }
}

fn is_encrypted(url: &str) -> bool {
    url.starts_with("https://")
}

/// `host:port` alone is enough of an address.
fn url(args: &WayArgs) -> Result<String, CliError> {
    let tls = [&args.ca, &args.client_cert].iter().any(|f| f.is_some());
    let addr = args.addr.trim_end_matches('/');
    match addr.split_once("://") {
        None if tls => Ok(format!("https://{addr}")),
        None => Ok(format!("http://{addr}")),
        Some(("https", _)) => Ok(addr.to_owned()),
        Some(("http", _)) if args.client_cert.is_some() => Err(CliError::Usage(format!(
            "a certificate can only be shown over TLS, and {addr} is without: write https://"
        ))),
        Some(("http", _)) => Ok(addr.to_owned()),
        Some((scheme, _)) => Err(CliError::Usage(format!(
            "{scheme}:// is not spoken by this client; an address is https://host:port or http://host:port"
        ))),
    }
}

fn encrypted(endpoint: Endpoint, args: &WayArgs) -> Result<Endpoint, CliError> {
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &args.ca {
        let pem = pem(ca)?;
        // One that is none would be left out in silence.
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        if all.map_or(true, |all| all.is_empty()) {
            return Err(not_pem(ca, "certificate"));
        }
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    if let (Some(certificate), Some(key)) = (&args.client_cert, &args.client_key) {
        let (certificate_pem, key_pem) = (pem(certificate)?, pem(key)?);
        if CertificateDer::from_pem_slice(&certificate_pem).is_err() {
            return Err(not_pem(certificate, "certificate"));
        }
        if PrivateKeyDer::from_pem_slice(&key_pem).is_err() {
            return Err(not_pem(key, "private key"));
        }
        tls = tls.identity(Identity::from_pem(certificate_pem, key_pem));
    }
    // A machine may have no authorities of its own, as a container often has; then those that are named are enough.
    let with_roots = endpoint.clone().tls_config(tls.clone().with_native_roots());
    let configured = match with_roots {
        Err(_) if args.ca.is_some() => endpoint.tls_config(tls),
        configured => configured,
    };
    configured.map_err(|error| {
        let why = super::failure::innermost(&error);
        CliError::Usage(match (&args.ca, &args.client_cert) {
            (None, None) => format!("{why}: name the authority of the server with --ca"),
            _ => format!("no TLS can be made of these files: {why}"),
        })
    })
}

fn pem(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|cause| CliError::File {
        path: path.into(),
        cause,
    })
}

fn not_pem(path: &Path, what: &str) -> CliError {
    CliError::Usage(format!("{} holds no {what} in PEM", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(addr: &str) -> WayArgs {
        WayArgs {
            addr: addr.into(),
            ca: None,
            client_cert: None,
            client_key: None,
        }
    }

    #[test]
    fn an_address_needs_no_scheme_and_takes_two() {
        for (given, whole) in [
            ("localhost:50051", "http://localhost:50051"),
            ("http://h:1/", "http://h:1"),
            ("https://h:1", "https://h:1"),
        ] {
            assert_eq!(url(&args(given)).expect("it is one"), whole);
        }
        assert!(url(&args("ftp://h:1")).is_err());
        let named = WayArgs {
            ca: Some("ca.pem".into()),
            ..args("h:1")
        };
        assert_eq!(url(&named).expect("it is one"), "https://h:1");
    }

    #[test]
    fn a_certificate_is_never_promised_where_it_cannot_be_shown() {
        let named = WayArgs {
            client_cert: Some("me.pem".into()),
            client_key: Some("me.key".into()),
            ..args("http://h:1")
        };
        let said = url(&named).expect_err("it cannot be shown").to_string();
        assert!(said.contains("https://"), "{said}");
    }

    #[test]
    fn what_leaves_this_machine_in_the_clear_is_overheard() {
        for (addr, overheard) in [
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("http://localhost:1", false),
            ("http://10.0.0.1:1", true),
            ("http://localhost.example:1", true),
        ] {
            let way = Way::of(&args(addr)).expect("it is one");
            assert_eq!(way.is_overheard(), overheard, "{addr}");
        }
    }

    #[test]
    fn files_that_hold_something_else_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "no PEM").expect("there is room");
        let named = WayArgs {
            ca: Some(path),
            ..args("h:1")
        };
        let said = Way::of(&named).expect_err("it holds none").to_string();
        assert!(said.contains("ca.pem holds no certificate"), "{said}");
    }
}
