//! `shop.v1.Shipping`: sends parcels.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::{Request, Response, Status};

use crate::ledger::Ledger;
use crate::v1::{
    BookRequest, BookResponse, CancelRequest, CancelResponse, EffectsRequest, EffectsResponse,
    shipping_server,
};

/// The service.
#[derive(Default)]
pub struct Shipping {
    ledger: Ledger,
    booked: Mutex<Booked>,
}

#[derive(Default)]
struct Booked {
    bookings: u64,
    /// Which order each open one is for.
    open: HashMap<String, String>,
}

impl Shipping {
    fn booked(&self) -> MutexGuard<'_, Booked> {
        self.booked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, request: &BookRequest) -> Result<BookResponse, Status> {
        if request.address.is_empty() {
            return Err(Status::invalid_argument("address is required"));
        }
        let mut booked = self.booked();
        booked.bookings += 1;
        let booking = format!("booking-{}", booked.bookings);
        booked.open.insert(booking.clone(), request.order.clone());
        Ok(BookResponse {
            booking,
            carrier: "snail".into(),
        })
    }
}

#[tonic::async_trait]
impl shipping_server::Shipping for Shipping {
    async fn book(&self, request: Request<BookRequest>) -> Result<Response<BookResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let act = || self.take(&request);
        self.ledger
            .answer(&metadata, "Book", request.trouble, act)
            .await
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let act = || {
            let cancelled = self.booked().open.remove(&request.booking).is_some();
            Ok(CancelResponse { cancelled })
        };
        self.ledger
            .answer(&metadata, "Cancel", request.trouble, act)
            .await
    }

    async fn effects(
        &self,
        request: Request<EffectsRequest>,
    ) -> Result<Response<EffectsResponse>, Status> {
        Ok(self.ledger.effects(&request))
    }
}
