//! Entities of any kind: writing, reading, listing, deleting them.

use std::ops::Bound;
use std::sync::Arc;

use amadeus_proto::v1;
use kg_core::commit::Outcome;
use kg_core::model::{Entity, EntityRef, Kind, Name};
use kg_core::snapshot::{Names, Snapshot};
use tonic::{Request, Response, Status};

use super::fitting;
use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::pages::{Paging, Place};
use crate::rpc::{from_proto, status, to_proto};

impl Context {
    /// An entity as its writer sees it after the write; none if it has gone since.
    async fn written_entity(
        &self,
        caller: &Caller,
        outcome: &Outcome,
        key: Option<&v1::EntityRef>,
    ) -> Result<Option<v1::Entity>, Status> {
        let after = self.graph.hold(outcome.snapshot.clone());
        let seen = self.trimmed(caller, after).await?;
        let entity = key.and_then(|key| seen.find(&key.kind, &key.name));
        Ok(entity.map(|entity| to_proto::entity(&seen, entity)))
    }

    pub(super) async fn put_entity(
        &self,
        caller: &Caller,
        request: v1::PutEntityRequest,
    ) -> Result<Response<v1::PutEntityResponse>, Status> {
        let key = request.entity.as_ref().and_then(|e| e.r#ref.clone());
        let outcome = self.write(caller, "PutEntity", request).await?;
        fitting(v1::PutEntityResponse {
            header: self.header(outcome.revision),
            entity: self.written_entity(caller, &outcome, key.as_ref()).await?,
            changed: outcome.changed,
        })
    }

    pub(super) async fn get_entity(
        &self,
        request: Request<v1::GetEntityRequest>,
    ) -> Result<Response<v1::GetEntityResponse>, Status> {
        let asked = request.get_ref();
        let key = from_proto::entity_ref("ref", asked.r#ref.as_ref()).map_err(status::fault)?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        held.must_see(&key)?;
        let entity = held.entity(&key).ok_or_else(|| status::not_found(&key))?;
        fitting(v1::GetEntityResponse {
            header: self.header(held.revision()),
            entity: Some(to_proto::entity(&held, entity)),
        })
    }

    pub(super) async fn list_entities(
        &self,
        request: Request<v1::ListEntitiesRequest>,
    ) -> Result<Response<v1::ListEntitiesResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let kind = match asked.kind.as_str() {
            "" => None,
            word => Some(Kind::parse("kind", word).map_err(status::fault)?),
        };
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "ListEntities",
            size: std::mem::take(&mut asked.page_size),
            token: &token,
        };
        let page = self
            .page(
                &Caller::of(&extensions),
                paging,
                &asked,
                consistency.as_ref(),
                &metadata,
            )
            .await?;
        let snapshot = &*page.held;
        let after = match page.place.after.as_slice() {
            [kind, name] => Some((kind.as_str(), name.as_str())),
            _ => None,
        };
        let entities = listed(
            snapshot,
            kind.as_ref(),
            &asked.name_prefix,
            asked.include_placeholders,
            after,
        );
        let entities = entities.map(|entity| to_proto::entity(snapshot, entity));
        let place = |last: &v1::Entity, _| Place {
            after: last
                .r#ref
                .iter()
                .flat_map(|key| [key.kind.clone(), key.name.clone()])
                .collect(),
            offset: 0,
        };
        let (entities, next_page_token) = page.fill(self, entities, place)?;
        Ok(Response::new(v1::ListEntitiesResponse {
            header: self.header(page.held.revision()),
            entities,
            next_page_token,
        }))
    }

    pub(super) async fn delete_entity(
        &self,
        caller: &Caller,
        request: v1::DeleteEntityRequest,
    ) -> Result<Response<v1::DeleteEntityResponse>, Status> {
        let key = request.r#ref.clone();
        let outcome = self.write(caller, "DeleteEntity", request).await?;
        Ok(Response::new(v1::DeleteEntityResponse {
            header: self.header(outcome.revision),
            entity: self.written_entity(caller, &outcome, key.as_ref()).await?,
            changed: outcome.changed,
        }))
    }
}

/// Entities that match, by kind and name, after one of them. Cost: O(log n) and what comes out.
fn listed<'s>(
    snapshot: &'s Snapshot,
    kind: Option<&Kind>,
    prefix: &'s str,
    placeholders: bool,
    after: Option<(&'s str, &'s str)>,
) -> impl Iterator<Item = &'s Arc<Entity>> {
    let kinds = match kind {
        Some(kind) => vec![kind.clone()],
        None => snapshot.kinds(placeholders),
    };
    let reached = move |kind: &Kind| after.is_none_or(|(last, _)| kind.as_str() >= last);
    kinds.into_iter().filter(reached).flat_map(move |kind| {
        let after = after.filter(|(last, _)| *last == kind.as_str());
        let names = names(
            snapshot,
            &kind,
            placeholders,
            prefix,
            after.map(|(_, name)| name),
        );
        names.filter_map(move |name| snapshot.find(kind.as_str(), name.as_str()))
    })
}

/// Names of a kind that begin like this, sorted, after one of them.
fn names<'s>(
    snapshot: &'s Snapshot,
    kind: &Kind,
    placeholders: bool,
    prefix: &'s str,
    after: Option<&'s str>,
) -> Box<dyn Iterator<Item = &'s Name> + 's> {
    let lower = match after {
        Some(name) if name >= prefix => Bound::Excluded(name),
        _ => Bound::Included(prefix),
    };
    let ranged = move |names: &'s Names| {
        names
            .range::<(Bound<&str>, Bound<&str>), str>((lower, Bound::Unbounded))
            .take_while(move |name| name.as_str().starts_with(prefix))
    };
    let indexes = snapshot.indexes();
    let plain = indexes.kinds.get(kind).into_iter().flat_map(ranged);
    if !placeholders || *kind != Kind::service() {
        return Box::new(plain);
    }
    let (mut left, mut right) = (plain.peekable(), ranged(&indexes.placeholders).peekable());
    Box::new(std::iter::from_fn(move || {
        match (left.peek(), right.peek()) {
            (Some(l), Some(r)) if l <= r => left.next(),
            (_, Some(_)) => right.next(),
            (_, None) => left.next(),
        }
    }))
}

/// The entity of this name in a snapshot, or NOT_FOUND.
pub fn existing<'s>(snapshot: &'s Snapshot, key: &EntityRef) -> Result<&'s Arc<Entity>, Status> {
    snapshot.entity(key).ok_or_else(|| status::not_found(key))
}
