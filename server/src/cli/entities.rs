//! Entities of any kind: list, get, put, rm.

use amadeus_proto::v1::{
    DeleteEntityRequest, Entity, GetEntityRequest, ListEntitiesRequest, PutEntityRequest,
    entity::Body,
};

use super::{
    args::WriteOneArgs,
    command::{EntityCommand, EntityGetArgs, EntityListArgs, EntityPutArgs, EntityRmArgs},
    entity_ref::{written, written_or_none},
    failure::CliError,
    literal,
    overview::{outcome, tell_count},
    render, services,
    session::Session,
    table,
};

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
        Some(Body::Pattern(pattern)) => {
            let step = |s: &amadeus_proto::v1::PatternStep| {
                vec![
                    s.id.clone(),
                    s.r#type.clone(),
                    s.target.clone(),
                    s.depends_on.join(", "),
                ]
            };
            let about = table::record(&[
                ("name", pattern.name.clone()),
                ("description", pattern.description.clone()),
                ("version", pattern.version.clone()),
                ("category", pattern.category.clone()),
                ("owner", pattern.owner.clone()),
                ("origin", pattern.origin.clone()),
                ("active", pattern.active.to_string()),
                (
                    "metadata",
                    literal::shown_properties(pattern.metadata.as_ref()),
                ),
            ]);
            about
                + &table::section(
                    "Steps",
                    &["ID", "TYPE", "TARGET", "AFTER"],
                    pattern.steps.iter().map(step).collect(),
                )
        }
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
