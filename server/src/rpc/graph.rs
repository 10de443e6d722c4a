//! `GraphService`: each RPC is answered in the file of what it is about.

mod commit;
mod describe;
mod entities;
mod export;
mod import;
mod nodes;
mod relations;
mod services;
mod watch;

use std::sync::Arc;

use amadeus_proto::v1;
use futures::stream::BoxStream;
use kg_core::limits::MESSAGE_BYTES;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};
use v1::graph_service_server::GraphService;

use super::context::Context;
use super::status;
use crate::auth::Caller;

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

/// A reply, if it fits into one message.
pub fn fitting<M: Message>(reply: M) -> Result<Response<M>, Status> {
    let bytes = reply.encoded_len();
    if bytes > MESSAGE_BYTES {
        return Err(status::too_large(bytes));
    }
    Ok(Response::new(reply))
}

/// Who makes a call, and what it asks for.
fn opened<T>(request: Request<T>) -> (Caller, T) {
    (Caller::of(request.extensions()), request.into_inner())
}

/// Runs long work on a thread for that, and short work here.
///
/// # Errors
/// INTERNAL when the work panicked.
pub async fn blocking_if<T: Send + 'static>(
    long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    if !long {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| status::internal("long work", &error))
}

#[tonic::async_trait]
impl GraphService for Service {
    async fn register_service(
        &self,
        request: Request<v1::RegisterServiceRequest>,
    ) -> Result<Response<v1::RegisterServiceResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.register_service(&caller, request).await
    }

    async fn get_service(
        &self,
        request: Request<v1::GetServiceRequest>,
    ) -> Result<Response<v1::GetServiceResponse>, Status> {
        self.0.get_service(request).await
    }

    async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        self.0.list_services(request).await
    }

    async fn deregister_service(
        &self,
        request: Request<v1::DeregisterServiceRequest>,
    ) -> Result<Response<v1::DeregisterServiceResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.deregister_service(&caller, request).await
    }

    async fn update_schema(
        &self,
        request: Request<v1::UpdateSchemaRequest>,
    ) -> Result<Response<v1::UpdateSchemaResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.update_schema(&caller, request).await
    }

    async fn set_capability(
        &self,
        request: Request<v1::SetCapabilityRequest>,
    ) -> Result<Response<v1::SetCapabilityResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.set_capability(&caller, request).await
    }

    async fn add_dependency(
        &self,
        request: Request<v1::AddDependencyRequest>,
    ) -> Result<Response<v1::AddDependencyResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.add_dependency(&caller, request).await
    }

    async fn remove_dependency(
        &self,
        request: Request<v1::RemoveDependencyRequest>,
    ) -> Result<Response<v1::RemoveDependencyResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.remove_dependency(&caller, request).await
    }

    async fn put_entity(
        &self,
        request: Request<v1::PutEntityRequest>,
    ) -> Result<Response<v1::PutEntityResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.put_entity(&caller, request).await
    }

    async fn get_entity(
        &self,
        request: Request<v1::GetEntityRequest>,
    ) -> Result<Response<v1::GetEntityResponse>, Status> {
        self.0.get_entity(request).await
    }

    async fn list_entities(
        &self,
        request: Request<v1::ListEntitiesRequest>,
    ) -> Result<Response<v1::ListEntitiesResponse>, Status> {
        self.0.list_entities(request).await
    }

    async fn delete_entity(
        &self,
        request: Request<v1::DeleteEntityRequest>,
    ) -> Result<Response<v1::DeleteEntityResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.delete_entity(&caller, request).await
    }

    async fn put_relation(
        &self,
        request: Request<v1::PutRelationRequest>,
    ) -> Result<Response<v1::PutRelationResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.put_relation(&caller, request).await
    }

    async fn delete_relation(
        &self,
        request: Request<v1::DeleteRelationRequest>,
    ) -> Result<Response<v1::DeleteRelationResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.delete_relation(&caller, request).await
    }

    async fn list_relations(
        &self,
        request: Request<v1::ListRelationsRequest>,
    ) -> Result<Response<v1::ListRelationsResponse>, Status> {
        self.0.list_relations(request).await
    }

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        self.0.get_node(request).await
    }

    async fn update_node(
        &self,
        request: Request<v1::UpdateNodeRequest>,
    ) -> Result<Response<v1::UpdateNodeResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.update_node(&caller, request).await
    }

    async fn delete_node(
        &self,
        request: Request<v1::DeleteNodeRequest>,
    ) -> Result<Response<v1::DeleteNodeResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.delete_node(&caller, request).await
    }

    async fn commit(
        &self,
        request: Request<v1::CommitRequest>,
    ) -> Result<Response<v1::CommitResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.commit_all(&caller, request).await
    }

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Result<Response<v1::ImportResponse>, Status> {
        self.0.import(request).await
    }

    type ImportStreamStream = BoxStream<'static, Result<v1::ImportResponse, Status>>;

    async fn import_stream(
        &self,
        request: Request<Streaming<v1::ImportRequest>>,
    ) -> Result<Response<Self::ImportStreamStream>, Status> {
        Ok(self.0.import_stream(request))
    }

    type ExportStream = BoxStream<'static, Result<v1::ExportResponse, Status>>;

    async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        self.0.export(request).await
    }

    type WatchStream = BoxStream<'static, Result<v1::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.0.watch(request).await
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        self.0.describe(request).await
    }

    async fn validate(
        &self,
        request: Request<v1::ValidateRequest>,
    ) -> Result<Response<v1::ValidateResponse>, Status> {
        self.0.validate(request).await
    }

    async fn prune(
        &self,
        request: Request<v1::PruneRequest>,
    ) -> Result<Response<v1::PruneResponse>, Status> {
        let (caller, request) = opened(request);
        self.0.prune(&caller, request).await
    }
}
