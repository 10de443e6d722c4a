//! `shop.v1.Inventory`: keeps goods apart for orders.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::{Request, Response, Status};

use crate::ledger::Ledger;
use crate::v1::{
    EffectsRequest, EffectsResponse, Item, ReleaseRequest, ReleaseResponse, ReserveRequest,
    ReserveResponse, inventory_server,
};

/// What is sold, at how many cents, and how many there are. Nobody has ever had a unicorn.
const GOODS: [(&str, i64, u32); 4] = [
    ("tea", 450, 1_000_000),
    ("mug", 900, 1_000_000),
    ("kettle", 3_900, 1_000_000),
    ("unicorn", 1_000_000, 0),
];

/// The service.
#[derive(Default)]
pub struct Inventory {
    ledger: Ledger,
    shelves: Mutex<Shelves>,
}

struct Shelves {
    left: HashMap<&'static str, (i64, u32)>,
    kept: HashMap<String, Vec<Item>>,
    reservations: u64,
}

impl Default for Shelves {
    fn default() -> Self {
        Self {
            left: GOODS
                .map(|(sku, cents, count)| (sku, (cents, count)))
                .into(),
            kept: HashMap::new(),
            reservations: 0,
        }
    }
}

impl Shelves {
    fn reserve(&mut self, request: ReserveRequest) -> Result<ReserveResponse, Status> {
        if request.items.is_empty() {
            return Err(Status::invalid_argument("items: an order has at least one"));
        }
        let mut items = request.items;
        let mut total_cents = 0;
        for item in &mut items {
            item.quantity = item.quantity.max(1);
            let Some((cents, left)) = self.left.get(&*item.sku) else {
                return Err(Status::not_found(format!("{:?} is not sold", item.sku)));
            };
            if *left < item.quantity {
                let why = format!("{} of {} are left", left, item.sku);
                return Err(Status::failed_precondition(why));
            }
            total_cents += cents * i64::from(item.quantity);
        }
        for item in &items {
            if let Some((_, left)) = self.left.get_mut(&*item.sku) {
                *left = left.saturating_sub(item.quantity);
            }
        }
        self.reservations += 1;
        let reservation = format!("reservation-{}", self.reservations);
        self.kept.insert(reservation.clone(), items.clone());
        Ok(ReserveResponse {
            reservation,
            total_cents,
            items,
        })
    }

    fn release(&mut self, reservation: &str) -> ReleaseResponse {
        let kept = self.kept.remove(reservation);
        let released = kept.is_some();
        for item in kept.into_iter().flatten() {
            if let Some((_, left)) = self.left.get_mut(&*item.sku) {
                *left += item.quantity;
            }
        }
        ReleaseResponse { released }
    }
}

impl Inventory {
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl inventory_server::Inventory for Inventory {
    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let act = || self.shelves().reserve(request.clone());
        self.ledger
            .answer(&metadata, "Reserve", request.trouble, act)
            .await
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let act = || Ok(self.shelves().release(&request.reservation));
        self.ledger
            .answer(&metadata, "Release", request.trouble, act)
            .await
    }

    async fn effects(
        &self,
        request: Request<EffectsRequest>,
    ) -> Result<Response<EffectsResponse>, Status> {
        Ok(self.ledger.effects(&request))
    }
}
