//! Describe, Validate, Prune: what the graph holds, what deserves attention in it, what nobody needs.

use std::collections::BTreeMap;

use amadeus_proto::v1;
use kg_core::limits::IMPORT_MUTATIONS;
use kg_core::model::{Body, EntityRef, Kind};
use kg_core::mutation::Mutation;
use kg_core::snapshot::{Names, Snapshot};
use tonic::{Request, Response, Status};
use v1::finding::Severity;

use super::{blocking_if, fitting};
use crate::rpc::context::Context;
use crate::rpc::pages::{Paging, Place};
use crate::rpc::to_proto;

impl Context {
    pub(super) async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let asked = request.get_ref();
        let held = self
            .fresh(asked.consistency.as_ref(), request.metadata())
            .await?;
        let mut reply = described(&held, asked.include_placeholders);
        reply.header = self.header(held.revision());
        fitting(reply)
    }

    pub(super) async fn validate(
        &self,
        request: Request<v1::ValidateRequest>,
    ) -> Result<Response<v1::ValidateResponse>, Status> {
        let (metadata, _, mut asked) = request.into_parts();
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "Validate",
            size: std::mem::take(&mut asked.page_size),
            token: &token,
        };
        let page = self
            .page(paging, &asked, consistency.as_ref(), &metadata)
            .await?;
        let held = page.held.clone();
        let findings = blocking_if(true, move || findings(&held)).await?;
        let total = to_proto::count(findings.len());
        let first = page.place.offset;
        let place = |_: &v1::Finding, count| Place {
            after: Vec::new(),
            offset: first + count,
        };
        let (findings, next_page_token) = page.fill(self, findings.into_iter().skip(first), place);
        Ok(Response::new(v1::ValidateResponse {
            header: self.header(page.held.revision()),
            findings,
            total,
            next_page_token,
        }))
    }

    pub(super) async fn prune(
        &self,
        mut request: v1::PruneRequest,
    ) -> Result<Response<v1::PruneResponse>, Status> {
        let mut transaction = self.transaction("Prune", &mut request)?;
        let held = self.graph.snapshot();
        let revision = held.revision();
        let mut idle = blocking_if(true, move || idle(&held)).await?;
        idle.truncate(IMPORT_MUTATIONS);
        if request.dry_run || (idle.is_empty() && transaction.request.is_none()) {
            return fitting(v1::PruneResponse {
                header: self.header(revision),
                removed: to_proto::entity_refs(&idle),
                changed: false,
            });
        }
        let delete = |key: &EntityRef| Mutation::DeleteEntity {
            key: key.clone(),
            force: false,
        };
        transaction.mutations = idle.iter().map(delete).collect();
        transaction.mutation_limit = IMPORT_MUTATIONS;
        let outcome = self.commit(transaction).await?;
        if outcome.repeated {
            idle.clear();
        }
        fitting(v1::PruneResponse {
            header: self.header(outcome.revision),
            removed: to_proto::entity_refs(&idle),
            changed: outcome.changed,
        })
    }
}

fn described(snapshot: &Snapshot, include_placeholders: bool) -> v1::DescribeResponse {
    let indexes = snapshot.indexes();
    let placeholders = to_proto::count(indexes.placeholders.len());
    let mut entity_counts = counts(indexes.kinds.iter());
    if include_placeholders && placeholders > 0 {
        *entity_counts
            .entry(Kind::service().to_string())
            .or_default() += placeholders;
    }
    v1::DescribeResponse {
        header: None,
        entities: entity_counts.values().sum(),
        relations: to_proto::count(snapshot.relation_count()),
        placeholders,
        entity_counts,
        relation_counts: snapshot
            .relations_by_label()
            .map(|(label, relations)| (label.to_string(), to_proto::count(relations.len())))
            .collect(),
        categories: counts(indexes.categories.iter()),
        capabilities: counts(indexes.capabilities.iter()),
        owners: counts(indexes.owners.iter()),
        sections: snapshot
            .sections()
            .map(|(name, _)| name.to_string())
            .collect(),
    }
}

fn counts<'a, K: ToString + 'a>(
    index: impl Iterator<Item = (&'a K, &'a Names)>,
) -> BTreeMap<String, u32> {
    index
        .map(|(word, names)| (word.to_string(), to_proto::count(names.len())))
        .collect()
}

/// What deserves attention, worst first; of equal ones by entity.
fn findings(snapshot: &Snapshot) -> Vec<v1::Finding> {
    let mut found = Vec::new();
    for name in &snapshot.indexes().placeholders {
        let key = EntityRef::service(name.clone());
        found.push(finding(
            Severity::Warning,
            "placeholder",
            &key,
            format!("{key} is needed by others and has not registered"),
        ));
    }
    for entity in snapshot.entities() {
        if let Body::Pattern(body) = &entity.body {
            steps(snapshot, &entity.key, body, &mut found);
        }
    }
    found.sort_by(|a, b| {
        let place = |f: &v1::Finding| f.r#ref.as_ref().map(|r| (r.kind.clone(), r.name.clone()));
        (std::cmp::Reverse(a.severity), &a.code, place(a), &a.path).cmp(&(
            std::cmp::Reverse(b.severity),
            &b.code,
            place(b),
            &b.path,
        ))
    });
    found
}

/// Steps of a pattern that name what is not there.
fn steps(
    snapshot: &Snapshot,
    key: &EntityRef,
    body: &kg_core::model::PatternBody,
    found: &mut Vec<v1::Finding>,
) {
    for (i, step) in body.steps.iter().enumerate() {
        for needed in &step.depends_on {
            if !body.steps.iter().any(|other| other.id == *needed) {
                let message = format!(
                    "step {:?} of {key} waits for {needed:?}, which is no step",
                    step.id
                );
                let mut one = finding(Severity::Error, "unknown_step", key, message);
                one.path = format!("steps[{i}].depends_on");
                found.push(one);
            }
        }
        let target = step.target.strip_prefix("service/");
        if let Some(name) = target
            && snapshot.service(name).is_none()
        {
            let message = format!(
                "step {:?} of {key} acts on service/{name}, which does not exist",
                step.id
            );
            let mut one = finding(Severity::Warning, "unknown_target", key, message);
            one.path = format!("steps[{i}].target");
            found.push(one);
        }
    }
}

fn finding(severity: Severity, code: &str, key: &EntityRef, message: String) -> v1::Finding {
    v1::Finding {
        severity: severity.into(),
        code: code.into(),
        r#ref: Some(to_proto::entity_ref(key)),
        message,
        path: String::new(),
    }
}

/// What nobody needs, sorted: placeholders and entities that say nothing, with no relation either way.
fn idle(snapshot: &Snapshot) -> Vec<EntityRef> {
    let says_nothing = |body: &Body| matches!(body, Body::Plain | Body::Placeholder);
    let mut idle: Vec<EntityRef> = snapshot
        .entities()
        .filter(|e| says_nothing(&e.body) && e.properties.is_empty())
        .filter(|e| !snapshot.has_incoming(e.id) && !snapshot.has_outgoing(e.id))
        .map(|e| e.key.clone())
        .collect();
    idle.sort();
    idle
}
