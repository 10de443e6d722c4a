//! Describe, Validate, Prune: what the graph holds, what deserves attention in it, what nobody needs.

use std::collections::BTreeMap;

use amadeus_proto::v1;
use kg_core::limits::IMPORT_MUTATIONS;
use kg_core::query::{self, Description, Idle};
use tonic::{Request, Response, Status};
use v1::finding::Severity;

use super::{blocking_if, fitting};
use crate::auth::Caller;
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
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        let mut reply = described(query::describe(&held, asked.include_placeholders));
        reply.header = self.header(held.revision());
        fitting(reply)
    }

    pub(super) async fn validate(
        &self,
        request: Request<v1::ValidateRequest>,
    ) -> Result<Response<v1::ValidateResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let consistency = asked.consistency.take();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "Validate",
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
        let held = page.held.clone();
        let findings = blocking_if(true, move || query::validate(&held)).await?;
        let total = to_proto::count(findings.len());
        let first = page.place.offset;
        let place = |_: &v1::Finding, count| Place {
            after: Vec::new(),
            offset: first + count,
        };
        let (findings, next_page_token) =
            page.fill(self, findings.into_iter().skip(first).map(finding), place)?;
        Ok(Response::new(v1::ValidateResponse {
            header: self.header(page.held.revision()),
            findings,
            total,
            next_page_token,
        }))
    }

    pub(super) async fn prune(
        &self,
        caller: &Caller,
        mut request: v1::PruneRequest,
    ) -> Result<Response<v1::PruneResponse>, Status> {
        let mut transaction = self.transaction(caller, "Prune", &mut request)?;
        let held = self.graph.snapshot();
        let revision = held.revision();
        let mut idle = blocking_if(true, move || query::prune(&held)).await?;
        idle.truncate(IMPORT_MUTATIONS);
        if request.dry_run || (idle.is_empty() && transaction.request.is_none()) {
            return fitting(v1::PruneResponse {
                header: self.header(revision),
                removed: removed(&idle),
                changed: false,
            });
        }
        transaction.mutations = idle.iter().map(Idle::mutation).collect();
        transaction.mutation_limit = IMPORT_MUTATIONS;
        let outcome = self.commit(transaction).await?;
        if outcome.repeated {
            idle.clear();
        }
        fitting(v1::PruneResponse {
            header: self.header(outcome.revision),
            removed: removed(&idle),
            changed: outcome.changed,
        })
    }
}

fn removed(idle: &[Idle]) -> Vec<v1::EntityRef> {
    idle.iter()
        .map(|one| to_proto::entity_ref(&one.key))
        .collect()
}

fn described(description: Description) -> v1::DescribeResponse {
    v1::DescribeResponse {
        header: None,
        entities: to_proto::count(description.entities),
        relations: to_proto::count(description.relations),
        placeholders: to_proto::count(description.placeholders),
        entity_counts: counts(description.kinds),
        relation_counts: counts(description.labels),
        categories: counts(description.categories),
        capabilities: counts(description.capabilities),
        owners: counts(description.owners),
        sections: description
            .sections
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

fn counts<W: ToString>(counted: Vec<(W, usize)>) -> BTreeMap<String, u32> {
    counted
        .into_iter()
        .map(|(word, count)| (word.to_string(), to_proto::count(count)))
        .collect()
}

fn finding(finding: query::Finding) -> v1::Finding {
    let severity = match finding.severity {
        query::Severity::Error => Severity::Error,
        query::Severity::Warning => Severity::Warning,
        query::Severity::Note => Severity::Info,
    };
    v1::Finding {
        severity: severity.into(),
        code: finding.code.into(),
        r#ref: Some(to_proto::entity_ref(&finding.entity)),
        message: finding.message,
        path: String::new(),
    }
}
