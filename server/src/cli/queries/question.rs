//! Questions about the graph as a whole: find, cycles, order, search.

use amadeus_proto::v1::{
    Cycle, CyclesRequest, EntityRef, FindByCapabilityRequest, Level, SearchRequest,
    StartOrderRequest, StartOrderResponse,
};
use clap::Args;

use crate::cli::{
    args::{BudgetArgs, ListArgs, ReadArgs},
    entities::entities,
    entity_ref::{parse_ref, written_all},
    failure::CliError,
    overview::{tell_count, tell_truncated},
    services::services,
    session::Session,
    table,
};

#[derive(Debug, Args)]
pub struct FindArgs {
    /// They offer all of these
    #[arg(value_name = "CAPABILITY", required_unless_present = "any_of")]
    pub all_of: Vec<String>,
    /// They offer at least one of these; may be given again
    #[arg(long = "any", value_name = "CAPABILITY")]
    pub any_of: Vec<String>,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct CyclesArgs {
    /// The label to follow
    #[arg(long, default_value = "depends_on")]
    pub relation: String,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Only these and what they need
    #[arg(value_name = "ENTITY", value_parser = parse_ref)]
    pub entities: Vec<EntityRef>,
    /// The label that says who needs whom
    #[arg(long, default_value = "depends_on")]
    pub relation: String,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The words
    #[arg(required = true)]
    pub text: Vec<String>,
    /// Only this kind; may be given again
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
    #[command(flatten)]
    pub budget: BudgetArgs,
    #[command(flatten)]
    pub list: ListArgs,
    #[command(flatten)]
    pub read: ReadArgs,
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
    let row =
        |(i, level): (usize, &Level)| vec![(i + 1).to_string(), written_all(&level.entities, ", ")];
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
    fn a_start_order_names_the_cycles_that_it_collapsed() {
        let both = vec![service("a"), service("b")];
        let reply = StartOrderResponse {
            levels: vec![Level {
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
}
