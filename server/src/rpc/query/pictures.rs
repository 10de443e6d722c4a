//! For people: pictures of the graph, of patterns and of runs, and pages about what is in it.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::model::{EntityRef, Kind, PatternBody};
use kg_core::query::{self, Along, Picture, View};
use tonic::{Request, Response, Status};
use v1::visualize_request::Format;

use crate::auth::Caller;
use crate::nexus::{Runs, runs};
use crate::picture::svg;
use crate::rpc::context::Context;
use crate::rpc::graph::{blocking_if, fitting};
use crate::rpc::nexus::seen_run;
use crate::rpc::{from_proto, status, to_proto};

impl Context {
    pub(super) async fn visualize(
        &self,
        runs: Option<&Runs>,
        request: Request<v1::VisualizeRequest>,
    ) -> Result<Response<v1::VisualizeResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let asked = request.get_ref();
        let format: Format =
            from_proto::number_of("format", asked.format).map_err(status::fault)?;
        let what = What::of(asked).map_err(status::fault)?;
        if let What::Run(id) = what {
            let run = seen_run(runs, &caller, id).await?;
            let picture = of_run(&run)?;
            let header = self.header(self.graph.revisions().0);
            return drawn(header, format, move || Ok(picture)).await;
        }
        let held = self
            .fresh(&caller, asked.consistency.as_ref(), request.metadata())
            .await?;
        let header = self.header(held.revision());
        match what {
            What::Pattern(key) => {
                held.must_see(&key)?;
                let entity = held.entity(&key).ok_or_else(|| status::not_found(&key))?;
                let body = entity.pattern().cloned().unwrap_or_default();
                drawn(header, format, move || steps_of(&body)).await
            }
            What::Graph(view) => {
                view.root.iter().try_for_each(|root| held.must_see(root))?;
                let work = move || query::picture(&held, &view).map_err(status::query);
                drawn(header, format, work).await
            }
            // It was drawn above.
            What::Run(id) => Err(status::not_found(format!("the run {id}"))),
        }
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

/// What is to be drawn.
enum What<'a> {
    Graph(View),
    Pattern(EntityRef),
    Run(&'a str),
}

impl<'a> What<'a> {
    fn of(asked: &'a v1::VisualizeRequest) -> Result<Self, Fault> {
        let one = match (asked.pattern.as_str(), asked.run_id.as_str()) {
            ("", "") => return view(asked).map(Self::Graph),
            (pattern, "") => Self::Pattern(EntityRef::new(
                Kind::pattern(),
                from_proto::name("pattern", pattern)?,
            )),
            ("", run) => Self::Run(run),
            _ => return Err(Fault::new("run_id", "must not be given with pattern")),
        };
        for (field, given) in [
            ("root", asked.root.is_some()),
            ("section", !asked.section.is_empty()),
            ("relations", !asked.relations.is_empty()),
            ("depth", asked.depth > 0),
        ] {
            if given {
                let reason = "is about the graph: a pattern or a run is drawn whole";
                return Err(Fault::new(field, reason));
            }
        }
        Ok(one)
    }
}

fn steps_of(body: &PatternBody) -> Result<Picture, Status> {
    kg_core::nexus::picture(body, None).map_err(status::query)
}

/// A run over the steps that it carries out, each as it is doing.
fn of_run(run: &runs::View) -> Result<Picture, Status> {
    let spec = from_proto::pattern(&run.pattern).map_err(|f| status::internal("drawing", &f))?;
    let mut picture = steps_of(&spec.body)?;
    for node in &mut picture.nodes {
        let name = node.key.name.as_str();
        let state = run.run.steps.iter().find(|step| step.id == name);
        if let (Some(look), Some(step)) = (&mut node.step, state) {
            look.state = Some(from_proto::step_state(step.state()));
        }
    }
    Ok(picture)
}

/// A picture that `work` makes, in a form.
async fn drawn(
    header: Option<v1::ResponseHeader>,
    format: Format,
    work: impl FnOnce() -> Result<Picture, Status> + Send + 'static,
) -> Result<Response<v1::VisualizeResponse>, Status> {
    let work = move || -> Result<_, Status> {
        let picture = work()?;
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

fn view(asked: &v1::VisualizeRequest) -> Result<View, Fault> {
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
