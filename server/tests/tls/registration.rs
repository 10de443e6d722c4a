//! A service that registers itself over TLS, by the client library.

use std::time::Duration;

use amadeus_client::transport::{Certificate, ClientTlsConfig, Endpoint};
use amadeus_client::{Registration, Server, State, v1};

use crate::authority::{Authority, keep, options};
use crate::serving::Served;

#[tokio::test]
async fn a_service_registers_with_a_server_that_it_trusts() {
    let authority = Authority::new("the authority");
    let folder = tempfile::tempdir().expect("a folder");
    let files = keep(folder.path(), &authority.server(), None);
    let served = Served::start(folder.path(), &options(&files)).await;
    let service = v1::Service {
        name: "checkout".into(),
        ..v1::Service::default()
    };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem));
    let endpoint = Endpoint::from_shared(format!("https://{}", served.grpc)).expect("an address");
    let server = Server::by(endpoint.tls_config(tls).expect("an authority"));
    let registration = Registration::keep_at(vec![server], service, Duration::from_secs(10));
    let registration = registration.expect("a server");
    let mut state = registration.state();
    let kept = state.wait_for(|state| matches!(state, State::Kept(_)));
    let kept = tokio::time::timeout(crate::process::PATIENCE, kept).await;
    kept.expect("it is kept in time").expect("it goes on");
    registration.end().await;
}
