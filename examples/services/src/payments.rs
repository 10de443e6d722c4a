//! `shop.v1.Payments`: takes money, up to a limit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::{Request, Response, Status};

use crate::ledger::Ledger;
use crate::v1::{
    ChargeRequest, ChargeResponse, EffectsRequest, EffectsResponse, RefundRequest, RefundResponse,
    payments_server,
};

/// The service.
pub struct Payments {
    ledger: Ledger,
    limit_cents: i64,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    payments: u64,
    open: HashMap<String, i64>,
}

impl Payments {
    /// One that declines what is over this limit.
    pub fn up_to(limit_cents: i64) -> Self {
        Self {
            ledger: Ledger::default(),
            limit_cents,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, request: &ChargeRequest) -> Result<ChargeResponse, Status> {
        let amount_cents = request.amount_cents;
        if amount_cents <= 0 {
            return Err(Status::invalid_argument("amount_cents must be above 0"));
        }
        if amount_cents > self.limit_cents {
            return Err(Status::failed_precondition(format!(
                "declined: {amount_cents} is over the limit of {}",
                self.limit_cents
            )));
        }
        let mut taken = self.taken();
        taken.payments += 1;
        let payment = format!("payment-{}", taken.payments);
        taken.open.insert(payment.clone(), amount_cents);
        Ok(ChargeResponse {
            payment,
            amount_cents,
        })
    }
}

#[tonic::async_trait]
impl payments_server::Payments for Payments {
    async fn charge(
        &self,
        request: Request<ChargeRequest>,
    ) -> Result<Response<ChargeResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let act = || self.take(&request);
        self.ledger
            .answer(&metadata, "Charge", request.trouble, act)
            .await
    }

    async fn refund(
        &self,
        request: Request<RefundRequest>,
    ) -> Result<Response<RefundResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let act = || {
            let refunded = self.taken().open.remove(&request.payment).is_some();
            Ok(RefundResponse { refunded })
        };
        self.ledger
            .answer(&metadata, "Refund", request.trouble, act)
            .await
    }

    async fn effects(
        &self,
        request: Request<EffectsRequest>,
    ) -> Result<Response<EffectsResponse>, Status> {
        Ok(self.ledger.effects(&request))
    }
}
