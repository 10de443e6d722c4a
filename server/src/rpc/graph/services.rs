//! Services: registering, reading, changing and listing them.

use std::sync::Arc;

use amadeus_proto::v1;
use kg_core::commit::Outcome;
use kg_core::lease::Said;
use kg_core::model::{Body, Entity, EntityRef, Health, Kind, Name};
use kg_core::mutation::Mutation;
use kg_core::snapshot::{Names, Snapshot};
use tonic::{Request, Response, Status};

use super::fitting;
use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::from_proto::Write as _;
use crate::rpc::pages::{Page, Paging, Place};
use crate::rpc::{from_proto, liveness, status, to_proto};

impl Context {
    /// A service as its writer sees it after the write; none if it has gone since.
    async fn written_service(
        &self,
        caller: &Caller,
        outcome: &Outcome,
        name: &str,
    ) -> Result<Option<v1::Service>, Status> {
        let after = self.graph.hold(outcome.snapshot.clone());
        let seen = self.trimmed(caller, after).await?;
        let entity = seen.service(name);
        Ok(entity.map(|entity| to_proto::service(&seen, entity)))
    }

    pub(super) async fn register_service(
        &self,
        caller: &Caller,
        mut request: v1::RegisterServiceRequest,
    ) -> Result<Response<v1::RegisterServiceResponse>, Status> {
        let request_id = request.request_id.clone();
        let mut transaction = self.transaction(caller, "RegisterService", &mut request)?;
        let ttl_ms = request
            .lease_ttl
            .take()
            .map(|given| liveness::ttl("lease_ttl", Some(&given)));
        let ttl_ms = ttl_ms.transpose().map_err(status::fault)?;
        let (mut mutation, expected) = request.parse().map_err(status::rejected)?;
        let mut said = Said::Up;
        let mut name = None;
        if let Mutation::RegisterService { service, .. } = &mut mutation {
            name = Some(service.name.clone());
            said = said_of(service.body.health);
            let name = service.name.as_str();
            // What leases say is not overwritten by who registers. One that takes the first is as healthy as it says once it
            // has it: without a lease nobody would ever say otherwise.
            if let Some(shown) = self.leases.shown(name) {
                service.body.health = shown;
            } else if ttl_ms.is_some() {
                let shown = self.leases.would_show(name);
                service.body.health = shown.unwrap_or(Health::Unknown);
            }
        }
        transaction.mutations = vec![mutation];
        transaction.preconditions.extend(expected);
        let outcome = self.commit(transaction).await?;
        let mut reply = v1::RegisterServiceResponse {
            header: self.header(outcome.revision),
            changed: outcome.changed,
            ..v1::RegisterServiceResponse::default()
        };
        let Some(name) = name else {
            return Ok(Response::new(reply));
        };
        reply.service = self
            .written_service(caller, &outcome, name.as_str())
            .await?;
        if let Some(ttl_ms) = ttl_ms {
            reply.lease = Some(
                self.grant(caller, name.clone(), ttl_ms, said, &request_id)
                    .await?,
            );
            let head = self.see_head(caller).await?;
            if let Some(entity) = head.service(name.as_str()) {
                reply.header = self.header(head.revision());
                reply.service = Some(to_proto::service(&head, entity));
            }
        }
        Ok(Response::new(reply))
    }

    pub(super) async fn get_service(
        &self,
        request: Request<v1::GetServiceRequest>,
    ) -> Result<Response<v1::GetServiceResponse>, Status> {
        let asked = request.get_ref();
        let name = from_proto::name("name", &asked.name).map_err(status::fault)?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        held.must_see(&EntityRef::service(name.clone()))?;
        let entity = held
            .service(name.as_str())
            .ok_or_else(|| status::not_found(format!("service/{name}")))?;
        fitting(v1::GetServiceResponse {
            header: self.header(held.revision()),
            service: Some(to_proto::service(&held, entity)),
        })
    }

    pub(super) async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let health = asked
            .health
            .map(|number| from_proto::health("health", number));
        let health = health.transpose().map_err(status::fault)?;
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "ListServices",
            size: std::mem::take(&mut asked.page_size),
            token: &token,
        };
        let page = self
            .page(
                &Caller::of(&extensions),
                paging,
                &asked,
                consistency.as_ref(),
                &metadata,
            )
            .await?;
        let wanted = Wanted {
            category: &asked.category,
            capability: &asked.capability,
            owner: &asked.owner,
            health,
            placeholders: asked.include_placeholders,
        };
        let (services, next_page_token) = wanted.page(self, &page)?;
        Ok(Response::new(v1::ListServicesResponse {
            header: self.header(page.held.revision()),
            services,
            next_page_token,
        }))
    }

    pub(super) async fn deregister_service(
        &self,
        caller: &Caller,
        request: v1::DeregisterServiceRequest,
    ) -> Result<Response<v1::DeregisterServiceResponse>, Status> {
        let name = request.name.clone();
        let gone = || status::not_found(format!("service/{name}"));
        // A placeholder is no registration. Asked twice, a request finds one where it left it, and gets its answer again.
        let stands =
            |snapshot: &Snapshot| snapshot.service(&name).is_some_and(|e| e.is_placeholder());
        if let Ok(name) = from_proto::name("name", &name) {
            self.must_change(caller, &EntityRef::service(name))?;
        }
        if self.graph.read(stands) && !self.remembers(caller, &request.request_id) {
            return Err(gone());
        }
        let outcome = self.write(caller, "DeregisterService", request).await?;
        if !outcome.changed {
            return Err(gone());
        }
        Ok(Response::new(v1::DeregisterServiceResponse {
            header: self.header(outcome.revision),
            service: self.written_service(caller, &outcome, &name).await?,
            changed: outcome.changed,
        }))
    }

    pub(super) async fn update_schema(
        &self,
        caller: &Caller,
        request: v1::UpdateSchemaRequest,
    ) -> Result<Response<v1::UpdateSchemaResponse>, Status> {
        let name = request.name.clone();
        let outcome = self.write(caller, "UpdateSchema", request).await?;
        Ok(Response::new(v1::UpdateSchemaResponse {
            header: self.header(outcome.revision),
            service: self.written_service(caller, &outcome, &name).await?,
            changed: outcome.changed,
        }))
    }

    pub(super) async fn set_capability(
        &self,
        caller: &Caller,
        request: v1::SetCapabilityRequest,
    ) -> Result<Response<v1::SetCapabilityResponse>, Status> {
        let name = request.name.clone();
        let outcome = self.write(caller, "SetCapability", request).await?;
        Ok(Response::new(v1::SetCapabilityResponse {
            header: self.header(outcome.revision),
            service: self.written_service(caller, &outcome, &name).await?,
            changed: outcome.changed,
        }))
    }

    pub(super) async fn add_dependency(
        &self,
        caller: &Caller,
        request: v1::AddDependencyRequest,
    ) -> Result<Response<v1::AddDependencyResponse>, Status> {
        let name = request.name.clone();
        let outcome = self.write(caller, "AddDependency", request).await?;
        Ok(Response::new(v1::AddDependencyResponse {
            header: self.header(outcome.revision),
            service: self.written_service(caller, &outcome, &name).await?,
            changed: outcome.changed,
        }))
    }

    pub(super) async fn remove_dependency(
        &self,
        caller: &Caller,
        request: v1::RemoveDependencyRequest,
    ) -> Result<Response<v1::RemoveDependencyResponse>, Status> {
        let name = request.name.clone();
        let outcome = self.write(caller, "RemoveDependency", request).await?;
        Ok(Response::new(v1::RemoveDependencyResponse {
            header: self.header(outcome.revision),
            service: self.written_service(caller, &outcome, &name).await?,
            changed: outcome.changed,
        }))
    }
}

/// What a registration with a lease says of its service.
fn said_of(health: Health) -> Said {
    match health {
        Health::Unknown | Health::Up => Said::Up,
        Health::Degraded => Said::Degraded,
        Health::Down => Said::Down,
    }
}

/// The filters of a list of services. What is empty matches all.
struct Wanted<'a> {
    category: &'a str,
    capability: &'a str,
    owner: &'a str,
    health: Option<Health>,
    placeholders: bool,
}

impl Wanted<'_> {
    fn page(&self, context: &Context, page: &Page) -> Result<(Vec<v1::Service>, String), Status> {
        let snapshot = &*page.held;
        let after = page.place.after.first();
        let after = after.map(|name| Name::parse("page_token", name));
        let after = after.transpose().map_err(status::fault)?;
        let services = self
            .names(snapshot, after.as_ref())
            .filter_map(|name| snapshot.service(name.as_str()))
            .filter(|entity| self.matches(entity))
            .map(|entity| to_proto::service(snapshot, entity));
        let place = |last: &v1::Service, _| Place {
            after: vec![last.name.clone()],
            offset: 0,
        };
        page.fill(context, services, place)
    }

    /// Names that may match, sorted, from the smallest index that one of the filters has.
    fn names<'s>(
        &self,
        snapshot: &'s Snapshot,
        after: Option<&Name>,
    ) -> Box<dyn Iterator<Item = &'s Name> + 's> {
        use std::ops::Bound;
        let indexes = snapshot.indexes();
        let mut found: Vec<Option<&Names>> = Vec::new();
        for (word, index) in [
            (self.category, &indexes.categories),
            (self.capability, &indexes.capabilities),
            (self.owner, &indexes.owners),
        ] {
            if !word.is_empty() {
                found.push(index.get(word));
            }
        }
        if found.contains(&None) {
            return Box::new(std::iter::empty());
        }
        match found.into_iter().flatten().min_by_key(|names| names.len()) {
            Some(names) => {
                let lower = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
                Box::new(names.range((lower, Bound::Unbounded)))
            }
            None => snapshot.names(&Kind::service(), after, self.placeholders),
        }
    }

    fn matches(&self, entity: &Arc<Entity>) -> bool {
        match &entity.body {
            Body::Service(body) => {
                (self.category.is_empty() || body.category == self.category)
                    && (self.owner.is_empty() || body.owner == self.owner)
                    && (self.capability.is_empty()
                        || body.capabilities.iter().any(|c| **c == *self.capability))
                    && self.health.is_none_or(|health| body.health == health)
            }
            Body::Placeholder => self.health.is_none_or(|health| health == Health::Unknown),
            Body::Plain | Body::Pattern(_) => false,
        }
    }
}
