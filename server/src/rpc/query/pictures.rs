//! For people: pictures of the graph, and pages about what is in it.

use amadeus_proto::v1;
use kg_core::query::{self, Along, View};
use tonic::{Request, Response, Status};
use v1::visualize_request::Format;

use crate::auth::Caller;
use crate::picture::svg;
use crate::rpc::context::Context;
use crate::rpc::graph::{blocking_if, fitting};
use crate::rpc::{from_proto, status, to_proto};

impl Context {
    pub(super) async fn visualize(
        &self,
        request: Request<v1::VisualizeRequest>,
    ) -> Result<Response<v1::VisualizeResponse>, Status> {
        let asked = request.get_ref();
        let format: Format =
            from_proto::number_of("format", asked.format).map_err(status::fault)?;
        let view = view(asked).map_err(status::fault)?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        view.root.iter().try_for_each(|root| held.must_see(root))?;
        let header = self.header(held.revision());
        let work = move || -> Result<_, Status> {
            let picture = query::picture(&held, &view).map_err(status::query)?;
            let body = match format {
                Format::Mermaid => query::mermaid(&picture),
                Format::Dot => query::dot(&picture),
                Format::Json => picture.json(),
                Format::Svg => svg(&picture).map_err(status::not_drawn)?,
            };
            Ok((body, picture.nodes.len(), picture.edges.len()))
        };
        let (body, entities, relations) = blocking_if(true, work).await??;
        fitting(v1::VisualizeResponse {
            header,
            body,
            entities: to_proto::count(entities),
            relations: to_proto::count(relations),
        })
    }

    pub(super) async fn generate_docs(
        &self,
        request: Request<v1::GenerateDocsRequest>,
    ) -> Result<Response<v1::GenerateDocsResponse>, Status> {
        let asked = request.get_ref();
        let about = match &asked.r#ref {
            None => None,
            given => Some(from_proto::entity_ref("ref", given.as_ref()).map_err(status::fault)?),
        };
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        about.iter().try_for_each(|key| held.must_see(key))?;
        let header = self.header(held.revision());
        let work = move || match about {
            None => Ok(query::docs_index(&held)),
            Some(key) => query::docs(&held, &key),
        };
        let body = blocking_if(true, work).await?.map_err(status::query)?;
        fitting(v1::GenerateDocsResponse { header, body })
    }
}

fn view(asked: &v1::VisualizeRequest) -> Result<View, kg_core::error::Fault> {
    let root = match &asked.root {
        None => None,
        given => Some(from_proto::entity_ref("root", given.as_ref())?),
    };
    let kind = match asked.section.as_str() {
        "" => None,
        section => Some(query::kind_of_section("section", section)?),
    };
    Ok(View {
        root,
        kind,
        hops: (asked.depth > 0).then_some(asked.depth),
        along: Along::or_all(from_proto::labels("relations", &asked.relations)?),
        direction: from_proto::direction("direction", asked.direction)?,
    })
}
