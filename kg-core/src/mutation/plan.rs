//! Plan: a snapshot and a transaction give changes, or a refusal.
//!
//! All decisions are here: what a request means, whether it may be done, what it brings with it. Each mutation is planned
//! against the state left by those before it; a refused transaction leaves no trace, for all is done on a copy, which
//! costs pointers. Cost: O(mutations x log graph), and what the preconditions visit.

mod authority;
mod entities;
mod nodes;
mod relations;
mod services;

use super::change::Change;
use super::guard;
use super::transaction::{Mutation, Transaction};
use crate::access::Authority;
use crate::error::{Fault, Refusal};
use crate::limits::{MUTATIONS, PRECONDITIONS, REASON_BYTES};
use crate::model::service::check_text;
use crate::snapshot::Snapshot;
pub(crate) use authority::{node_seen, unnamed};
use services::dependency_key;
use std::sync::Arc;

/// What a transaction will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The changes, in order. None: the transaction changes nothing and makes no revision.
    pub changes: Vec<Change>,
    /// The state after them; its revision and time are still those before.
    pub next: Snapshot,
}

/// Decides what `transaction` does to `snapshot`.
///
/// # Errors
/// A [`Refusal`]; the snapshot is as it was.
pub fn plan(snapshot: &Snapshot, transaction: &Transaction) -> Result<Plan, Refusal> {
    check_shape(transaction)?;
    let authority = transaction.authority.as_deref();
    let authority = authority.filter(|authority| !authority.is_full());
    if let Some(authority) = authority {
        authority::preconditions(snapshot, authority, &transaction.preconditions)?;
    }
    guard::before(snapshot, &transaction.preconditions, authority)?;
    let mut planner = Planner {
        authority,
        draft: snapshot.clone(),
        changes: Vec::new(),
        revision: snapshot.revision() + 1,
    };
    let single = transaction.mutations.len() == 1;
    for (i, mutation) in transaction.mutations.iter().enumerate() {
        planner.authorised(mutation).map_err(|refusal| {
            if single {
                refusal
            } else {
                refusal.under(&format!("mutations[{i}]"))
            }
        })?;
    }
    guard::after(&planner.draft, &transaction.preconditions, authority)?;
    Ok(Plan {
        changes: planner.changes,
        next: planner.draft,
    })
}

fn check_shape(transaction: &Transaction) -> Result<(), Refusal> {
    let limit = if transaction.mutation_limit == 0 {
        MUTATIONS
    } else {
        transaction.mutation_limit
    };
    let count = transaction.mutations.len();
    if count > limit {
        return Err(Refusal::invalid(
            "mutations",
            format!("has {count} entries, at most {limit} are allowed in one transaction"),
        ));
    }
    let count = transaction.preconditions.len();
    if count > PRECONDITIONS {
        return Err(Refusal::invalid(
            "preconditions",
            format!("has {count} entries, at most {PRECONDITIONS} are allowed"),
        ));
    }
    if transaction.reason.len() > REASON_BYTES {
        return Err(Refusal::invalid(
            "reason",
            format!(
                "has {} bytes, at most {REASON_BYTES} are allowed",
                transaction.reason.len()
            ),
        ));
    }
    check_text("reason", &transaction.reason)?;
    Ok(())
}

struct Planner<'a> {
    /// What the caller may see and change, where that is not everything.
    authority: Option<&'a Authority>,
    draft: Snapshot,
    changes: Vec<Change>,
    revision: u64,
}

impl Planner<'_> {
    /// Plans a mutation, and refuses it where its caller may not do what it comes to.
    fn authorised(&mut self, mutation: &Mutation) -> Result<(), Refusal> {
        let Some(authority) = self.authority else {
            return self.mutation(mutation);
        };
        authority::mutation(&self.draft, authority, mutation)?;
        let (before, planned) = (self.draft.clone(), self.changes.len());
        self.mutation(mutation)?;
        authority::changes(&before, &self.draft, authority, &self.changes[planned..])
    }

    fn mutation(&mut self, mutation: &Mutation) -> Result<(), Refusal> {
        match mutation {
            Mutation::RegisterService { service, strict } => self.register(service, *strict),
            Mutation::UpdateSchema { name, schema } => {
                self.edit_service(name, |spec| spec.body.schema = schema.clone())
            }
            Mutation::SetCapability {
                name,
                capability,
                enabled,
            } => self.edit_service(name, |spec| {
                spec.body
                    .capabilities
                    .retain(|c| *enabled || c != capability);
                if *enabled && !spec.body.capabilities.contains(capability) {
                    spec.body.capabilities.push(capability.clone());
                }
            }),
            Mutation::SetHealth { name, health } => match self.registered(name) {
                Ok(_) => self.edit_service(name, |spec| spec.body.health = *health),
                Err(_) => Ok(()),
            },
            Mutation::AddDependency { name, dependency } => self.add_dependency(name, dependency),
            Mutation::RemoveDependency { name, service } => {
                self.registered(name)?;
                self.delete_relation(&dependency_key(name, service))
            }
            Mutation::PutPattern(spec) => self.put_pattern(spec),
            Mutation::PutEntity { key, properties } => self.put_properties(key, properties),
            Mutation::DeleteEntity { key, force } => self.delete_entity(key, *force),
            Mutation::PutRelation {
                key,
                properties,
                create_ends,
            } => self.put_relation(key, properties, *create_ends),
            Mutation::DeleteRelation(key) => self.delete_relation(key),
            Mutation::UpdateNode { path, value } => self.update_node(path, value),
            Mutation::DeleteNode(path) => self.delete_node(path),
            Mutation::Restore {
                checkpoint,
                content,
            } => self.restore(checkpoint, content),
        }
    }

    /// Applies a change to the draft and keeps it. A change that was planned against the draft fits it.
    fn keep(&mut self, change: Change) -> Result<(), Refusal> {
        self.draft
            .apply(&change, self.revision)
            .map_err(Refusal::Internal)?;
        self.changes.push(change);
        Ok(())
    }

    fn restore(&mut self, checkpoint: &Arc<str>, content: &Arc<Snapshot>) -> Result<(), Refusal> {
        if !self.changes.is_empty() {
            return Err(Refusal::invalid(
                "mutations",
                "a restore stands alone in its transaction",
            ));
        }
        self.draft.return_to(content);
        self.changes.push(Change::Restore {
            checkpoint: checkpoint.clone(),
            hash: content.hash(),
            content: Some(content.clone()),
        });
        Ok(())
    }
}

fn refuse(faults: Vec<Fault>) -> Result<(), Refusal> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Invalid(faults))
    }
}
