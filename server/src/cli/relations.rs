//! Relations between entities: list, put, rm.

use amadeus_proto::v1::{
    DeleteRelationRequest, Direction, EntityRef, ListRelationsRequest, PutRelationRequest, Relation,
};

use clap::{Args, Subcommand};

use super::{
    args::{self, ListArgs, ReadArgs, WriteOneArgs},
    entity_ref::{parse_ref, written, written_or_none},
    failure::CliError,
    literal::{self, parse_property},
    overview::{outcome, tell_count},
    session::Session,
    table,
};

#[derive(Debug, Subcommand)]
pub enum RelationCommand {
    /// List the relations of an entity
    List(RelationListArgs),
    /// Create a relation, or replace its properties
    #[command(after_help = "\
Example:
  amadeus relation put checkout owned_by team/payments --property since=2024")]
    Put(RelationPutArgs),
    /// Remove a relation
    Rm(RelationRmArgs),
}

#[derive(Debug, Args)]
pub struct RelationListArgs {
    /// Whose
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    /// Which way
    #[arg(long, value_enum, default_value_t)]
    pub direction: args::Direction,
    /// Only this label
    #[arg(long, default_value = "", hide_default_value = true)]
    pub relation: String,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct RelationPutArgs {
    #[arg(value_parser = parse_ref)]
    pub from: EntityRef,
    /// Its label, such as depends_on
    pub relation: String,
    #[arg(value_parser = parse_ref)]
    pub to: EntityRef,
    /// A property; the value is JSON if it reads as JSON; may be given again
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_property)]
    pub property: Vec<(String, serde_json::Value)>,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

#[derive(Debug, Args)]
pub struct RelationRmArgs {
    #[arg(value_parser = parse_ref)]
    pub from: EntityRef,
    /// Its label
    pub relation: String,
    #[arg(value_parser = parse_ref)]
    pub to: EntityRef,
    #[command(flatten)]
    pub write: WriteOneArgs,
}

pub async fn run(session: &mut Session, command: RelationCommand) -> Result<(), CliError> {
    match command {
        RelationCommand::List(args) => list(session, args).await,
        RelationCommand::Put(args) => put(session, args).await,
        RelationCommand::Rm(args) => rm(session, args).await,
    }
}

async fn list(session: &mut Session, args: RelationListArgs) -> Result<(), CliError> {
    let request = ListRelationsRequest {
        r#ref: Some(args.entity),
        direction: Direction::from(args.direction).into(),
        relation: args.relation,
        consistency: args.read.consistency(),
        ..ListRelationsRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.graph().list_relations(r).await
        })
        .await?;
    session.show(&reply, |reply| relations(&reply.relations))?;
    tell_count(
        &table::count(reply.relations.len(), "relation", "relations"),
        reply.header.as_ref(),
    );
    Ok(())
}

/// A table of relations.
pub fn relations(relations: &[Relation]) -> String {
    let row = |relation: &Relation| {
        vec![
            written_or_none(relation.from.as_ref()),
            relation.relation.clone(),
            written_or_none(relation.to.as_ref()),
            literal::shown_properties(relation.properties.as_ref()),
        ]
    };
    table::columns(
        &["FROM", "RELATION", "TO", "PROPERTIES"],
        relations.iter().map(row),
    )
}

async fn put(session: &mut Session, args: RelationPutArgs) -> Result<(), CliError> {
    let name = named(&args.from, &args.relation, &args.to);
    let WriteOneArgs { write, expect } = args.write;
    let request = PutRelationRequest {
        relation: Some(Relation {
            from: Some(args.from),
            relation: args.relation,
            to: Some(args.to),
            properties: literal::properties(&args.property)?,
            ..Relation::default()
        }),
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().put_relation(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        outcome(&name, "put", r.changed, r.header.as_ref())
    })
}

async fn rm(session: &mut Session, args: RelationRmArgs) -> Result<(), CliError> {
    let name = named(&args.from, &args.relation, &args.to);
    let WriteOneArgs { write, expect } = args.write;
    let request = DeleteRelationRequest {
        from: Some(args.from),
        relation: args.relation,
        to: Some(args.to),
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().delete_relation(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        outcome(&name, "removed", r.changed, r.header.as_ref())
    })
}

fn named(from: &EntityRef, relation: &str, to: &EntityRef) -> String {
    format!("{} -{relation}-> {}", written(from), written(to))
}
