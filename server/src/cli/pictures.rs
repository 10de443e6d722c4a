//! Pages and pictures of the graph: viz, docs.

use std::{fs, path::Path};

use amadeus_proto::v1::{
    Direction, GenerateDocsRequest, VisualizeRequest, visualize_request::Format,
};

use super::{
    command::{DocsArgs, VizArgs, VizFormat},
    failure::CliError,
    out,
    session::Session,
};

pub async fn viz(session: &mut Session, args: VizArgs) -> Result<(), CliError> {
    let format = match args.format {
        VizFormat::Mermaid => Format::Mermaid,
        VizFormat::Dot => Format::Dot,
        VizFormat::Json => Format::Json,
        VizFormat::Svg => Format::Svg,
    };
    let request = VisualizeRequest {
        format: format.into(),
        root: args.root,
        depth: args.depth,
        relations: args.relations,
        direction: Direction::from(args.direction).into(),
        section: args.section,
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.query().visualize(r).await)
        .await?;
    match &args.file {
        Some(file) => save(file, &reply.body),
        None => session.show(&reply, |reply| reply.body.clone()),
    }
}

pub async fn docs(session: &mut Session, args: DocsArgs) -> Result<(), CliError> {
    let request = GenerateDocsRequest {
        r#ref: args.entity,
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.query().generate_docs(r).await)
        .await?;
    match &args.file {
        Some(file) => save(file, &reply.body),
        None => session.show(&reply, |reply| reply.body.clone()),
    }
}

fn save(file: &Path, body: &str) -> Result<(), CliError> {
    fs::write(file, body).map_err(|cause| CliError::File {
        path: file.to_owned(),
        cause,
    })?;
    out::note(&format!(
        "{} bytes written to {}",
        body.len(),
        file.display()
    ));
    Ok(())
}
