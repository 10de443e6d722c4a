//! A run carried out again without doing anything, and what differs.

use amadeus_proto::v1::{ReplayRunRequest, ReplayRunResponse, RunDifference};

use super::{command::ReplayArgs, words};
use crate::cli::{failure::CliError, literal, session::Session, table};

pub async fn replay(session: &mut Session, args: ReplayArgs) -> Result<(), CliError> {
    let request = ReplayRunRequest {
        run_id: args.id,
        at_revision: args.at,
    };
    let send = async |r| session.nexus().replay_run(r).await;
    let reply = session.call(request, send).await?;
    session.show(&reply, text)
}

fn text(reply: &ReplayRunResponse) -> String {
    let at = reply.header.as_ref().map_or(0, |header| header.revision);
    let run = reply.run.clone().unwrap_or_default();
    let state = words::run_state(run.state());
    if reply.differences.is_empty() {
        return format!("at revision {at} it goes the same way: {state}\n");
    }
    let value = |value: Option<&prost_types::Value>| value.map(literal::shown).unwrap_or_default();
    let row = |difference: &RunDifference| {
        let step = match difference.step.as_str() {
            "" => "(the run)",
            step => step,
        };
        vec![
            step.to_owned(),
            difference.path.clone(),
            value(difference.recorded.as_ref()),
            value(difference.replayed.as_ref()),
        ]
    };
    format!("at revision {at} it goes another way: {state}\n")
        + &table::columns(
            &["STEP", "WHAT", "RECORDED", "REPLAYED"],
            reply.differences.iter().map(row),
        )
}
