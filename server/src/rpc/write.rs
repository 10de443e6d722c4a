//! The way of a write: parsed, submitted, awaited.
//!
//! Submitting is synchronous, so a call that is dropped while it waits (tonic drops the handlers of clients that went
//! away) loses its answer and nothing else.

use std::sync::Arc;

use amadeus_proto::v1;
use kg_core::commit::Outcome;
use kg_core::mutation::{Request, Transaction};
use kg_core::snapshot::RequestKey;
use prost::Message;
use tonic::Status;
use xxhash_rust::xxh3::xxh3_64;

use super::context::Context;
use super::{from_proto, status};
use crate::auth::Caller;

/// A request that carries the identity of a write.
pub trait Identified: Message {
    /// Takes its request id and its reason; what remains is the body by which a repetition is known.
    fn take_identity(&mut self) -> Identity;
}

/// What a write is known by, and why it is made.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Names it, so that a repetition applies once; may be empty.
    pub request_id: String,
    /// Why; may be empty.
    pub reason: String,
}

macro_rules! identified {
    ($($request:ident),* $(,)?) => {
        $(impl Identified for v1::$request {
            fn take_identity(&mut self) -> Identity {
                Identity {
                    request_id: std::mem::take(&mut self.request_id),
                    reason: std::mem::take(&mut self.reason),
                }
            }
        })*
    };
}

identified!(
    RegisterServiceRequest,
    DeregisterServiceRequest,
    UpdateSchemaRequest,
    SetCapabilityRequest,
    AddDependencyRequest,
    RemoveDependencyRequest,
    PutEntityRequest,
    DeleteEntityRequest,
    PutRelationRequest,
    DeleteRelationRequest,
    UpdateNodeRequest,
    DeleteNodeRequest,
    CommitRequest,
    PruneRequest,
    RegisterPatternRequest,
    DeletePatternRequest,
    RestoreRequest,
    ImportOptions,
);

impl Context {
    /// An empty transaction with the identity of a request, which is taken off it.
    ///
    /// # Errors
    /// INVALID_ARGUMENT naming `request_id` or `reason`.
    pub fn transaction(
        &self,
        caller: &Caller,
        rpc: &str,
        request: &mut impl Identified,
    ) -> Result<Transaction, Status> {
        let identity = request.take_identity();
        from_proto::check_identity(&identity.request_id, &identity.reason)
            .map_err(status::fault)?;
        Ok(self.identified(caller, &identity, || {
            let mut body = rpc.as_bytes().to_vec();
            body.push(0);
            body.extend(request.encode_to_vec());
            xxh3_64(&body)
        }))
    }

    /// An empty transaction of this identity; `body` hashes what is asked, and is only called where that matters.
    pub fn identified(
        &self,
        caller: &Caller,
        identity: &Identity,
        body: impl FnOnce() -> u64,
    ) -> Transaction {
        let request = (!identity.request_id.is_empty()).then(|| Request {
            key: RequestKey::new(&caller.principal.requester(), &identity.request_id),
            body: body(),
        });
        let authority = caller.principal.authority();
        Transaction {
            actor: caller.principal.name.clone(),
            source: Arc::from(caller.source()),
            authority: (!authority.is_full()).then(|| Arc::new(authority)),
            reason: Arc::from(identity.reason.as_str()),
            request_id: Arc::from(identity.request_id.as_str()),
            request,
            time_ms: (self.clock)(),
            ..Transaction::default()
        }
    }

    /// Whether a request of this id is among those that were committed.
    pub fn remembers(&self, caller: &Caller, request_id: &str) -> bool {
        let key = RequestKey::new(&caller.principal.requester(), request_id);
        !request_id.is_empty() && self.graph.read(|s| s.requests().get(key).is_some())
    }

    /// Submits a transaction, now; what is returned waits for what becomes of it.
    ///
    /// # Errors
    /// The status of what became of it instead.
    pub fn submit(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<Outcome, Status>> + Send + use<> {
        let submitted = self.graph.submit(transaction);
        async move {
            match submitted.map_err(status::commit)?.await {
                Ok(outcome) => outcome.map_err(status::commit),
                Err(error) => Err(status::abandoned(error)),
            }
        }
    }

    /// Carries a transaction out.
    ///
    /// # Errors
    /// The status of what became of it instead.
    pub async fn commit(&self, transaction: Transaction) -> Result<Outcome, Status> {
        self.submit(transaction).await
    }

    /// One write, from its request to its outcome. Also returns what it asked for.
    ///
    /// # Errors
    /// The status of what is wrong with it, or of what became of it instead.
    pub async fn write<R: Identified + from_proto::Write>(
        &self,
        caller: &Caller,
        rpc: &str,
        mut request: R,
    ) -> Result<Outcome, Status> {
        let mut transaction = self.transaction(caller, rpc, &mut request)?;
        let (mutation, expected) = request.parse().map_err(status::rejected)?;
        transaction.mutations = vec![mutation];
        transaction.preconditions.extend(expected);
        self.commit(transaction).await
    }
}
