//! Events: emitted, followed, and the groups that consume them.

use amadeus_proto::v1;
use tonic::{Request, Response, Status, Streaming};

use super::{Replies, Service};

pub(super) async fn emit_event(
    _service: &Service,
    _request: Request<v1::EmitEventRequest>,
) -> Result<Response<v1::EmitEventResponse>, Status> {
    Err(crate::rpc::status::not_built("EmitEvent"))
}

pub(super) async fn emit_events(
    _service: &Service,
    _request: Request<Streaming<v1::EmitEventsRequest>>,
) -> Result<Response<Replies<v1::EmitEventsResponse>>, Status> {
    Err(crate::rpc::status::not_built("EmitEvents"))
}

pub(super) async fn subscribe_events(
    _service: &Service,
    _request: Request<v1::SubscribeEventsRequest>,
) -> Result<Response<Replies<v1::SubscribeEventsResponse>>, Status> {
    Err(crate::rpc::status::not_built("SubscribeEvents"))
}

pub(super) async fn ack_events(
    _service: &Service,
    _request: Request<v1::AckEventsRequest>,
) -> Result<Response<v1::AckEventsResponse>, Status> {
    Err(crate::rpc::status::not_built("AckEvents"))
}

pub(super) async fn list_groups(
    _service: &Service,
    _request: Request<v1::ListGroupsRequest>,
) -> Result<Response<v1::ListGroupsResponse>, Status> {
    Err(crate::rpc::status::not_built("ListGroups"))
}

pub(super) async fn seek_group(
    _service: &Service,
    _request: Request<v1::SeekGroupRequest>,
) -> Result<Response<v1::SeekGroupResponse>, Status> {
    Err(crate::rpc::status::not_built("SeekGroup"))
}

pub(super) async fn delete_group(
    _service: &Service,
    _request: Request<v1::DeleteGroupRequest>,
) -> Result<Response<v1::DeleteGroupResponse>, Status> {
    Err(crate::rpc::status::not_built("DeleteGroup"))
}

pub(super) async fn list_dead_letters(
    _service: &Service,
    _request: Request<v1::ListDeadLettersRequest>,
) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
    Err(crate::rpc::status::not_built("ListDeadLetters"))
}
