//! A server to call: where it is, what TLS needs to trust it, and the token that goes with every call.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// An address or a token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// There is none.
    #[error("no server was named: give at least one address such as http://127.0.0.1:50051")]
    None,
    /// One of them is not an address.
    #[error(
        "{address:?} is not the address of a server: write https://HOST:PORT or http://HOST:PORT"
    )]
    Invalid {
        /// Which.
        address: String,
        /// Why.
        #[source]
        cause: tonic::transport::Error,
    },
    /// The token has letters that no token has.
    #[error("the token is not one: it has letters that no token has")]
    Token,
}

/// A server, and who calls it.
#[derive(Clone)]
pub struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) bearer: Bearer,
}

impl Server {
    /// The server at `https://HOST:PORT`, whose certificate has to be signed by an authority that this machine trusts; or at
    /// `http://HOST:PORT`, without TLS.
    ///
    /// # Errors
    /// [`AddressError::Invalid`].
    pub fn at(address: &str) -> Result<Self, AddressError> {
        let invalid = |cause| AddressError::Invalid {
            address: address.to_owned(),
            cause,
        };
        let mut endpoint = Endpoint::from_shared(address.to_owned()).map_err(invalid)?;
        if address.starts_with("https://") {
            let tls = ClientTlsConfig::new().with_enabled_roots();
            endpoint = endpoint.tls_config(tls).map_err(invalid)?;
        }
        Ok(Self::by(endpoint))
    }

    /// The server at an endpoint that trusts other authorities, or shows a certificate of its own.
    #[must_use]
    pub fn by(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            bearer: Bearer::default(),
        }
    }

    /// Calls it as the bearer of this token: for a service, an API key.
    ///
    /// # Errors
    /// [`AddressError::Token`].
    pub fn with_token(mut self, token: &str) -> Result<Self, AddressError> {
        let value = format!("Bearer {token}").parse();
        let mut value: MetadataValue<Ascii> = value.map_err(|_| AddressError::Token)?;
        value.set_sensitive(true);
        self.bearer = Bearer(Some(value));
        Ok(self)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.endpoint.uri())
    }
}

/// Puts the token on every call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_with_every_call_and_is_shown_nowhere() {
        let server = Server::at("http://127.0.0.1:1").expect("an address");
        let server = server.with_token("secret").expect("a token");
        let mut bearer = server.bearer.clone();
        let request = bearer.call(Request::new(())).expect("a request");
        let value = request
            .metadata()
            .get("authorization")
            .expect("it is there");
        assert_eq!(value.to_str().expect("text"), "Bearer secret");
        for shown in [
            format!("{server:?}"),
            format!("{bearer:?}"),
            format!("{request:?}"),
        ] {
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert!(server.with_token("two\nlines").is_err());
    }

    #[test]
    fn what_is_no_address_is_named() {
        let said = Server::at("no address")
            .expect_err("it is none")
            .to_string();
        assert!(said.contains("no address"), "{said}");
    }
}
