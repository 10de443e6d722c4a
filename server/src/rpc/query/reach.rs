//! Who is reached: dependencies, impact, neighbours, and the shortest path.

use amadeus_proto::v1;
use kg_core::model::EntityRef;
use kg_core::query::{self, Along, Direction, Hit, Question, Reached};
use kg_core::snapshot::Snapshot;
use tonic::{Request, Response, Status};

use super::Allowance;
use crate::auth::Caller;
use crate::rpc::Seen;
use crate::rpc::context::Context;
use crate::rpc::graph::blocking_if;
use crate::rpc::pages::{Page, Paging, Place};
use crate::rpc::{from_proto, status, to_proto};

/// A question, owned, so that it can travel to another thread.
struct Asked {
    roots: Vec<EntityRef>,
    along: Along,
    direction: Direction,
    hops: Option<u32>,
    allowance: Allowance,
    /// Whether the patterns that use what is reached are wanted.
    patterns: bool,
    /// Whether the caller is told that something hidden was reached.
    knows: bool,
}

/// One page of what was reached.
struct Answer {
    hits: Vec<v1::Hit>,
    total: u32,
    truncated: bool,
    next_page_token: String,
    patterns: Vec<v1::EntityRef>,
    hidden: u32,
}

impl Context {
    async fn reach(&self, asked: Asked, page: &Page) -> Result<Answer, Status> {
        asked
            .roots
            .iter()
            .try_for_each(|root| page.held.must_see(root))?;
        let (first, size) = (page.place.offset, page.size);
        let seen = page.held.clone();
        let work = move || {
            // Whoever knows of what is hidden is told what lies behind it; to others there is nothing behind it.
            let knows = asked.knows && seen.is_part();
            let held: &Snapshot = if knows { seen.whole() } else { &seen };
            let question = Question {
                roots: &asked.roots,
                along: asked.along,
                direction: asked.direction,
                hops: asked.hops,
            };
            asked.allowance.spend(|budget| {
                let reached = query::reach(held, &question, budget)?;
                let patterns = if asked.patterns && first == 0 {
                    query::patterns_using(held, |id| reached.involves(id))
                } else {
                    Vec::new()
                };
                // One more than the page holds tells whether there is another.
                let (hits, total, hidden) = if knows {
                    only_seen(&seen, &reached, first, size + 1)
                } else {
                    let hits = reached.page(first, size + 1);
                    let hits = hits.iter().map(|found| hit(found, &found.path));
                    (hits.collect(), reached.total(), 0)
                };
                let patterns: Vec<EntityRef> = patterns
                    .into_iter()
                    .filter(|key| seen.may_see(key))
                    .collect();
                Ok((hits, total, hidden, reached.truncated(), patterns))
            })
        };
        let (hits, total, hidden, truncated, patterns): (Vec<v1::Hit>, _, _, _, _) =
            blocking_if(true, work).await?.map_err(status::query)?;
        let place = |_: &v1::Hit, count| Place {
            after: Vec::new(),
            offset: first + count,
        };
        let (hits, next_page_token) = page.fill(self, hits, place)?;
        Ok(Answer {
            hits,
            total: to_proto::count(total),
            truncated,
            next_page_token,
            patterns: to_proto::entity_refs(&patterns),
            hidden: to_proto::count(hidden),
        })
    }

    pub(super) async fn dependencies(
        &self,
        request: Request<v1::DependenciesRequest>,
    ) -> Result<Response<v1::DependenciesResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let roots = from_proto::entity_refs("refs", &asked.refs).map_err(status::fault)?;
        let labels = from_proto::labels("relations", &asked.relations).map_err(status::fault)?;
        let allowance = Allowance::parse(asked.budget.as_ref(), &metadata)?;
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "Dependencies",
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
        let question = Asked {
            roots,
            along: Along::or_dependencies(labels),
            direction: Direction::Out,
            hops: None,
            allowance,
            patterns: false,
            knows: Caller::of(&extensions).knows_of_hidden(),
        };
        let answer = self.reach(question, &page).await?;
        Ok(Response::new(v1::DependenciesResponse {
            header: self.header(page.held.revision()),
            hits: answer.hits,
            total: answer.total,
            truncated: answer.truncated,
            next_page_token: answer.next_page_token,
            hidden: answer.hidden,
        }))
    }

    pub(super) async fn impact(
        &self,
        request: Request<v1::ImpactRequest>,
    ) -> Result<Response<v1::ImpactResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let roots = from_proto::entity_refs("refs", &asked.refs).map_err(status::fault)?;
        let labels = from_proto::labels("relations", &asked.relations).map_err(status::fault)?;
        let allowance = Allowance::parse(asked.budget.as_ref(), &metadata)?;
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "Impact",
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
        let question = Asked {
            roots,
            along: Along::or_dependencies(labels),
            direction: Direction::In,
            hops: None,
            allowance,
            patterns: true,
            knows: Caller::of(&extensions).knows_of_hidden(),
        };
        let answer = self.reach(question, &page).await?;
        Ok(Response::new(v1::ImpactResponse {
            header: self.header(page.held.revision()),
            hits: answer.hits,
            total: answer.total,
            truncated: answer.truncated,
            next_page_token: answer.next_page_token,
            patterns: answer.patterns,
            hidden: answer.hidden,
        }))
    }

    pub(super) async fn neighbors(
        &self,
        request: Request<v1::NeighborsRequest>,
    ) -> Result<Response<v1::NeighborsResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let root = from_proto::entity_ref("ref", asked.r#ref.as_ref()).map_err(status::fault)?;
        let labels = from_proto::labels("relations", &asked.relations).map_err(status::fault)?;
        let direction =
            from_proto::direction("direction", asked.direction).map_err(status::fault)?;
        let allowance = Allowance::parse(asked.budget.as_ref(), &metadata)?;
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "Neighbors",
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
        let question = Asked {
            roots: vec![root],
            along: Along::or_all(labels),
            direction,
            hops: Some(asked.depth.max(1)),
            allowance,
            patterns: false,
            knows: false,
        };
        let answer = self.reach(question, &page).await?;
        Ok(Response::new(v1::NeighborsResponse {
            header: self.header(page.held.revision()),
            hits: answer.hits,
            total: answer.total,
            truncated: answer.truncated,
            next_page_token: answer.next_page_token,
        }))
    }

    pub(super) async fn find_path(
        &self,
        request: Request<v1::FindPathRequest>,
    ) -> Result<Response<v1::FindPathResponse>, Status> {
        let asked = request.get_ref();
        let from = from_proto::entity_ref("from", asked.from.as_ref()).map_err(status::fault)?;
        let to = from_proto::entity_ref("to", asked.to.as_ref()).map_err(status::fault)?;
        let labels = from_proto::labels("relations", &asked.relations).map_err(status::fault)?;
        let direction =
            from_proto::direction("direction", asked.direction).map_err(status::fault)?;
        let allowance = Allowance::parse(asked.budget.as_ref(), request.metadata())?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        held.must_see(&from)?;
        held.must_see(&to)?;
        let header = self.header(held.revision());
        let none = format!("there is no path from {from} to {to}");
        let along = Along::or_all(labels);
        let work = move || {
            allowance.spend(|budget| query::find_path(&held, &from, &to, &along, direction, budget))
        };
        let way = blocking_if(true, work).await?.map_err(status::query)?;
        if way.entities.is_empty() && !way.truncated {
            return Err(status::no_answer(none));
        }
        Ok(Response::new(v1::FindPathResponse {
            header,
            path: to_proto::entity_refs(&way.entities),
            relations: way.labels.iter().map(ToString::to_string).collect(),
            truncated: way.truncated,
        }))
    }
}

/// Of what was reached in the whole graph the hits that may be seen, from `first` on, at most `size`; how many there are of
/// these; and how many others.
fn only_seen(
    seen: &Seen,
    reached: &Reached<'_>,
    first: usize,
    size: usize,
) -> (Vec<v1::Hit>, usize, usize) {
    let all = reached.page(0, reached.total());
    let may_see = |key: &EntityRef| seen.may_see(key);
    let told: Vec<&Hit> = all.iter().filter(|hit| may_see(&hit.key)).collect();
    let hits = told.iter().skip(first).take(size).map(|found| {
        let path: Vec<EntityRef> = found
            .path
            .iter()
            .filter(|key| may_see(key))
            .cloned()
            .collect();
        hit(found, &path)
    });
    (hits.collect(), told.len(), all.len() - told.len())
}

/// A hit with as much of its path as may be seen.
fn hit(hit: &Hit, path: &[EntityRef]) -> v1::Hit {
    v1::Hit {
        r#ref: Some(to_proto::entity_ref(&hit.key)),
        depth: hit.depth,
        path: to_proto::entity_refs(path),
        hidden_between: path.len() < hit.path.len(),
    }
}
