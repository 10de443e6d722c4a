//! Patterns: registered, read, listed, removed, checked.

use amadeus_proto::v1;
use tonic::{Request, Response, Status};

use super::Service;

pub(super) async fn register_pattern(
    _service: &Service,
    _request: Request<v1::RegisterPatternRequest>,
) -> Result<Response<v1::RegisterPatternResponse>, Status> {
    Err(crate::rpc::status::not_built("RegisterPattern"))
}

pub(super) async fn get_pattern(
    _service: &Service,
    _request: Request<v1::GetPatternRequest>,
) -> Result<Response<v1::GetPatternResponse>, Status> {
    Err(crate::rpc::status::not_built("GetPattern"))
}

pub(super) async fn list_patterns(
    _service: &Service,
    _request: Request<v1::ListPatternsRequest>,
) -> Result<Response<v1::ListPatternsResponse>, Status> {
    Err(crate::rpc::status::not_built("ListPatterns"))
}

pub(super) async fn delete_pattern(
    _service: &Service,
    _request: Request<v1::DeletePatternRequest>,
) -> Result<Response<v1::DeletePatternResponse>, Status> {
    Err(crate::rpc::status::not_built("DeletePattern"))
}

pub(super) async fn validate_pattern(
    _service: &Service,
    _request: Request<v1::ValidatePatternRequest>,
) -> Result<Response<v1::ValidatePatternResponse>, Status> {
    Err(crate::rpc::status::not_built("ValidatePattern"))
}

pub(super) async fn get_knowledge(
    _service: &Service,
    _request: Request<v1::GetKnowledgeRequest>,
) -> Result<Response<v1::GetKnowledgeResponse>, Status> {
    Err(crate::rpc::status::not_built("GetKnowledge"))
}
