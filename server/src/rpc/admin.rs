//! `AdminService`: how the server is, and what to do with its store.

mod audit;

use std::sync::Arc;

use amadeus_proto::v1;
use futures::stream::BoxStream;
use kg_core::limits;
use kg_core::log::checkpoint;
use kg_core::snapshot::Snapshot;
use tonic::{Request, Response, Status};
use v1::admin_service_server::AdminService;
use v1::finding::Severity;
use v1::status_response::{Component, Limit};

use super::context::{BackupEntry, Context, RestoreOrder};
use super::graph::{blocking_if, fitting};
use super::pages::{Paging, Place};
use super::seen::Seen;
use super::{from_proto, status, to_proto};
use crate::auth::Caller;
use crate::layer::in_call;
use crate::users::UserStore;

/// Bytes of what is said about a backup.
const DESCRIPTION_BYTES: usize = 1_024;

/// The service, over what all services share.
#[derive(Clone)]
pub struct Admin(Arc<Context>, Option<UserStore>);

impl Admin {
    /// The service.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context, None)
    }

    /// The service with the log of security events, without which `Audit` is not built.
    #[must_use]
    pub fn with_audit(mut self, users: UserStore) -> Self {
        self.1 = Some(users);
        self
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    type AuditStream = BoxStream<'static, Result<v1::AuditResponse, Status>>;

    async fn audit(
        &self,
        request: Request<v1::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let Some(users) = self.1.clone() else {
            return Err(status::not_built("Audit"));
        };
        let events = audit::open(self.0.clone(), users, request.into_inner()).await?;
        Ok(Response::new(events))
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let seen = self.0.see_head(&caller).await?;
        Ok(Response::new(self.0.status(&seen)))
    }

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<v1::BackupResponse>, Status> {
        let asked = request.into_inner();
        from_proto::check_identity(&asked.request_id, &asked.reason).map_err(status::fault)?;
        from_proto::check_text("description", &asked.description, DESCRIPTION_BYTES)
            .map_err(status::fault)?;
        let done = self.0.store.backup(asked.description).await;
        let entry = done.map_err(status::store)?;
        in_call(|| {
            tracing::info!(id = %entry.id, revision = entry.revision, request_id = %asked.request_id,
                reason = %asked.reason, "backup taken");
        });
        Ok(Response::new(v1::BackupResponse {
            header: self.0.header(entry.revision),
            backup: Some(backup_entry(&entry)),
        }))
    }

    async fn list_backups(
        &self,
        request: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        let (metadata, extensions, mut asked) = request.into_parts();
        let token = std::mem::take(&mut asked.page_token);
        let paging = Paging {
            rpc: "ListBackups",
            size: std::mem::take(&mut asked.page_size),
            token: &token,
        };
        let page = self
            .0
            .page(&Caller::of(&extensions), paging, &asked, None, &metadata)
            .await?;
        let entries = self.0.store.backups().await.map_err(status::store)?;
        // Backups are no part of the graph: a page goes on after the last one's name, whatever was taken since.
        let seen = match page.place.after.first() {
            Some(last) => entries
                .iter()
                .position(|e| e.id == *last)
                .map_or(0, |at| at + 1),
            None => 0,
        };
        let place = |last: &v1::BackupEntry, _| Place {
            after: vec![last.id.clone()],
            offset: 0,
        };
        let entries = entries.iter().skip(seen).map(backup_entry);
        let (backups, next_page_token) = page.fill(&self.0, entries, place)?;
        Ok(Response::new(v1::ListBackupsResponse {
            header: self.0.header(page.held.revision()),
            backups,
            next_page_token,
        }))
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreRequest>,
    ) -> Result<Response<v1::RestoreResponse>, Status> {
        let caller = Caller::of(request.extensions());
        let mut asked = request.into_inner();
        let transaction = self.0.transaction(&caller, "Restore", &mut asked)?;
        if asked.id.is_empty() {
            return Err(status::invalid("id", "is required: ListBackups names them"));
        }
        let order = RestoreOrder {
            id: asked.id,
            transaction,
        };
        let restored = self.0.store.restore(order).await.map_err(status::store)?;
        let outcome = restored.outcome;
        Ok(Response::new(v1::RestoreResponse {
            header: self.0.header(outcome.revision),
            revision: outcome.revision,
            safety_backup: restored.safety.as_ref().map(backup_entry),
            changed: outcome.changed,
            hash: to_proto::hash(outcome.snapshot.hash()),
        }))
    }

    async fn compact(
        &self,
        request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        let keep_from = request.into_inner().keep_from_revision;
        let head = self.0.graph.revisions().0;
        if keep_from > head + 1 {
            let reason = format!("is {keep_from}, but the head is {head}");
            return Err(status::invalid("keep_from_revision", reason));
        }
        let done = self
            .0
            .store
            .compact(keep_from)
            .await
            .map_err(status::store)?;
        Ok(Response::new(v1::CompactResponse {
            header: self.0.header(head),
            first_kept_revision: done.first_kept_revision,
            records_removed: u32::try_from(done.records_removed).unwrap_or(u32::MAX),
        }))
    }

    async fn check_integrity(
        &self,
        _request: Request<v1::CheckIntegrityRequest>,
    ) -> Result<Response<v1::CheckIntegrityResponse>, Status> {
        let held = self.0.graph.snapshot();
        let (revision, hash) = (held.revision(), held.hash());
        let recomputed = blocking_if(true, move || recompute(&held)).await?;
        let stored = self.0.store.verify().await.map_err(status::store)?;
        let mut findings: Vec<v1::Finding> =
            stored.into_iter().map(|m| finding("store", m)).collect();
        let recomputed_hash = match recomputed {
            Ok(recomputed) if recomputed == hash => to_proto::hash(recomputed),
            Ok(recomputed) => {
                let message = "the content of the graph has another hash than the server believes";
                findings.push(finding("hash", message.into()));
                to_proto::hash(recomputed)
            }
            Err(message) => {
                findings.push(finding("graph", message));
                String::new()
            }
        };
        fitting(v1::CheckIntegrityResponse {
            header: self.0.header(revision),
            revision,
            hash: to_proto::hash(hash),
            recomputed_hash,
            ok: findings.is_empty(),
            findings,
        })
    }
}

impl Context {
    fn status(&self, snapshot: &Seen) -> v1::StatusResponse {
        let published = self.graph.published();
        let placeholders = snapshot.indexes().placeholders.len();
        let components = self.components();
        let worst = components.iter().map(|c| c.health).max();
        v1::StatusResponse {
            header: self.header(snapshot.revision()),
            version: env!("CARGO_PKG_VERSION").into(),
            store: self.store.url(),
            revision: snapshot.revision(),
            uptime: prost_types::Duration::try_from(self.started.elapsed()).ok(),
            health: worst.unwrap_or_else(|| v1::Health::Up.into()),
            components,
            // The hash of a part would be compared with that of the whole.
            hash: if snapshot.is_part() {
                String::new()
            } else {
                to_proto::hash(snapshot.hash())
            },
            oldest_revision: published.history.oldest(),
            entities: to_proto::count(snapshot.entity_count() - placeholders),
            relations: to_proto::count(snapshot.relation_count()),
            placeholders: to_proto::count(placeholders),
            queue_depth: to_proto::count(self.graph.queue_depth()),
            watchers: to_proto::count(self.watchers.count()),
            history_bytes: published.history.bytes() as u64,
            limits: kept_limits(),
            checkpoint_revision: self.store.checkpoint_revision(),
            started_at: Some(to_proto::timestamp(self.started_ms)),
        }
    }

    /// The committer, and what the store consists of.
    fn components(&self) -> Vec<Component> {
        let poisoned = self.graph.poisoned();
        let health = match poisoned {
            None => v1::Health::Up,
            Some(_) => v1::Health::Down,
        };
        let committer = Component {
            name: "committer".into(),
            health: health.into(),
            message: poisoned.map_or_else(String::new, ToString::to_string),
        };
        let leases = self.leases.fault();
        let leases = Component {
            name: "leases".into(),
            health: leases
                .as_ref()
                .map_or(v1::Health::Up, |_| v1::Health::Degraded)
                .into(),
            message: leases.unwrap_or_default(),
        };
        let stored = self.store.components().into_iter().map(|c| Component {
            name: c.name.into(),
            health: c.health.into(),
            message: c.message,
        });
        [committer]
            .into_iter()
            .chain(stored)
            .chain([leases])
            .collect()
    }
}

fn kept_limits() -> Vec<Limit> {
    [
        ("message_bytes", limits::MESSAGE_BYTES as u64),
        ("name_bytes", limits::NAME_BYTES as u64),
        ("label_bytes", limits::LABEL_BYTES as u64),
        ("properties_bytes", limits::PROPERTIES_BYTES as u64),
        ("document_bytes", limits::DOCUMENT_BYTES as u64),
        ("json_depth_levels", limits::JSON_DEPTH as u64),
        ("mutations", limits::MUTATIONS as u64),
        ("import_mutations", limits::IMPORT_MUTATIONS as u64),
        ("import_json_bytes", limits::IMPORT_BYTES as u64),
        ("imports_bytes", limits::IMPORTS_BYTES as u64),
        ("body_bytes", limits::BODY_BYTES as u64),
        ("preconditions", limits::PRECONDITIONS as u64),
        ("guard_visits", limits::GUARD_VISITS as u64),
        ("request_id_bytes", limits::REQUEST_ID_BYTES as u64),
        ("remembered_requests_revisions", limits::REMEMBERED_REQUESTS),
        ("queue_transactions", limits::QUEUE as u64),
        ("queue_bytes", limits::QUEUE_BYTES as u64),
        ("page_entries", limits::PAGE as u64),
        ("page_pins", limits::PAGE_PINS as u64),
        ("page_pin_seconds", limits::PAGE_PIN_SECONDS),
        ("watchers", limits::WATCHERS as u64),
        ("picture_entities", limits::PICTURE_ENTITIES as u64),
    ]
    .map(|(name, value)| Limit {
        name: name.into(),
        value,
    })
    .into()
}

fn backup_entry(entry: &BackupEntry) -> v1::BackupEntry {
    v1::BackupEntry {
        id: entry.id.clone(),
        description: entry.description.clone(),
        revision: entry.revision,
        hash: to_proto::hash(entry.hash),
        size_bytes: entry.size_bytes,
        created_at: Some(to_proto::timestamp(entry.created_ms)),
        entities: u32::try_from(entry.entities).unwrap_or(u32::MAX),
        relations: u32::try_from(entry.relations).unwrap_or(u32::MAX),
    }
}

fn finding(code: &str, message: String) -> v1::Finding {
    v1::Finding {
        severity: Severity::Error.into(),
        code: code.into(),
        r#ref: None,
        message,
        path: String::new(),
    }
}

/// Builds the graph anew from its own content, with every index and count, and hashes what comes out.
fn recompute(snapshot: &Snapshot) -> Result<u128, String> {
    let mut content = Vec::new();
    checkpoint::write(snapshot, "", "", 0, &mut content).map_err(|error| error.to_string())?;
    let built = checkpoint::read(&mut content.as_slice());
    built
        .map(|(_, rebuilt)| rebuilt.hash())
        .map_err(|error| format!("the graph, built anew from its own content, {error}"))
}
