//! What a service needs to be there: it registers itself, keeps its lease alive, and registers again when it must.
//!
//! ```no_run
//! use amadeus_client::{Registration, v1};
//! use std::time::Duration;
//!
//! # async fn start() -> Result<(), amadeus_client::AddressError> {
//! let service = v1::Service { name: "checkout".into(), capabilities: vec!["payments".into()], ..Default::default() };
//! let servers = ["http://127.0.0.1:50051", "http://127.0.0.1:50061"];
//! let registration = Registration::keep(servers, service, Duration::from_secs(10))?;
//! // ... serve ...
//! registration.say(v1::Health::Degraded);
//! // ... and in the end:
//! registration.end().await;
//! # Ok(())
//! # }
//! ```
//!
//! A server with TLS is called by `https://`. [`Server`] says what else there is to say of one: the token of the service (an API key),
//! authorities that this machine does not know, a certificate to show.
//!
//! Everything happens in a task of its own, which never gives up: servers may go and come back, and a lease that is gone is
//! followed by another registration. A process that ends without [`Registration::end`] is DOWN once its lease has lapsed.
#![warn(missing_docs)]

mod pause;
mod registration;
mod server;

pub use amadeus_proto::v1;
pub use registration::{Registration, State};
pub use server::{AddressError, Server};
pub use tonic::transport;
