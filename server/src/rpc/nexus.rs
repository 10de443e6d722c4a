//! `NexusService`: patterns, their runs, and events over the wire.

mod check;
mod events;
mod patterns;
mod runs;

pub(super) use runs::seen_run;

use std::sync::Arc;

use amadeus_proto::v1;
use futures::stream::BoxStream;
use kg_core::nexus::StepTypes;
use tonic::{Request, Response, Status, Streaming};
use v1::nexus_service_server::NexusService;

use super::context::Context;
use crate::events::Events;
use crate::nexus::Runs;

/// The service, over what all services share.
#[derive(Clone)]
pub struct Service {
    context: Arc<Context>,
    runs: Runs,
    events: Events,
    /// What definitions are held against.
    types: Arc<StepTypes>,
}

impl Service {
    /// The service.
    #[must_use]
    pub fn new(context: Arc<Context>, runs: Runs, events: Events) -> Self {
        Self {
            types: Arc::new(runs.types()),
            context,
            runs,
            events,
        }
    }
}

type Replies<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl NexusService for Service {
    async fn register_pattern(
        &self,
        request: Request<v1::RegisterPatternRequest>,
    ) -> Result<Response<v1::RegisterPatternResponse>, Status> {
        patterns::register_pattern(self, request).await
    }

    async fn get_pattern(
        &self,
        request: Request<v1::GetPatternRequest>,
    ) -> Result<Response<v1::GetPatternResponse>, Status> {
        patterns::get_pattern(self, request).await
    }

    async fn list_patterns(
        &self,
        request: Request<v1::ListPatternsRequest>,
    ) -> Result<Response<v1::ListPatternsResponse>, Status> {
        patterns::list_patterns(self, request).await
    }

    async fn delete_pattern(
        &self,
        request: Request<v1::DeletePatternRequest>,
    ) -> Result<Response<v1::DeletePatternResponse>, Status> {
        patterns::delete_pattern(self, request).await
    }

    async fn validate_pattern(
        &self,
        request: Request<v1::ValidatePatternRequest>,
    ) -> Result<Response<v1::ValidatePatternResponse>, Status> {
        patterns::validate_pattern(self, request).await
    }

    async fn get_knowledge(
        &self,
        request: Request<v1::GetKnowledgeRequest>,
    ) -> Result<Response<v1::GetKnowledgeResponse>, Status> {
        patterns::get_knowledge(self, request).await
    }

    async fn execute_pattern(
        &self,
        request: Request<v1::ExecutePatternRequest>,
    ) -> Result<Response<v1::ExecutePatternResponse>, Status> {
        runs::execute_pattern(self, request).await
    }

    async fn get_run(
        &self,
        request: Request<v1::GetRunRequest>,
    ) -> Result<Response<v1::GetRunResponse>, Status> {
        runs::get_run(self, request).await
    }

    async fn list_runs(
        &self,
        request: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        runs::list_runs(self, request).await
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        runs::cancel_run(self, request).await
    }

    type WatchRunStream = Replies<v1::WatchRunResponse>;

    async fn watch_run(
        &self,
        request: Request<v1::WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        runs::watch_run(self, request).await
    }

    async fn replay_run(
        &self,
        request: Request<v1::ReplayRunRequest>,
    ) -> Result<Response<v1::ReplayRunResponse>, Status> {
        runs::replay_run(self, request).await
    }

    async fn emit_event(
        &self,
        request: Request<v1::EmitEventRequest>,
    ) -> Result<Response<v1::EmitEventResponse>, Status> {
        events::emit_event(self, request).await
    }

    type EmitEventsStream = Replies<v1::EmitEventsResponse>;

    async fn emit_events(
        &self,
        request: Request<Streaming<v1::EmitEventsRequest>>,
    ) -> Result<Response<Self::EmitEventsStream>, Status> {
        events::emit_events(self, request).await
    }

    type SubscribeEventsStream = Replies<v1::SubscribeEventsResponse>;

    async fn subscribe_events(
        &self,
        request: Request<v1::SubscribeEventsRequest>,
    ) -> Result<Response<Self::SubscribeEventsStream>, Status> {
        events::subscribe_events(self, request).await
    }

    async fn ack_events(
        &self,
        request: Request<v1::AckEventsRequest>,
    ) -> Result<Response<v1::AckEventsResponse>, Status> {
        events::ack_events(self, request).await
    }

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        events::list_groups(self, request).await
    }

    async fn seek_group(
        &self,
        request: Request<v1::SeekGroupRequest>,
    ) -> Result<Response<v1::SeekGroupResponse>, Status> {
        events::seek_group(self, request).await
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
        events::delete_group(self, request).await
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        events::list_dead_letters(self, request).await
    }
}
