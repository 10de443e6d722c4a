//! Nodes: reading and writing the graph by dot path.

use amadeus_proto::v1;
use tonic::{Request, Response, Status};

use super::{blocking_if, fitting};
use crate::rpc::context::Context;
use crate::rpc::{from_proto, status, to_proto};

impl Context {
    pub(super) async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let asked = request.get_ref();
        let path = from_proto::path("path", &asked.path).map_err(status::fault)?;
        let held = self
            .fresh(asked.consistency.as_ref(), request.metadata())
            .await?;
        let header = self.header(held.revision());
        // A path of one part is a whole section, which may be every service there is.
        let whole = path.parts().len() == 1;
        let work = move || held.node(&path).map(|value| to_proto::value(&value));
        let value = blocking_if(whole, work).await?.map_err(status::lost)?;
        fitting(v1::GetNodeResponse {
            header,
            value: Some(value),
        })
    }

    pub(super) async fn update_node(
        &self,
        request: v1::UpdateNodeRequest,
    ) -> Result<Response<v1::UpdateNodeResponse>, Status> {
        let path = request.path.clone();
        let outcome = self.write("UpdateNode", request).await?;
        let path = from_proto::path("path", &path).map_err(status::fault)?;
        let value = outcome.snapshot.node(&path).ok();
        fitting(v1::UpdateNodeResponse {
            header: self.header(outcome.revision),
            value: value.as_ref().map(to_proto::value),
            changed: outcome.changed,
        })
    }

    pub(super) async fn delete_node(
        &self,
        request: v1::DeleteNodeRequest,
    ) -> Result<Response<v1::DeleteNodeResponse>, Status> {
        let outcome = self.write("DeleteNode", request).await?;
        Ok(Response::new(v1::DeleteNodeResponse {
            header: self.header(outcome.revision),
            changed: outcome.changed,
        }))
    }
}
