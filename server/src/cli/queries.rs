//! Questions about the whole graph: deps, impact, path, find, neighbors, subgraph, cycles, order, search.

use amadeus_proto::v1::{
    Cycle, CyclesRequest, DependenciesRequest, Direction, FindByCapabilityRequest, FindPathRequest,
    FindPathResponse, Hit, ImpactRequest, ImpactResponse, NeighborsRequest, SearchRequest,
    StartOrderRequest, StartOrderResponse, SubgraphRequest,
};

use super::{
    command::{
        CyclesArgs, FindArgs, NeighborsArgs, OrderArgs, PathArgs, SearchArgs, SubgraphArgs,
        TraversalArgs,
    },
    entities::entities,
    entity_ref::{written, written_all, written_or_none},
    failure::CliError,
    overview::{tell_count, tell_truncated},
    relations::relations,
    services::services,
    session::Session,
    table,
};

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
    tell_truncated(reply.truncated);
    Ok(())
}

fn impacted(reply: &ImpactResponse) -> String {
    let patterns = reply.patterns.iter().map(|p| vec![written(p)]).collect();
    hits(&reply.hits) + &table::section("Patterns that use one of them", &["PATTERN"], patterns)
}

fn hits(hits: &[Hit]) -> String {
    let row = |hit: &Hit| {
        vec![
            hit.depth.to_string(),
            written_or_none(hit.r#ref.as_ref()),
            written_all(&hit.path, " > "),
        ]
    };
    table::columns(&["DEPTH", "ENTITY", "PATH"], hits.iter().map(row))
}

pub async fn path(session: &mut Session, args: PathArgs) -> Result<(), CliError> {
    let request = FindPathRequest {
        from: Some(args.from),
        to: Some(args.to),
        relations: args.relations,
        direction: Direction::from(args.direction).into(),
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

pub async fn find(session: &mut Session, args: FindArgs) -> Result<(), CliError> {
    let request = FindByCapabilityRequest {
        all_of: args.all_of,
        any_of: args.any_of,
        consistency: args.read.consistency(),
        ..FindByCapabilityRequest::default()
    };
    let send = async |r| session.query().find_by_capability(r).await;
    let reply = session.list(request, &args.list, send).await?;
    session.show(&reply, |reply| services(&reply.services))?;
    tell_count(
        &table::count(reply.services.len(), "service", "services"),
        reply.header.as_ref(),
    );
    Ok(())
}

pub async fn neighbors(session: &mut Session, args: NeighborsArgs) -> Result<(), CliError> {
    let request = NeighborsRequest {
        r#ref: Some(args.entity),
        direction: Direction::from(args.direction).into(),
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
        direction: Direction::from(args.direction).into(),
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

pub async fn cycles(session: &mut Session, args: CyclesArgs) -> Result<(), CliError> {
    let request = CyclesRequest {
        relation: args.relation,
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.query().cycles(r).await)
        .await?;
    session.show(&reply, |reply| match reply.cycles.is_empty() {
        true => "no cycles\n".to_owned(),
        false => circles(&reply.cycles),
    })?;
    tell_truncated(reply.truncated);
    Ok(())
}

fn circles(cycles: &[Cycle]) -> String {
    let row =
        |(i, cycle): (usize, &Cycle)| vec![(i + 1).to_string(), written_all(&cycle.entities, ", ")];
    table::columns(&["CYCLE", "ENTITIES"], cycles.iter().enumerate().map(row))
}

pub async fn order(session: &mut Session, args: OrderArgs) -> Result<(), CliError> {
    let request = StartOrderRequest {
        relation: args.relation,
        refs: args.entities,
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.query().start_order(r).await)
        .await?;
    session.show(&reply, levels)?;
    tell_truncated(reply.truncated);
    Ok(())
}

fn levels(reply: &StartOrderResponse) -> String {
    let rows = reply.levels.iter().enumerate();
    let row = |(i, level): (usize, &amadeus_proto::v1::Level)| {
        vec![(i + 1).to_string(), written_all(&level.entities, ", ")]
    };
    let mut text = table::columns(&["LEVEL", "ENTITIES"], rows.map(row));
    if !reply.cycles.is_empty() {
        text += "\nThese need each other, so each group starts together\n";
        text += &circles(&reply.cycles);
    }
    text
}

pub async fn search(session: &mut Session, args: SearchArgs) -> Result<(), CliError> {
    let request = SearchRequest {
        text: args.text.join(" "),
        kinds: args.kinds,
        budget: args.budget.budget(),
        consistency: args.read.consistency(),
        ..SearchRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.query().search(r).await
        })
        .await?;
    session.show(&reply, |reply| entities(&reply.entities))?;
    tell_count(
        &table::count(reply.total as usize, "match", "matches"),
        reply.header.as_ref(),
    );
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
    fn a_start_order_names_the_cycles_that_it_collapsed() {
        let both = vec![service("a"), service("b")];
        let reply = StartOrderResponse {
            levels: vec![amadeus_proto::v1::Level {
                entities: both.clone(),
            }],
            cycles: vec![Cycle { entities: both }],
            ..StartOrderResponse::default()
        };
        let text = levels(&reply);
        assert!(
            text.contains("1      service/a, service/b\n\nThese need each other"),
            "{text}"
        );
    }

    #[test]
    fn hits_show_how_they_were_reached() {
        let hit = Hit {
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
