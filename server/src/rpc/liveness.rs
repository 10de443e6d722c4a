//! `LivenessService`: leases over the wire.

use std::sync::Arc;

use amadeus_proto::v1;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::{self, BoxStream};
use kg_core::error::Fault;
use kg_core::lease::{LeaseId, Said};
use kg_core::limits::{LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, LEASES_PER_CALL, PAGE, PAGE_DEFAULT};
use kg_core::model::{EntityRef, Health, Name};
use prost_types::Duration;
use tonic::{Request, Response, Status, Streaming};
use v1::keep_alive_response::Lost;
use v1::liveness_service_server::LivenessService;
use xxhash_rust::xxh3::xxh3_64;

use super::context::Context;
use super::graph::fitting;
use super::{from_proto, status, to_proto};
use crate::auth::{Action, Caller};
use crate::layer::in_call;
use crate::liveness::{Kept, LeaseError, Listed, Wanted};

/// How often, and how far apart, a lease is looked for that this server does not know: others' are known within two seconds.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: std::time::Duration = std::time::Duration::from_millis(100);

/// The service, over what all services share.
#[derive(Clone)]
pub struct Service(Arc<Context>);

impl Service {
    /// The service.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}

type KeepAliveReply = Result<v1::KeepAliveResponse, Status>;

#[tonic::async_trait]
impl LivenessService for Service {
    async fn grant_lease(
        &self,
        request: Request<v1::GrantLeaseRequest>,
    ) -> Result<Response<v1::GrantLeaseResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let asked = request.into_inner();
        from_proto::check_identity(&asked.request_id, &asked.reason).map_err(status::fault)?;
        let service = from_proto::name("service", &asked.service).map_err(status::fault)?;
        let ttl_ms = ttl("ttl", asked.ttl.as_ref()).map_err(status::fault)?;
        let said = said("health", asked.health).map_err(status::fault)?;
        self.0
            .must_change(&caller, &EntityRef::service(service.clone()))?;
        let is_registered = |s: &kg_core::snapshot::Snapshot| {
            s.service(service.as_str())
                .is_some_and(|e| !e.is_placeholder())
        };
        if !self.0.graph.read(is_registered) {
            return Err(status::not_found(format!("service/{service}")));
        }
        let lease = self
            .0
            .grant(&caller, service, ttl_ms, said, &asked.request_id)
            .await?;
        in_call(|| {
            tracing::debug!(lease = %lease.id, service = %lease.service, ttl_ms,
                request_id = %asked.request_id, reason = %asked.reason, "lease granted");
        });
        Ok(Response::new(v1::GrantLeaseResponse {
            header: self.0.header_of_head(),
            lease: Some(lease),
        }))
    }

    type KeepAliveStream = BoxStream<'static, KeepAliveReply>;

    async fn keep_alive(
        &self,
        request: Request<Streaming<v1::KeepAliveRequest>>,
    ) -> Result<Response<Self::KeepAliveStream>, Status> {
        let caller = Caller::of(request.extensions());
        let calls = Some((self.0.clone(), caller, request.into_inner()));
        let replies = stream::unfold(calls, |calls| async move {
            let (context, caller, mut requests) = calls?;
            let asked = tokio::select! {
                biased;
                () = context.stopped() => return Some((Err(status::stopping()), None)),
                asked = requests.next() => asked?,
            };
            let reply = match asked {
                Ok(asked) => context.keep_alive(&caller, asked).await,
                // What cannot be read is told, if anybody is left to hear it.
                Err(status) => Err(status),
            };
            let goes_on = reply.is_ok().then_some((context, caller, requests));
            Some((reply, goes_on))
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn revoke_lease(
        &self,
        request: Request<v1::RevokeLeaseRequest>,
    ) -> Result<Response<v1::RevokeLeaseResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let asked = request.into_inner();
        from_proto::check_identity(&asked.request_id, &asked.reason).map_err(status::fault)?;
        let id = lease_id("lease_id", &asked.lease_id).map_err(status::fault)?;
        if !self.0.speaks_for(&caller, id).await? {
            return Err(status::lease(LeaseError::Gone(id)));
        }
        self.0.leases.revoke(id).await.map_err(status::lease)?;
        in_call(|| {
            tracing::debug!(lease = %id, request_id = %asked.request_id, reason = %asked.reason, "lease revoked");
        });
        Ok(Response::new(v1::RevokeLeaseResponse {
            header: self.0.header_of_head(),
        }))
    }

    async fn list_leases(
        &self,
        request: Request<v1::ListLeasesRequest>,
    ) -> Result<Response<v1::ListLeasesResponse>, Status> {
        let sees = Caller::of(request.extensions()).sees();
        let asked = request.into_inner();
        let head = self.0.graph.snapshot();
        if !asked.service.is_empty() {
            let service = from_proto::name("service", &asked.service).map_err(status::fault)?;
            if !sees.covers_service(&head, &service) {
                return Err(status::denied(format!("you may not see service/{service}")));
            }
        }
        let health = asked
            .health
            .map(|number| from_proto::health("health", number));
        let health = health.transpose().map_err(status::fault)?;
        let after = match asked.page_token.as_str() {
            "" => None,
            token => Some(lease_id("page_token", token).map_err(status::fault)?),
        };
        let size = match usize::try_from(asked.page_size).unwrap_or(PAGE) {
            0 => PAGE_DEFAULT,
            size => size.min(PAGE),
        };
        let wanted = |row: &crate::storage::LeaseRow| {
            (asked.service.is_empty() || row.service.as_str() == asked.service)
                && health.is_none_or(|health| row.health == health)
                && sees.covers_service(&head, &row.service)
        };
        // One more tells whether this page is the last.
        let mut found = self.0.leases.list(after, size + 1, wanted);
        let is_last = found.len() <= size;
        found.truncate(size);
        let next_page_token = match found.last() {
            Some(last) if !is_last => last.row.id.to_string(),
            _ => String::new(),
        };
        fitting(v1::ListLeasesResponse {
            header: self.0.header_of_head(),
            leases: found.iter().map(lease).collect(),
            next_page_token,
        })
    }
}

impl Context {
    fn header_of_head(&self) -> Option<v1::ResponseHeader> {
        self.header(self.graph.revisions().0)
    }

    /// Grants a lease; the same request id gives the same one.
    ///
    /// # Errors
    /// The status of what became of it instead.
    pub(super) async fn grant(
        &self,
        caller: &Caller,
        service: Name,
        ttl_ms: u32,
        said: Said,
        request_id: &str,
    ) -> Result<v1::Lease, Status> {
        let id = if request_id.is_empty() {
            LeaseId(crate::app::seed())
        } else {
            let (store, whose) = (self.graph.store_id(), caller.principal.requester());
            LeaseId(xxh3_64(
                format!("{store} lease {whose} {request_id}").as_bytes(),
            ))
        };
        let wanted = Wanted {
            id,
            service: service.clone(),
            ttl_ms,
            said,
        };
        self.leases.grant(wanted).await.map_err(status::lease)?;
        let mine = self.leases.list(before(id), 1, |row| row.id == id);
        let as_asked = || v1::Lease {
            id: id.to_string(),
            service: service.to_string(),
            ttl: Some(milliseconds(u64::from(ttl_ms))),
            ..v1::Lease::default()
        };
        // Revoked in the same moment, it is told as it was granted.
        Ok(mine.first().map_or_else(as_asked, lease))
    }

    /// Whether there is such a lease for the caller: one of a service that they may not see is like one that does not exist.
    ///
    /// # Errors
    /// PERMISSION_DENIED for one of a service that they may see and not change.
    async fn speaks_for(&self, caller: &Caller, id: LeaseId) -> Result<bool, Status> {
        if caller.principal.has(Action::Write.role()) {
            return Ok(true);
        }
        let Some(service) = self.service_of(id).await else {
            return Ok(false);
        };
        let sees = caller.sees();
        if !self.graph.read(|head| sees.covers_service(head, &service)) {
            return Ok(false);
        }
        self.must_change(caller, &EntityRef::service(service))?;
        Ok(true)
    }

    /// Whose promise a lease is. One that another server has just granted is waited for: whoever asks has to be judged by it.
    async fn service_of(&self, id: LeaseId) -> Option<Name> {
        for _ in 0..LOOKS {
            let of_id = self.leases.list(before(id), 1, |row| row.id == id);
            if let Some(found) = of_id.first() {
                return Some(found.row.service.clone());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        None
    }

    async fn keep_alive(&self, caller: &Caller, asked: v1::KeepAliveRequest) -> KeepAliveReply {
        if asked.lease_id.is_empty() && asked.lease_ids.is_empty() {
            return Err(status::invalid(
                "lease_id",
                "is required: GrantLease and RegisterService name it",
            ));
        }
        if asked.lease_ids.len() > LEASES_PER_CALL {
            let reason = format!(
                "has {} entries, at most {LEASES_PER_CALL} are allowed",
                asked.lease_ids.len()
            );
            return Err(status::invalid("lease_ids", reason));
        }
        let said = said("health", asked.health).map_err(status::fault)?;
        let mut reply = v1::KeepAliveResponse {
            header: self.header_of_head(),
            ..v1::KeepAliveResponse::default()
        };
        let mut elsewhere = Vec::new();
        let named = (!asked.lease_id.is_empty()).then_some((None, &asked.lease_id));
        let more = asked.lease_ids.iter().enumerate();
        for (place, given) in named.into_iter().chain(more.map(|(i, id)| (Some(i), id))) {
            let field = || place.map_or("lease_id".into(), |i| format!("lease_ids[{i}]"));
            let id =
                LeaseId::parse(given).ok_or_else(|| status::fault(not_a_lease(&field(), given)))?;
            if !self.speaks_for(caller, id).await? {
                reply.lost.push(Lost {
                    lease_id: id.to_string(),
                    gone: true,
                    message: LeaseError::Gone(id).to_string(),
                });
                continue;
            }
            match self.leases.keep(id, said) {
                Some(ttl_ms) => reply.keep(id, ttl_ms, &asked.lease_id),
                None => elsewhere.push(id),
            }
        }
        let taken = elsewhere
            .into_iter()
            .map(|id| async move { (id, self.leases.take(id, said).await) });
        for (id, kept) in join_all(taken).await {
            match kept {
                Kept::Alive(ttl_ms) => reply.keep(id, ttl_ms, &asked.lease_id),
                Kept::Lost(error) => reply.lost.push(Lost {
                    lease_id: id.to_string(),
                    gone: matches!(error, LeaseError::Gone(_) | LeaseError::Reused),
                    message: error.to_string(),
                }),
            }
        }
        Ok(reply)
    }
}

/// Adds a lease that lives to a reply.
trait Keep {
    fn keep(&mut self, id: LeaseId, ttl_ms: u32, named: &str);
}

impl Keep for v1::KeepAliveResponse {
    fn keep(&mut self, id: LeaseId, ttl_ms: u32, named: &str) {
        self.kept += 1;
        if LeaseId::parse(named) == Some(id) {
            self.lease_id = named.to_owned();
            self.ttl = Some(milliseconds(u64::from(ttl_ms)));
        }
    }
}

/// The id before one, so that a list begins with it.
fn before(id: LeaseId) -> Option<LeaseId> {
    id.0.checked_sub(1).map(LeaseId)
}

/// How long a lease lives without a call, in milliseconds.
///
/// # Errors
/// A fault of `field`.
pub(super) fn ttl(field: &str, given: Option<&Duration>) -> Result<u32, Fault> {
    let given = from_proto::required(field, given)?;
    let nanos = i128::from(given.seconds) * 1_000_000_000 + i128::from(given.nanos);
    let milliseconds = nanos / 1_000_000;
    u32::try_from(milliseconds)
        .ok()
        .filter(|ms| (LEASE_TTL_MS_MIN..=LEASE_TTL_MS_MAX).contains(ms))
        .ok_or_else(|| {
            let hours = LEASE_TTL_MS_MAX / 3_600_000;
            Fault::new(
                field,
                format!("is {milliseconds} ms, it must be between {LEASE_TTL_MS_MIN} ms and {hours} hours"),
            )
        })
}

/// What a holder says of its service; UP, where it says nothing.
fn said(field: &str, given: Option<i32>) -> Result<Said, Fault> {
    match given
        .map(|number| from_proto::health(field, number))
        .transpose()?
    {
        None | Some(Health::Up) => Ok(Said::Up),
        Some(Health::Degraded) => Ok(Said::Degraded),
        Some(Health::Down) => Ok(Said::Down),
        Some(Health::Unknown) => Err(Fault::new(
            field,
            "is UNKNOWN: whoever calls says UP, DEGRADED or DOWN, or nothing",
        )),
    }
}

fn lease_id(field: &str, given: &str) -> Result<LeaseId, Fault> {
    from_proto::required(field, (!given.is_empty()).then_some(given))?;
    LeaseId::parse(given).ok_or_else(|| not_a_lease(field, given))
}

fn not_a_lease(field: &str, given: &str) -> Fault {
    let shown: String = given.chars().take(32).collect();
    Fault::new(
        field,
        format!("is {shown:?}, the id of a lease has 16 hexadecimal digits"),
    )
}

fn lease(listed: &Listed) -> v1::Lease {
    let row = &listed.row;
    v1::Lease {
        id: row.id.to_string(),
        service: row.service.to_string(),
        ttl: Some(milliseconds(u64::from(row.ttl_ms))),
        health: to_proto::health(row.health).into(),
        lapsed: listed.heard.is_some_and(|(_, lapsed)| lapsed),
        server: format!("{:016x}", row.owner.0),
        silent: listed.heard.map(|(ms, _)| milliseconds(ms)),
        held_back: listed.held_back_ms.map(milliseconds),
    }
}

fn milliseconds(ms: u64) -> Duration {
    Duration {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or_default(),
    }
}
