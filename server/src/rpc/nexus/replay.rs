//! Replays: the plan of a run that has ended, carried out again on a copy of the graph.
//!
//! It acts with the rights that the run's owner has now. Whoever may see the run is its owner or reads everything, so nothing is told here
//! that they could not read otherwise.

use amadeus_proto::v1;
use kg_core::nexus::Difference;
use prost::Message as _;
use tokio::time::timeout_at;
use tonic::{Request, Response, Status};

use super::Service;
use super::runs::{may_see, no_run};
use crate::auth::Caller;
use crate::rpc::freshness::wait_until;
use crate::rpc::{status, to_proto};

pub(super) async fn replay_run(
    service: &Service,
    request: Request<v1::ReplayRunRequest>,
) -> Result<Response<v1::ReplayRunResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let until = wait_until(request.metadata());
    let asked = request.get_ref();
    let recorded = service.runs.recorded(&asked.run_id).await?;
    let recorded = recorded
        .filter(|recorded| may_see(&caller, &recorded.about))
        .ok_or_else(|| no_run(&asked.run_id))?;
    if !recorded.run.state().has_ended() {
        let why = format!(
            "the run {} has not ended: only what has ended can be replayed",
            asked.run_id
        );
        return Err(status::state(why));
    }
    let revision = asked.at_revision.unwrap_or(recorded.about.graph_revision);
    let context = &service.context;
    let at = context.at_exact(revision, request.metadata()).await?;
    let replaying = service.runs.replay(&recorded, &at);
    let replayed = timeout_at(until, replaying).await;
    let replayed = replayed.map_err(|_| status::deadline("a run was replayed"))?;
    let (run, differences) = replayed.map_err(|failure| status::failed(&failure))?;
    let differences: Vec<_> = differences.into_iter().map(difference).collect();
    let bytes: usize = differences.iter().map(|one| one.encoded_len() + 5).sum();
    let mut run = to_proto::run::run(&recorded.about, &run, true);
    to_proto::run::fit(&mut run, super::runs::ROOM.saturating_sub(bytes));
    crate::rpc::graph::fitting(v1::ReplayRunResponse {
        header: context.header(revision),
        run: Some(run),
        differences,
    })
}

fn difference(difference: Difference) -> v1::RunDifference {
    v1::RunDifference {
        step: difference
            .step
            .map_or_else(String::new, |step| step.to_string()),
        path: difference.path,
        recorded: Some(to_proto::value(&difference.recorded)),
        replayed: Some(to_proto::value(&difference.replayed)),
    }
}
