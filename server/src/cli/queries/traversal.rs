//! Questions that start at an entity and follow relations: deps, impact, path, neighbors, subgraph.

use amadeus_proto::v1::{
    self, DependenciesRequest, EntityRef, FindPathRequest, FindPathResponse, Hit, ImpactRequest,
    ImpactResponse, NeighborsRequest, SubgraphRequest,
};
use clap::Args;

use crate::cli::{
    args::{BudgetArgs, Direction, ListArgs, ReadArgs},
    entities::entities,
    entity_ref::{parse_ref, written, written_all, written_or_none},
    failure::CliError,
    overview::{tell_count, tell_hidden, tell_truncated},
    relations::relations,
    session::Session,
    table,
};

#[derive(Debug, Args)]
pub struct TraversalArgs {
    /// Which
    #[arg(value_name = "ENTITY", required = true, value_parser = parse_ref)]
    pub entities: Vec<EntityRef>,
    /// Follow this label instead of depends_on; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct PathArgs {
    #[arg(value_parser = parse_ref)]
    pub from: EntityRef,
    #[arg(value_parser = parse_ref)]
    pub to: EntityRef,
    /// Follow only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// Which way
    #[arg(long, value_enum, default_value_t)]
    pub direction: Direction,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct NeighborsArgs {
    /// Around which
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entity: EntityRef,
    /// Which way
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// Follow only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// How far
    #[arg(long, default_value_t = 1)]
    pub depth: u32,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct SubgraphArgs {
    /// Around which
    #[arg(value_name = "ENTITY", required = true, value_parser = parse_ref)]
    pub entities: Vec<EntityRef>,
    /// Which way
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
    /// Follow only this label; may be given again
    #[arg(long = "relation", value_name = "LABEL")]
    pub relations: Vec<String>,
    /// How far
    #[arg(long, default_value_t = 1)]
    pub depth: u32,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

pub async fn deps(session: &mut Session, args: TraversalArgs) -> Result<(), CliError> {
    let request = DependenciesRequest {
        refs: args.entities,
        relations: args.relations,
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
        ..DependenciesRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.query().dependencies(r).await
        })
        .await?;
    session.show(&reply, |reply| hits(&reply.hits))?;
    tell_count(
        &table::count(reply.total as usize, "dependency", "dependencies"),
        reply.header.as_ref(),
    );
    tell_hidden(reply.hidden);
    tell_truncated(reply.truncated);
    Ok(())
}

pub async fn impact(session: &mut Session, args: TraversalArgs) -> Result<(), CliError> {
    let request = ImpactRequest {
        refs: args.entities,
        relations: args.relations,
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
        ..ImpactRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.query().impact(r).await
        })
        .await?;
    session.show(&reply, impacted)?;
    tell_count(
        &table::count(reply.total as usize, "dependent", "dependents"),
        reply.header.as_ref(),
    );
    tell_hidden(reply.hidden);
    tell_truncated(reply.truncated);
    Ok(())
}

fn impacted(reply: &ImpactResponse) -> String {
    let patterns = reply.patterns.iter().map(|p| vec![written(p)]).collect();
    hits(&reply.hits) + &table::section("Patterns that use one of them", &["PATTERN"], patterns)
}

fn hits(hits: &[Hit]) -> String {
    let row = |hit: &Hit| {
        let gap = if hit.hidden_between {
            " (with what you may not see between)"
        } else {
            ""
        };
        vec![
            hit.depth.to_string(),
            written_or_none(hit.r#ref.as_ref()),
            written_all(&hit.path, " > ") + gap,
        ]
    };
    table::columns(&["DEPTH", "ENTITY", "PATH"], hits.iter().map(row))
}

pub async fn path(session: &mut Session, args: PathArgs) -> Result<(), CliError> {
    let request = FindPathRequest {
        from: Some(args.from),
        to: Some(args.to),
        relations: args.relations,
        direction: v1::Direction::from(args.direction).into(),
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.query().find_path(r).await)
        .await?;
    session.show(&reply, steps)?;
    tell_truncated(reply.truncated);
    Ok(())
}

/// One step a line, each with the label that leads to it.
fn steps(reply: &FindPathResponse) -> String {
    let labels = std::iter::once("").chain(reply.relations.iter().map(String::as_str));
    let rows = reply.path.iter().zip(labels.chain(std::iter::repeat("")));
    table::columns(
        &["BY", "ENTITY"],
        rows.map(|(entity, label)| vec![label.to_owned(), written(entity)]),
    )
}

pub async fn neighbors(session: &mut Session, args: NeighborsArgs) -> Result<(), CliError> {
    let request = NeighborsRequest {
        r#ref: Some(args.entity),
        direction: v1::Direction::from(args.direction).into(),
        relations: args.relations,
        depth: args.depth,
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
        ..NeighborsRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.query().neighbors(r).await
        })
        .await?;
    session.show(&reply, |reply| hits(&reply.hits))?;
    tell_count(
        &table::count(reply.total as usize, "neighbor", "neighbors"),
        reply.header.as_ref(),
    );
    tell_truncated(reply.truncated);
    Ok(())
}

pub async fn subgraph(session: &mut Session, args: SubgraphArgs) -> Result<(), CliError> {
    let request = SubgraphRequest {
        refs: args.entities,
        direction: v1::Direction::from(args.direction).into(),
        relations: args.relations,
        depth: args.depth,
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.query().subgraph(r).await)
        .await?;
    session.show(&reply, |reply| {
        entities(&reply.entities) + "\n" + &relations(&reply.relations)
    })?;
    tell_truncated(reply.truncated);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::entity_ref::service;

    #[test]
    fn a_path_shows_the_label_that_leads_to_each_step() {
        let reply = FindPathResponse {
            path: vec![service("a"), service("b")],
            relations: vec!["depends_on".into()],
            ..FindPathResponse::default()
        };
        assert_eq!(
            steps(&reply),
            "BY          ENTITY\n            service/a\ndepends_on  service/b\n"
        );
    }

    #[test]
    fn hits_show_how_they_were_reached() {
        let hit = Hit {
            hidden_between: false,
            r#ref: Some(service("b")),
            depth: 1,
            path: vec![service("a"), service("b")],
        };
        assert_eq!(
            hits(&[hit]),
            "DEPTH  ENTITY     PATH\n1      service/b  service/a > service/b\n"
        );
    }
}
