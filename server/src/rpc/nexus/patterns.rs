//! Patterns: registered, read, listed, removed, checked.
//!
//! A pattern is an entity, so what holds for entities holds here: who may see and change it, revisions, request ids, history. What is
//! added is the check of a definition that is to run, and how it has run.

use std::sync::Arc;

use amadeus_proto::v1;
use kg_core::model::{Entity, EntityRef, Kind, Name};
use kg_core::snapshot::Snapshot;
use tonic::{Request, Response, Status};

use super::Service;
use super::check::checked;
use crate::auth::Caller;
use crate::rpc::graph::fitting;
use crate::rpc::pages::{Page, Paging, Place};
use crate::rpc::{from_proto, status, to_proto};

pub(super) async fn register_pattern(
    service: &Service,
    request: Request<v1::RegisterPatternRequest>,
) -> Result<Response<v1::RegisterPatternResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let request = request.into_inner();
    let given = from_proto::required("pattern", request.pattern.as_ref()).map_err(status::fault)?;
    let name = from_proto::name("pattern.name", &given.name);
    let context = &service.context;
    // What was registered once is not judged again by a graph that has changed since.
    if !context.remembers(&caller, &request.request_id) {
        let seen = context.see_head(&caller).await?;
        let wrong = checked(&service.types, given, &seen).errors();
        if !wrong.is_empty() {
            return Err(status::faults(wrong));
        }
    }
    let name = name.map_err(status::fault)?;
    let outcome = context.write(&caller, "RegisterPattern", request).await?;
    let after = context.graph.hold(outcome.snapshot.clone());
    let seen = context.trimmed(&caller, after).await?;
    // Nothing, if it has gone since.
    let written = seen.find(Kind::pattern().as_str(), name.as_str());
    fitting(v1::RegisterPatternResponse {
        header: context.header(outcome.revision),
        pattern: written.and_then(|entity| shown(entity)),
        modified_revision: written.map_or(0, |entity| entity.modified_revision),
        changed: outcome.changed,
    })
}

pub(super) async fn get_pattern(
    service: &Service,
    request: Request<v1::GetPatternRequest>,
) -> Result<Response<v1::GetPatternResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.get_ref();
    let name = from_proto::name("name", &asked.name).map_err(status::fault)?;
    let key = EntityRef::new(Kind::pattern(), name);
    let context = &service.context;
    let seen = context
        .fresh(&caller, asked.consistency.as_ref(), request.metadata())
        .await?;
    seen.must_see(&key)?;
    let entity = seen.entity(&key).ok_or_else(|| status::not_found(&key))?;
    fitting(v1::GetPatternResponse {
        header: context.header(seen.revision()),
        pattern: shown(entity),
        created_revision: entity.created_revision,
        modified_revision: entity.modified_revision,
        statistics: statistics(service, &key.name).await?,
    })
}

/// How a pattern has run, as of now: the runs count it, and not the graph.
async fn statistics(
    service: &Service,
    pattern: &Name,
) -> Result<Option<v1::PatternStatistics>, Status> {
    let counted = service.runs.statistics(pattern.as_str()).await?;
    let count = |number| usize::try_from(number).map_or(u32::MAX, to_proto::count);
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact for 285,000 years of runs"
    )]
    let ms = |ms: u64| ms as f64;
    Ok(Some(v1::PatternStatistics {
        usage_count: count(counted.usage),
        succeeded: count(counted.succeeded),
        failed: count(counted.failed),
        cancelled: count(counted.cancelled),
        total_ms: ms(counted.total_ms),
        min_ms: ms(counted.min_ms),
        max_ms: ms(counted.max_ms),
        last_used: (counted.last_ms > 0).then(|| to_proto::timestamp(counted.last_ms)),
    }))
}

pub(super) async fn list_patterns(
    service: &Service,
    request: Request<v1::ListPatternsRequest>,
) -> Result<Response<v1::ListPatternsResponse>, Status> {
    let (metadata, extensions, mut asked) = request.into_parts();
    let consistency = asked.consistency.take();
    let token = std::mem::take(&mut asked.page_token);
    let paging = Paging {
        rpc: "ListPatterns",
        size: std::mem::take(&mut asked.page_size),
        token: &token,
    };
    let context = &service.context;
    let page = context
        .page(
            &Caller::of(&extensions),
            paging,
            &asked,
            consistency.as_ref(),
            &metadata,
        )
        .await?;
    let patterns = listed(&page, &asked)?.filter_map(|entity| shown(entity));
    let place = |last: &v1::Pattern, _| Place {
        after: vec![last.name.clone()],
        offset: 0,
    };
    let (patterns, next_page_token) = page.fill(context, patterns, place)?;
    Ok(Response::new(v1::ListPatternsResponse {
        header: context.header(page.held.revision()),
        patterns,
        next_page_token,
    }))
}

/// The patterns of a page that match, by name.
fn listed<'p>(
    page: &'p Page,
    asked: &'p v1::ListPatternsRequest,
) -> Result<impl Iterator<Item = &'p Arc<Entity>>, Status> {
    let snapshot: &Snapshot = &page.held;
    let after = page.place.after.first();
    let after = after.map(|name| Name::parse("page_token", name));
    let after = after.transpose().map_err(status::fault)?;
    let kind = Kind::pattern();
    let entities = snapshot
        .names(&kind, after.as_ref(), false)
        .filter_map(move |name| snapshot.find(kind.as_str(), name.as_str()));
    let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    Ok(entities.filter(move |entity| {
        entity.pattern().is_some_and(|body| {
            is(&asked.category, &body.category)
                && is(&asked.owner, &body.owner)
                && is(&asked.origin, &body.origin)
                && asked.active.is_none_or(|active| active == body.active)
        })
    }))
}

pub(super) async fn delete_pattern(
    service: &Service,
    request: Request<v1::DeletePatternRequest>,
) -> Result<Response<v1::DeletePatternResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let context = &service.context;
    let outcome = context
        .write(&caller, "DeletePattern", request.into_inner())
        .await?;
    Ok(Response::new(v1::DeletePatternResponse {
        header: context.header(outcome.revision),
    }))
}

pub(super) async fn validate_pattern(
    service: &Service,
    request: Request<v1::ValidatePatternRequest>,
) -> Result<Response<v1::ValidatePatternResponse>, Status> {
    let caller = Caller::of(request.extensions());
    let asked = request.get_ref();
    let given = from_proto::required("pattern", asked.pattern.as_ref()).map_err(status::fault)?;
    let context = &service.context;
    let seen = context
        .fresh(&caller, asked.consistency.as_ref(), request.metadata())
        .await?;
    let checked = checked(&service.types, given, &seen);
    fitting(v1::ValidatePatternResponse {
        header: context.header(seen.revision()),
        valid: checked.errors().is_empty(),
        faults: checked.faults,
        levels: checked.levels,
    })
}

pub(super) async fn get_knowledge(
    service: &Service,
    request: Request<v1::GetKnowledgeRequest>,
) -> Result<Response<v1::GetKnowledgeResponse>, Status> {
    let (metadata, extensions, asked) = request.into_parts();
    let asked = v1::GetNodeRequest {
        path: asked.path,
        consistency: asked.consistency,
    };
    let request = Request::from_parts(metadata, extensions, asked);
    let found = service.context.get_node(request).await?.into_inner();
    Ok(Response::new(v1::GetKnowledgeResponse {
        header: found.header,
        value: found.value,
    }))
}

fn shown(entity: &Entity) -> Option<v1::Pattern> {
    let body = entity.pattern()?;
    Some(to_proto::pattern(entity, body))
}
