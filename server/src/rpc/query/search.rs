//! Who fits: entities by words, services by what they can do.

use amadeus_proto::v1;
use kg_core::model::name::check_tag;
use kg_core::query;
use tonic::{Request, Response, Status};

use super::Allowance;
use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::graph::blocking_if;
use crate::rpc::pages::{Paging, Place};
use crate::rpc::{from_proto, status, to_proto};

impl Context {
    pub(super) async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let kinds = from_proto::kinds("kinds", &asked.kinds).map_err(status::fault)?;
        from_proto::check_text("text", &asked.text, kg_core::limits::TEXT_BYTES)
            .map_err(status::fault)?;
        let allowance = Allowance::parse(asked.budget.as_ref(), &metadata)?;
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "Search",
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
        let held = page.held.clone();
        let work =
            move || allowance.spend(|budget| query::search(&held, &asked.text, &kinds, budget));
        let found = blocking_if(true, work).await?.map_err(status::query)?;
        let first = page.place.offset;
        let place = |_: &v1::Entity, count| Place {
            after: Vec::new(),
            offset: first + count,
        };
        let entities = found.entities.iter().skip(first);
        let entities = entities.map(|entity| to_proto::entity(&page.held, entity));
        let (entities, next_page_token) = page.fill(self, entities, place)?;
        Ok(Response::new(v1::SearchResponse {
            header: self.header(page.held.revision()),
            entities,
            total: to_proto::count(found.entities.len()),
            truncated: found.truncated,
            next_page_token,
        }))
    }

    pub(super) async fn find_by_capability(
        &self,
        request: Request<v1::FindByCapabilityRequest>,
    ) -> Result<Response<v1::FindByCapabilityResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        for (field, words) in [("all_of", &asked.all_of), ("any_of", &asked.any_of)] {
            for (i, word) in words.iter().enumerate() {
                check_tag(&format!("{field}[{i}]"), word).map_err(status::fault)?;
            }
        }
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "FindByCapability",
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
        let held = page.held.clone();
        let work = move || query::find_by_capability(&held, &asked.all_of, &asked.any_of);
        let names = blocking_if(true, work).await?.map_err(status::query)?;
        let first = page.place.offset;
        let place = |_: &v1::Service, count| Place {
            after: Vec::new(),
            offset: first + count,
        };
        let services = names.iter().skip(first);
        let services = services.filter_map(|name| page.held.service(name.as_str()));
        let services = services.map(|entity| to_proto::service(&page.held, entity));
        let (services, next_page_token) = page.fill(self, services, place)?;
        Ok(Response::new(v1::FindByCapabilityResponse {
            header: self.header(page.held.revision()),
            services,
            next_page_token,
        }))
    }
}
