//! Relations: writing and deleting one, listing those of an entity.

use amadeus_proto::v1;
use kg_core::model::{EntityId, EntityRef, Label, Relation};
use kg_core::snapshot::{Relations, Snapshot};
use tonic::{Request, Response, Status};

use super::entities::existing;
use super::fitting;
use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::pages::{Page, Paging, Place};
use crate::rpc::{from_proto, status, to_proto};

/// Entities with more relations than this are listed on a thread for long work.
const MANY: usize = 4_096;

impl Context {
    pub(super) async fn put_relation(
        &self,
        caller: &Caller,
        request: v1::PutRelationRequest,
    ) -> Result<Response<v1::PutRelationResponse>, Status> {
        let asked = request.relation.clone().unwrap_or_default();
        let outcome = self.write(caller, "PutRelation", request).await?;
        let key = from_proto::relation_key(asked.from.as_ref(), &asked.relation, asked.to.as_ref())
            .map_err(status::fault)?;
        let after = self.graph.hold(outcome.snapshot.clone());
        let relation = self.trimmed(caller, after).await?.relation(&key);
        fitting(v1::PutRelationResponse {
            header: self.header(outcome.revision),
            relation: relation.as_ref().map(to_proto::relation),
            changed: outcome.changed,
        })
    }

    pub(super) async fn delete_relation(
        &self,
        caller: &Caller,
        request: v1::DeleteRelationRequest,
    ) -> Result<Response<v1::DeleteRelationResponse>, Status> {
        let outcome = self.write(caller, "DeleteRelation", request).await?;
        Ok(Response::new(v1::DeleteRelationResponse {
            header: self.header(outcome.revision),
            changed: outcome.changed,
        }))
    }

    pub(super) async fn list_relations(
        &self,
        request: Request<v1::ListRelationsRequest>,
    ) -> Result<Response<v1::ListRelationsResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let key = from_proto::entity_ref("ref", asked.r#ref.as_ref()).map_err(status::fault)?;
        let direction =
            from_proto::number_of("direction", asked.direction).map_err(status::fault)?;
        let label = match asked.relation.as_str() {
            "" => None,
            word => Some(Label::parse("relation", word).map_err(status::fault)?),
        };
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "ListRelations",
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
        page.held.must_see(&key)?;
        let id = existing(&page.held, &key)?.id;
        let listing = Listing {
            id,
            direction,
            label,
        };
        let degree = listing.degree(&page.held);
        let work = move || (listing.page(&page), page);
        // All relations of one label are looked at for each page: with a hub, no work for a thread that serves others.
        let (edges, page) = super::blocking_if(degree > MANY, work).await?;
        let relations = edges.iter().filter_map(|edge| edge.relation(&page.held));
        let place = |last: &v1::Relation, _| place(&key, last);
        let (relations, next_page_token) =
            page.fill(self, relations.map(|r| to_proto::relation(&r)), place)?;
        Ok(Response::new(v1::ListRelationsResponse {
            header: self.header(page.held.revision()),
            relations,
            next_page_token,
        }))
    }
}

/// Where a list of relations of `key` goes on after one of them.
fn place(key: &EntityRef, last: &v1::Relation) -> Place {
    let from = last.from.clone().unwrap_or_default();
    let to = last.to.clone().unwrap_or_default();
    let inward = from.kind != key.kind.as_str() || from.name != key.name.as_str();
    let other = if inward { from } else { to };
    let side = if inward { "1" } else { "0" };
    Place {
        after: vec![last.relation.clone(), side.into(), other.kind, other.name],
        offset: 0,
    }
}

/// Which relations of one entity are listed.
struct Listing {
    id: EntityId,
    direction: v1::Direction,
    label: Option<Label>,
}

/// One relation of the entity, and what orders it among those of its label: its direction, and the other end.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    label: Label,
    inward: bool,
    other: EntityRef,
    ends: (EntityId, EntityId),
}

impl Edge {
    fn relation(&self, snapshot: &Snapshot) -> Option<Relation> {
        snapshot.relation_by_id(&self.label, self.ends.0, self.ends.1)
    }

    fn is_after(&self, place: &[String]) -> bool {
        let [label, side, kind, name] = place else {
            return true;
        };
        let inward = side == "1";
        let other = (self.other.kind.as_str(), self.other.name.as_str());
        (self.label.as_str(), self.inward, other) > (label, inward, (kind, name))
    }
}

impl Listing {
    fn sides(&self) -> &'static [bool] {
        match self.direction {
            v1::Direction::Out => &[false],
            v1::Direction::In => &[true],
            v1::Direction::Both => &[false, true],
        }
    }

    fn degree(&self, snapshot: &Snapshot) -> usize {
        let of = |(_, relations): (&Label, &Relations)| {
            let adjacency = relations.adjacency();
            adjacency.outgoing(self.id).len() + adjacency.incoming(self.id).len()
        };
        snapshot.relations_by_label().map(of).sum()
    }

    /// The relations of one page and one more, in order.
    fn page(&self, page: &Page) -> Vec<Edge> {
        let wanted = page.size + 1;
        let mut found = Vec::new();
        for (label, relations) in page.held.relations_by_label() {
            if self.label.as_ref().is_some_and(|only| only != label) {
                continue;
            }
            for &inward in self.sides() {
                let mut edges = self.edges(&page.held, label, relations, inward);
                edges.retain(|edge| edge.is_after(&page.place.after));
                edges.sort_unstable();
                found.extend(edges);
                if found.len() >= wanted {
                    found.truncate(wanted);
                    return found;
                }
            }
        }
        found
    }

    fn edges(
        &self,
        snapshot: &Snapshot,
        label: &Label,
        relations: &Relations,
        inward: bool,
    ) -> Vec<Edge> {
        let adjacency = relations.adjacency();
        let neighbours = if inward {
            adjacency.incoming(self.id)
        } else {
            adjacency.outgoing(self.id)
        };
        let mut edges = Vec::with_capacity(neighbours.len());
        neighbours.for_each(|other| {
            let other = EntityId::new(other);
            // A relation of an entity with itself goes out; seen from both sides it is still one.
            if inward && other == self.id && self.direction == v1::Direction::Both {
                return;
            }
            let ends = if inward {
                (other, self.id)
            } else {
                (self.id, other)
            };
            edges.extend(snapshot.by_id(other).map(|entity| Edge {
                label: label.clone(),
                inward,
                other: entity.key.clone(),
                ends,
            }));
        });
        edges
    }
}
