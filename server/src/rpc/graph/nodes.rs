//! Nodes: reading and writing the graph by dot path.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::model::{EntityRef, Name, Part, Path};
use kg_core::snapshot::TypedSection;
use tonic::{Request, Response, Status};

use super::{blocking_if, fitting};
use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::{from_proto, status, to_proto};

impl Context {
    pub(in crate::rpc) async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let asked = request.get_ref();
        let path = from_proto::path("path", &asked.path).map_err(status::fault)?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        match named(&path).map_err(status::fault)? {
            Named::Entity(key) => held.must_see(&key)?,
            Named::Section => held.must_see_section(path.section())?,
            // Of what it holds only that is there which may be seen.
            Named::Typed => {}
        }
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
        caller: &Caller,
        request: v1::UpdateNodeRequest,
    ) -> Result<Response<v1::UpdateNodeResponse>, Status> {
        let path = request.path.clone();
        let outcome = self.write(caller, "UpdateNode", request).await?;
        let path = from_proto::path("path", &path).map_err(status::fault)?;
        let whole = self.graph.hold(outcome.snapshot.clone());
        let seen = self.trimmed(caller, whole).await?;
        let value = seen.node(&path).ok();
        fitting(v1::UpdateNodeResponse {
            header: self.header(outcome.revision),
            value: value.as_ref().map(to_proto::value),
            changed: outcome.changed,
        })
    }

    pub(super) async fn delete_node(
        &self,
        caller: &Caller,
        request: v1::DeleteNodeRequest,
    ) -> Result<Response<v1::DeleteNodeResponse>, Status> {
        let outcome = self.write(caller, "DeleteNode", request).await?;
        Ok(Response::new(v1::DeleteNodeResponse {
            header: self.header(outcome.revision),
            changed: outcome.changed,
        }))
    }
}

/// What a path names.
enum Named {
    /// An entity, or what is in it.
    Entity(EntityRef),
    /// A section of the documents, or what is in it.
    Section,
    /// All of one kind.
    Typed,
}

fn named(path: &Path) -> Result<Named, Fault> {
    let Some(section) = TypedSection::of(path) else {
        return Ok(Named::Section);
    };
    match path.parts().get(1) {
        Some(Part::Key(name)) => {
            let name = Name::parse("path", name)?;
            Ok(Named::Entity(EntityRef::new(section.kind(), name)))
        }
        Some(Part::Index(_)) | None => Ok(Named::Typed),
    }
}
