//! Pages and pictures of the graph: viz, docs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use amadeus_proto::v1::{
    Direction, EntityRef, GenerateDocsRequest, VisualizeRequest, visualize_request::Format,
};

use clap::{Args, ValueEnum};

use super::{
    args::{self, ReadArgs},
    entity_ref::parse_ref,
    failure::CliError,
    out,
    session::Session,
};

#[derive(Debug, Args)]
pub struct VizArgs {
    /// Around which; without it the whole graph
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub root: Option<EntityRef>,
    /// The form of the picture
    #[arg(long, value_enum, default_value_t = VizFormat::Mermaid)]
    pub format: VizFormat,
    /// How far from the entity; 0: as far as relations lead
    #[arg(long, default_value_t = 0)]
    pub depth: u32,
    /// Draw only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// Which way from the entity
    #[arg(long, value_enum, default_value_t)]
    pub direction: args::Direction,
    /// Draw only this section, such as services
    #[arg(long, default_value = "", hide_default_value = true)]
    pub section: String,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VizFormat {
    /// A Mermaid flowchart
    Mermaid,
    /// Graphviz
    Dot,
    /// Nodes and edges
    Json,
    /// A picture
    Svg,
}

impl From<VizFormat> for Format {
    fn from(format: VizFormat) -> Self {
        match format {
            VizFormat::Mermaid => Self::Mermaid,
            VizFormat::Dot => Self::Dot,
            VizFormat::Json => Self::Json,
            VizFormat::Svg => Self::Svg,
        }
    }
}

#[derive(Debug, Args)]
pub struct DocsArgs {
    /// About which; without it an index of all services
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: Option<EntityRef>,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}

pub async fn viz(session: &mut Session, args: VizArgs) -> Result<(), CliError> {
    let request = VisualizeRequest {
        format: Format::from(args.format).into(),
        root: args.root,
        depth: args.depth,
        relations: args.relations,
        direction: Direction::from(args.direction).into(),
        section: args.section,
        consistency: args.read.consistency(),
        ..VisualizeRequest::default()
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

pub fn save(file: &Path, body: &str) -> Result<(), CliError> {
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
