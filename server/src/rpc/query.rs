//! `QueryService`: questions that follow relations, each answered from one snapshot on a thread for long work.

mod pictures;
mod reach;
mod search;
mod structure;

use std::sync::Arc;

use amadeus_proto::v1;
use kg_core::query::Budget;
use tokio::time::{Duration, Instant};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use v1::query_service_server::QueryService;

use super::context::Context;
use super::{freshness, status};
use crate::nexus::Runs;

/// The service, over what all services share.
#[derive(Clone)]
pub struct Service(Arc<Context>, Option<Runs>);

impl Service {
    /// The service.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context, None)
    }

    /// The same, which draws runs as well.
    #[must_use]
    pub fn drawing(self, runs: Runs) -> Self {
        Self(self.0, Some(runs))
    }
}

/// How much work a question may be, as the client said it; it travels to the thread that does the work.
#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    max_entities: Option<u32>,
    max_depth: Option<u32>,
    until: Option<Instant>,
}

impl Allowance {
    fn parse(given: Option<&v1::Budget>, metadata: &MetadataMap) -> Result<Self, Status> {
        let given = given.copied().unwrap_or_default();
        for (field, value) in [
            ("budget.max_entities", given.max_entities),
            ("budget.max_time_ms", given.max_time_ms),
        ] {
            if value == Some(0) {
                let reason = "must be above 0: leave it out for no limit";
                return Err(status::invalid(field, reason));
            }
        }
        let own = given
            .max_time_ms
            .map(|ms| Instant::now() + Duration::from_millis(ms.into()));
        let call = freshness::deadline(metadata);
        Ok(Self {
            max_entities: given.max_entities,
            max_depth: given.max_depth,
            until: own.into_iter().chain(call).min(),
        })
    }

    /// Calls `work` with the budget that this allows.
    fn spend<T>(self, work: impl FnOnce(&Budget<'_>) -> T) -> T {
        let out_of_time = || self.until.is_some_and(|until| Instant::now() >= until);
        work(&Budget {
            max_entities: self.max_entities,
            max_depth: self.max_depth,
            out_of_time: self.until.is_some().then_some(&out_of_time),
        })
    }
}

#[tonic::async_trait]
impl QueryService for Service {
    async fn dependencies(
        &self,
        request: Request<v1::DependenciesRequest>,
    ) -> Result<Response<v1::DependenciesResponse>, Status> {
        self.0.dependencies(request).await
    }

    async fn impact(
        &self,
        request: Request<v1::ImpactRequest>,
    ) -> Result<Response<v1::ImpactResponse>, Status> {
        self.0.impact(request).await
    }

    async fn find_path(
        &self,
        request: Request<v1::FindPathRequest>,
    ) -> Result<Response<v1::FindPathResponse>, Status> {
        self.0.find_path(request).await
    }

    async fn find_by_capability(
        &self,
        request: Request<v1::FindByCapabilityRequest>,
    ) -> Result<Response<v1::FindByCapabilityResponse>, Status> {
        self.0.find_by_capability(request).await
    }

    async fn neighbors(
        &self,
        request: Request<v1::NeighborsRequest>,
    ) -> Result<Response<v1::NeighborsResponse>, Status> {
        self.0.neighbors(request).await
    }

    async fn subgraph(
        &self,
        request: Request<v1::SubgraphRequest>,
    ) -> Result<Response<v1::SubgraphResponse>, Status> {
        self.0.subgraph(request).await
    }

    async fn cycles(
        &self,
        request: Request<v1::CyclesRequest>,
    ) -> Result<Response<v1::CyclesResponse>, Status> {
        self.0.cycles(request).await
    }

    async fn start_order(
        &self,
        request: Request<v1::StartOrderRequest>,
    ) -> Result<Response<v1::StartOrderResponse>, Status> {
        self.0.start_order(request).await
    }

    async fn search(
        &self,
        request: Request<v1::SearchRequest>,
    ) -> Result<Response<v1::SearchResponse>, Status> {
        self.0.search(request).await
    }

    async fn visualize(
        &self,
        request: Request<v1::VisualizeRequest>,
    ) -> Result<Response<v1::VisualizeResponse>, Status> {
        self.0.visualize(self.1.as_ref(), request).await
    }

    async fn generate_docs(
        &self,
        request: Request<v1::GenerateDocsRequest>,
    ) -> Result<Response<v1::GenerateDocsResponse>, Status> {
        self.0.generate_docs(request).await
    }
}
