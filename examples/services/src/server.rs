//! Serves some of the services on one address, with reflection.

use std::error::Error;

use clap::ValueEnum;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::inventory::Inventory;
use crate::payments::Payments;
use crate::shipping::Shipping;
use crate::v1::inventory_server::InventoryServer;
use crate::v1::payments_server::PaymentsServer;
use crate::v1::shipping_server::ShippingServer;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Keeps goods apart for orders.
    Inventory,
    /// Takes money.
    Payments,
    /// Sends parcels.
    Shipping,
}

/// What the services refuse.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Cents of one payment.
    pub payment_cents: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payment_cents: 100_000,
        }
    }
}

/// Serves until `end` ends.
///
/// # Errors
/// Why it cannot, or could not go on.
pub async fn serve(
    kinds: &[Kind],
    limits: Limits,
    listener: TcpListener,
    end: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let describing = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::FILE_DESCRIPTOR_SET)
    };
    // Many clients ask by the older name only, grpcio's among them.
    let (v1, v1alpha) = (describing().build_v1()?, describing().build_v1alpha()?);
    let has = |kind| kinds.contains(&kind);
    let inventory = has(Kind::Inventory).then(|| InventoryServer::new(Inventory::default()));
    let payments = Payments::up_to(limits.payment_cents);
    let payments = has(Kind::Payments).then(|| PaymentsServer::new(payments));
    let shipping = has(Kind::Shipping).then(|| ShippingServer::new(Shipping::default()));
    Server::builder()
        .add_service(v1)
        .add_service(v1alpha)
        .add_optional_service(inventory)
        .add_optional_service(payments)
        .add_optional_service(shipping)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), end)
        .await?;
    Ok(())
}
