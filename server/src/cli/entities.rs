//! Entities of any kind: list, get, put, rm.

use std::path::PathBuf;

use amadeus_proto::v1::{
    DeleteEntityRequest, Entity, EntityRef, GetEntityRequest, ListEntitiesRequest,
    PutEntityRequest, entity::Body,
};

use clap::{Args, Subcommand};

use super::{
    args::{ListArgs, ReadArgs, WriteOneArgs},
    entity_ref::{parse_ref, written, written_or_none},
    failure::CliError,
    literal::{self, parse_property},
    overview::{outcome, tell_count},
    patterns, render, services,
    session::Session,
    table,
};

#[derive(Debug, Subcommand)]
pub enum EntityCommand {
    /// List entities
    List(EntityListArgs),
    /// Show one entity
    Get(EntityGetArgs),
    /// Create an entity, or replace it whole
    #[command(after_help = "\
Examples:
  amadeus entity put team/payments --property lead=ana --property size=6
  amadeus entity put --file team.yaml")]
    Put(EntityPutArgs),
    /// Remove an entity
    Rm(EntityRmArgs),
}

#[derive(Debug, Args)]
pub struct EntityListArgs {
    /// Only this kind
    #[arg(long, default_value = "", hide_default_value = true)]
    pub kind: String,
    /// Only names that begin like this
    #[arg(long, default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Also services that are only named by a dependency
    #[arg(long)]
    pub placeholders: bool,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct EntityGetArgs {
    /// Which
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct EntityPutArgs {
    /// Which
    #[arg(value_name = "ENTITY", value_parser = parse_ref, required_unless_present = "file")]
    pub entity: Option<EntityRef>,
    /// A property; the value is JSON if it reads as JSON; may be given again
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_property)]
    pub property: Vec<(String, serde_json::Value)>,
    /// Read the entity from here, as JSON or YAML; - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["entity", "property"])]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct EntityRmArgs {
    /// Which
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    /// Even though relations point to it
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

pub async fn run(session: &mut Session, command: EntityCommand) -> Result<(), CliError> {
    match command {
        EntityCommand::List(args) => list(session, args).await,
        EntityCommand::Get(args) => get(session, args).await,
        EntityCommand::Put(args) => put(session, args).await,
        EntityCommand::Rm(args) => rm(session, args).await,
    }
}

async fn list(session: &mut Session, args: EntityListArgs) -> Result<(), CliError> {
    let request = ListEntitiesRequest {
        kind: args.kind,
        name_prefix: args.prefix,
        include_placeholders: args.placeholders,
        consistency: args.read.consistency(),
        ..ListEntitiesRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.graph().list_entities(r).await
        })
        .await?;
    session.show(&reply, |reply| entities(&reply.entities))?;
    tell_count(
        &table::count(reply.entities.len(), "entity", "entities"),
        reply.header.as_ref(),
    );
    Ok(())
}

/// A table of entities.
pub fn entities(entities: &[Entity]) -> String {
    let row = |entity: &Entity| {
        vec![
            written_or_none(entity.r#ref.as_ref()),
            entity.modified_revision.to_string(),
            summary(entity),
        ]
    };
    table::columns(
        &["ENTITY", "MODIFIED", "PROPERTIES"],
        entities.iter().map(row),
    )
}

/// What fits into one column: the properties, or what a body says about itself first.
fn summary(entity: &Entity) -> String {
    let properties = literal::shown_properties(entity.properties.as_ref());
    if !properties.is_empty() {
        return properties;
    }
    match &entity.body {
        Some(Body::Service(service)) => {
            let described = [service.version.as_str(), &service.category, &service.owner];
            described
                .into_iter()
                .filter(|s| !s.is_empty())
                .collect::<Vec<_>>()
                .join(", ")
        }
        Some(Body::Pattern(pattern)) => table::count(pattern.steps.len(), "step", "steps"),
        None => String::new(),
    }
}

async fn get(session: &mut Session, args: EntityGetArgs) -> Result<(), CliError> {
    let request = GetEntityRequest {
        r#ref: Some(args.entity),
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.graph().get_entity(r).await)
        .await?;
    session.show(&reply, |reply| {
        reply.entity.as_ref().map(entity).unwrap_or_default()
    })
}

fn entity(entity: &Entity) -> String {
    let properties = entity.properties.iter().flat_map(|p| &p.fields);
    let rows: Vec<_> = properties
        .map(|(key, value)| vec![key.clone(), literal::shown(value)])
        .collect();
    let text = match &entity.body {
        Some(Body::Service(service)) => services::service(service),
        Some(Body::Pattern(pattern)) => patterns::definition(pattern),
        None => table::record(&[
            ("entity", written_or_none(entity.r#ref.as_ref())),
            (
                "created",
                format!("at revision {}", entity.created_revision),
            ),
            (
                "modified",
                format!("at revision {}", entity.modified_revision),
            ),
        ]),
    };
    text + &table::section("Properties", &["KEY", "VALUE"], rows)
}

async fn put(session: &mut Session, args: EntityPutArgs) -> Result<(), CliError> {
    let entity = match &args.file {
        Some(file) => render::parse(&literal::text_of(file)?)?,
        None => Entity {
            r#ref: args.entity,
            properties: literal::properties(&args.property)?,
            ..Entity::default()
        },
    };
    let name = written_or_none(entity.r#ref.as_ref());
    let WriteOneArgs { write, expect } = args.write;
    let request = PutEntityRequest {
        entity: Some(entity),
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().put_entity(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        outcome(&name, "put", r.changed, r.header.as_ref())
    })
}

async fn rm(session: &mut Session, args: EntityRmArgs) -> Result<(), CliError> {
    let name = written(&args.entity);
    let WriteOneArgs { write, expect } = args.write;
    let request = DeleteEntityRequest {
        r#ref: Some(args.entity),
        force: args.force,
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().delete_entity(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |reply| {
        let mut text = outcome(&name, "removed", reply.changed, reply.header.as_ref());
        if reply.entity.is_some() {
            text += "it stays as a placeholder for those that depend on it\n";
        }
        text
    })
}
