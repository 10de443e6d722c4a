//! How things hang together: a part of the graph, its cycles, the order in which to start.

use amadeus_proto::v1;
use kg_core::model::EntityRef;
use kg_core::query::{self, Along, Question};
use tonic::{Request, Response, Status};

use super::Allowance;
use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::graph::{blocking_if, fitting};
use crate::rpc::{from_proto, status, to_proto};

impl Context {
    pub(super) async fn subgraph(
        &self,
        request: Request<v1::SubgraphRequest>,
    ) -> Result<Response<v1::SubgraphResponse>, Status> {
        let asked = request.get_ref();
        let roots = from_proto::entity_refs("refs", &asked.refs).map_err(status::fault)?;
        let labels = from_proto::labels("relations", &asked.relations).map_err(status::fault)?;
        let direction =
            from_proto::direction("direction", asked.direction).map_err(status::fault)?;
        let allowance = Allowance::parse(asked.budget.as_ref(), request.metadata())?;
        let hops = Some(asked.depth.max(1));
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        roots.iter().try_for_each(|root| held.must_see(root))?;
        let header = self.header(held.revision());
        let work = move || {
            let question = Question {
                roots: &roots,
                along: Along::or_all(labels),
                direction,
                hops,
            };
            let part = allowance.spend(|budget| query::subgraph(&held, &question, budget))?;
            let entity = |entity| to_proto::entity(&held, entity);
            Ok(v1::SubgraphResponse {
                header,
                entities: part.entities.iter().map(|e| entity(e)).collect(),
                relations: part.relations.iter().map(to_proto::relation).collect(),
                truncated: part.truncated,
            })
        };
        fitting(blocking_if(true, work).await?.map_err(status::query)?)
    }

    pub(super) async fn cycles(
        &self,
        request: Request<v1::CyclesRequest>,
    ) -> Result<Response<v1::CyclesResponse>, Status> {
        let asked = request.get_ref();
        let label =
            from_proto::label_or_depends_on("relation", &asked.relation).map_err(status::fault)?;
        let allowance = Allowance::parse(asked.budget.as_ref(), request.metadata())?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        let header = self.header(held.revision());
        let work = move || allowance.spend(|budget| query::cycles(&held, &label, budget));
        let found = blocking_if(true, work).await?.map_err(status::query)?;
        fitting(v1::CyclesResponse {
            header,
            cycles: found.cycles.iter().map(|members| cycle(members)).collect(),
            truncated: found.truncated,
        })
    }

    pub(super) async fn start_order(
        &self,
        request: Request<v1::StartOrderRequest>,
    ) -> Result<Response<v1::StartOrderResponse>, Status> {
        let asked = request.get_ref();
        let label =
            from_proto::label_or_depends_on("relation", &asked.relation).map_err(status::fault)?;
        let refs = match asked.refs.as_slice() {
            [] => Vec::new(),
            given => from_proto::entity_refs("refs", given).map_err(status::fault)?,
        };
        let allowance = Allowance::parse(asked.budget.as_ref(), request.metadata())?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        refs.iter().try_for_each(|root| held.must_see(root))?;
        let header = self.header(held.revision());
        let work =
            move || allowance.spend(|budget| query::start_order(&held, &label, &refs, budget));
        let order = blocking_if(true, work).await?.map_err(status::query)?;
        let level = |members: &Vec<EntityRef>| v1::Level {
            entities: to_proto::entity_refs(members),
        };
        fitting(v1::StartOrderResponse {
            header,
            levels: order.levels.iter().map(level).collect(),
            cycles: order.cycles.iter().map(|members| cycle(members)).collect(),
            truncated: order.truncated,
        })
    }
}

fn cycle(members: &[EntityRef]) -> v1::Cycle {
    v1::Cycle {
        entities: to_proto::entity_refs(members),
    }
}
