//! Runs: begun, read, listed, cancelled, followed, replayed.

use amadeus_proto::v1;
use tonic::{Request, Response, Status};

use super::{Replies, Service};

pub(super) async fn execute_pattern(
    _service: &Service,
    _request: Request<v1::ExecutePatternRequest>,
) -> Result<Response<v1::ExecutePatternResponse>, Status> {
    Err(crate::rpc::status::not_built("ExecutePattern"))
}

pub(super) async fn get_run(
    _service: &Service,
    _request: Request<v1::GetRunRequest>,
) -> Result<Response<v1::GetRunResponse>, Status> {
    Err(crate::rpc::status::not_built("GetRun"))
}

pub(super) async fn list_runs(
    _service: &Service,
    _request: Request<v1::ListRunsRequest>,
) -> Result<Response<v1::ListRunsResponse>, Status> {
    Err(crate::rpc::status::not_built("ListRuns"))
}

pub(super) async fn cancel_run(
    _service: &Service,
    _request: Request<v1::CancelRunRequest>,
) -> Result<Response<v1::CancelRunResponse>, Status> {
    Err(crate::rpc::status::not_built("CancelRun"))
}

pub(super) async fn watch_run(
    _service: &Service,
    _request: Request<v1::WatchRunRequest>,
) -> Result<Response<Replies<v1::WatchRunResponse>>, Status> {
    Err(crate::rpc::status::not_built("WatchRun"))
}

pub(super) async fn replay_run(
    _service: &Service,
    _request: Request<v1::ReplayRunRequest>,
) -> Result<Response<v1::ReplayRunResponse>, Status> {
    Err(crate::rpc::status::not_built("ReplayRun"))
}
