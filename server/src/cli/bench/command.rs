//! What can be measured, and the entities that it is measured on.

use std::sync::Arc;

use amadeus_proto::v1::{
    CommitRequest, DeleteEntityRequest, EntityRef, Mutation, PutEntityRequest, mutation,
};
use clap::Args;

use super::{
    load::{Mix, apply_load, entity},
    report::Report,
};
use crate::cli::{
    args::{Output, fresh_request_id},
    failure::CliError,
    session::Session,
};

const KIND: &str = "bench";

#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// TCP connections
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Calls in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub in_flight: u32,
    /// What to call
    #[arg(long, value_enum, default_value_t = Mix::Mixed)]
    pub mix: Mix,
    /// For how long
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Among how many entities
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub entities: u32,
    /// Leave the entities in the graph
    #[arg(long)]
    pub keep: bool,
}

pub async fn run(session: &mut Session, args: BenchArgs) -> Result<(), CliError> {
    let names: Arc<[EntityRef]> = names(args.entities).into();
    commit(session, names.iter().map(put_first)).await?;
    let load = apply_load(session, &args, &names).await;
    if !args.keep {
        commit(session, names.iter().map(delete)).await?;
    }
    let report = Report::new(&args, load?);
    let text = match session.output {
        Output::Table => report.table(),
        Output::Json => {
            serde_json::to_string_pretty(&report).map_err(|e| CliError::Reply(e.to_string()))?
        }
        Output::Yaml => {
            serde_yaml_ng::to_string(&report).map_err(|e| CliError::Reply(e.to_string()))?
        }
    };
    session.out.text(&text)?;
    match report.first_error {
        Some(error) => Err(CliError::Stopped(format!(
            "some calls failed, the first with {error}"
        ))),
        None => Ok(()),
    }
}

/// Names of this run alone, so that two runs at once do not meet.
fn names(count: u32) -> Vec<EntityRef> {
    let run = fresh_request_id();
    let named = |n: u32| EntityRef {
        kind: KIND.to_owned(),
        name: format!("{run}-{n:05}"),
    };
    (0..count).map(named).collect()
}

fn put_first(name: &EntityRef) -> mutation::Mutation {
    mutation::Mutation::PutEntity(PutEntityRequest {
        entity: Some(entity(name, 0)),
        ..PutEntityRequest::default()
    })
}

fn delete(name: &EntityRef) -> mutation::Mutation {
    mutation::Mutation::DeleteEntity(DeleteEntityRequest {
        r#ref: Some(name.clone()),
        force: true,
        ..DeleteEntityRequest::default()
    })
}

async fn commit(
    session: &Session,
    mutations: impl Iterator<Item = mutation::Mutation>,
) -> Result<(), CliError> {
    let request_id = fresh_request_id();
    let request = CommitRequest {
        mutations: mutations.map(|m| Mutation { mutation: Some(m) }).collect(),
        request_id: request_id.clone(),
        reason: "load test".to_owned(),
        ..CommitRequest::default()
    };
    session
        .write(&request_id, request, async |r| {
            session.graph().commit(r).await
        })
        .await?;
    Ok(())
}
