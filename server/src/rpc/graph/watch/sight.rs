//! What a watcher may see of each record.
//!
//! Where kinds and names decide, a change is told if its caller may see what it is about, and no state is needed. Where
//! owners decide, an entity comes into view and goes out of it as its owner changes, with its relations: so the watcher has a
//! view of its own, which follows the graph, and is told how it changed. A record whose state is no longer kept makes it
//! read the state again.

use std::collections::HashSet;
use std::sync::Arc;

use kg_core::access::{Reach, follow, view};
use kg_core::commit::{Graph, Held};
use kg_core::log::Record;
use kg_core::model::{EntityRef, Object, Relation};
use kg_core::mutation::Change;
use kg_core::snapshot::{Snapshot, diff};
use tonic::Status;

use crate::auth::Caller;
use crate::rpc::graph::blocking_if;

/// Entities of a graph whose view is made on a thread for long work.
const LONG: usize = 1_000;

/// What a watcher may see.
pub enum Sight {
    /// Everything.
    All,
    /// What has such a kind and name.
    Named(Reach),
    /// What has such an owner.
    Owned {
        /// What may be seen.
        reach: Reach,
        /// What was seen last.
        seen: Arc<Snapshot>,
        /// What the watcher knows: that it went is told of nothing else.
        told: HashSet<EntityRef>,
    },
}

impl Sight {
    /// What this caller may see, who sees that of the graph now.
    pub fn of(caller: &Caller, seen: Held) -> Self {
        match caller.sees() {
            Reach::Everything => Self::All,
            reach if reach.asks_for_owners() => Self::Owned {
                reach,
                told: names(&seen),
                seen: seen.shared(),
            },
            reach => Self::Named(reach),
        }
    }

    /// What of a record is told; `None` where nobody knows any more.
    ///
    /// # Errors
    /// INTERNAL when the work panicked.
    pub async fn of_record(
        &mut self,
        graph: &Arc<Graph>,
        record: Arc<Record>,
    ) -> Result<Option<Arc<Record>>, Status> {
        match self {
            Self::All => Ok(Some(record)),
            Self::Named(reach) => Ok(Some(named(reach, record))),
            Self::Owned { reach, seen, told } => {
                if seen.revision() + 1 != record.revision {
                    let Ok(before) = graph.snapshot_at(record.revision - 1) else {
                        return Ok(None);
                    };
                    *seen = made(reach.clone(), before, graph.snapshot()).await?;
                    *told = names(seen);
                }
                let after = || {
                    graph
                        .snapshot_at(record.revision)
                        .ok()
                        .map(|held| held.shared())
                };
                let Some(next) = follow(seen, reach, &record, after) else {
                    return Ok(None);
                };
                let now = graph.snapshot();
                let changes = diff(seen, &next).into_iter();
                let changes = changes.filter(|change| is_told(reach, &now, told, change));
                let changes = changes.map(emptied).collect();
                *seen = Arc::new(next);
                Ok(Some(with(record, changes)))
            }
        }
    }
}

async fn made(reach: Reach, before: Held, now: Held) -> Result<Arc<Snapshot>, Status> {
    let long = before.entity_count() > LONG;
    blocking_if(long, move || Arc::new(view(&before, &reach, &now))).await
}

fn with(record: Arc<Record>, changes: Vec<Change>) -> Arc<Record> {
    Arc::new(Record {
        changes: changes.into(),
        ..(*record).clone()
    })
}

fn named(reach: &Reach, record: Arc<Record>) -> Arc<Record> {
    let of = |key: &EntityRef| reach.covers(key, None);
    let is_seen = |change: &&Change| match change {
        Change::PutEntity { entity, .. } => of(&entity.key),
        Change::RemoveEntity { previous } => of(&previous.key),
        Change::PutRelation { relation, .. } => of(&relation.key.from) && of(&relation.key.to),
        Change::RemoveRelation { previous } => of(&previous.key.from) && of(&previous.key.to),
        Change::SetNode { path, .. } | Change::RemoveNode { path, .. } => {
            reach.covers_section(path.section())
        }
        // Told as a resync, before anybody asks.
        Change::Restore { .. } => false,
    };
    let seen: Vec<Change> = record.changes.iter().filter(is_seen).cloned().collect();
    with(record, seen)
}

/// A change without what went, which may be somebody else's by now.
fn emptied(change: Change) -> Change {
    match change {
        Change::RemoveEntity { previous } => Change::RemoveEntity {
            previous: Arc::new(previous.emptied()),
        },
        Change::RemoveRelation { previous } => Change::RemoveRelation {
            previous: Arc::new(Relation {
                properties: Object::new(),
                ..(*previous).clone()
            }),
        },
        other => other,
    }
}

/// Whether a change is told: what may still be seen; and that something went, by its name alone, to whoever knows of it.
fn is_told(reach: &Reach, now: &Snapshot, told: &mut HashSet<EntityRef>, change: &Change) -> bool {
    let of = |key: &EntityRef| reach.covers_in(now, key);
    match change {
        Change::PutEntity { entity, .. } => {
            let may = of(&entity.key);
            if may {
                told.insert(entity.key.clone());
            }
            may
        }
        Change::RemoveEntity { previous } => told.remove(&previous.key),
        Change::PutRelation { relation, .. } => of(&relation.key.from) && of(&relation.key.to),
        // Relations go before their ends do.
        Change::RemoveRelation { previous } => {
            told.contains(&previous.key.from) && told.contains(&previous.key.to)
        }
        Change::SetNode { .. } | Change::RemoveNode { .. } => true,
        Change::Restore { .. } => false,
    }
}

fn names(seen: &Snapshot) -> HashSet<EntityRef> {
    seen.entities().map(|entity| entity.key.clone()).collect()
}
