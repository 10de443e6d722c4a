//! What a caller sees of one revision: all of it, or a view.

use std::ops::Deref;
use std::sync::Arc;

use kg_core::access::Reach;
use kg_core::commit::Held;
use kg_core::model::{EntityRef, Value};
use kg_core::mutation::Change;
use kg_core::snapshot::Snapshot;
use tonic::Status;

use super::context::Context;
use super::status;
use crate::auth::{Action, Caller, Resource, policy};
use crate::events::{Event, Sight};

/// One revision as a caller sees it. What it derefs to holds nothing that they may not see.
#[derive(Clone, Debug)]
pub struct Seen {
    held: Held,
    /// Where that is not everything.
    part: Option<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    whole: Held,
    now: Held,
    reach: Arc<Reach>,
}

impl Deref for Seen {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.held
    }
}

impl Seen {
    /// What is seen, to be held.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Whether something may be hidden.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// The whole revision. Nothing of it may be told but what has been looked for in this, or counted.
    #[must_use]
    pub fn whole(&self) -> &Held {
        self.part.as_ref().map_or(&self.held, |part| &part.whole)
    }

    /// Whether the caller may see what stands under this name, or would see it if it stood there.
    #[must_use]
    pub fn may_see(&self, key: &EntityRef) -> bool {
        self.part.as_ref().is_none_or(|part| {
            let now = !part.reach.asks_for_owners() || part.reach.covers_in(&part.now, key);
            part.reach.covers_in(&part.whole, key) && now
        })
    }

    /// The same for whoever asks for it by name.
    ///
    /// # Errors
    /// PERMISSION_DENIED, whether it exists or not.
    pub fn must_see(&self, key: &EntityRef) -> Result<(), Status> {
        if self.may_see(key) {
            return Ok(());
        }
        Err(status::denied(format!("you may not see {key}")))
    }

    /// The same for a section of the documents.
    ///
    /// # Errors
    /// PERMISSION_DENIED, whether it exists or not.
    pub fn must_see_section(&self, section: &str) -> Result<(), Status> {
        let covers = |part: &Part| part.reach.covers_section(section);
        if self.part.as_ref().is_none_or(covers) {
            return Ok(());
        }
        Err(status::denied(format!("you may not see {section}")))
    }
}

impl Context {
    /// What a caller sees of the head, as it is now or later.
    ///
    /// # Errors
    /// INTERNAL when the work panicked.
    pub async fn see_head(&self, caller: &Caller) -> Result<Seen, Status> {
        match caller.sees() {
            Reach::Everything => Ok(Seen {
                held: self.graph.snapshot(),
                part: None,
            }),
            reach => {
                let whole = self.graph.snapshot();
                let seen = self.views.head(&self.graph, &reach).await?;
                // The view may be newer than what was looked at before it.
                let whole = if seen.revision() == whole.revision() {
                    whole
                } else {
                    self.graph.snapshot_at(seen.revision()).unwrap_or(whole)
                };
                Ok(Seen {
                    held: self.graph.hold(seen),
                    part: Some(Part {
                        now: whole.clone(),
                        whole,
                        reach: Arc::new(reach),
                    }),
                })
            }
        }
    }

    /// What a caller sees of any revision.
    ///
    /// # Errors
    /// INTERNAL when the work panicked.
    pub async fn see(&self, caller: &Caller, whole: Held) -> Result<Seen, Status> {
        let reach = caller.sees();
        if reach.is_everything() {
            return Ok(Seen {
                held: whole,
                part: None,
            });
        }
        let seen = self.views.at(&self.graph, whole.shared(), &reach).await?;
        Ok(Seen {
            held: self.graph.hold(seen),
            part: Some(Part {
                whole,
                now: self.graph.snapshot(),
                reach: Arc::new(reach),
            }),
        })
    }
}

impl Context {
    /// What a caller sees after their own write, of its revision or a later one.
    ///
    /// # Errors
    /// INTERNAL when the work panicked.
    pub async fn trimmed(&self, caller: &Caller, after: Held) -> Result<Seen, Status> {
        if caller.sees().is_everything() {
            let (held, part) = (after, None);
            return Ok(Seen { held, part });
        }
        self.see_head(caller).await
    }

    /// Refuses what a caller may not change, before anything is said of it.
    ///
    /// # Errors
    /// PERMISSION_DENIED, whether it exists or not.
    pub fn must_change(&self, caller: &Caller, key: &EntityRef) -> Result<(), Status> {
        let reach = caller.principal.reach(Action::Write.role());
        if self.graph.read(|head| reach.covers_in(head, key)) {
            return Ok(());
        }
        Err(status::denied(format!("you may not change {key}")))
    }
}

impl Context {
    /// Which events a caller may see; `None` for all. One about an entity is seen by those who may see that; one about none by those
    /// who see everything, and by whoever told it.
    #[must_use]
    pub fn event_sight(&self, caller: &Caller) -> Option<Sight> {
        let reach = caller.sees();
        if reach.is_everything() {
            return None;
        }
        let (graph, me) = (self.graph.clone(), caller.principal.name.clone());
        Some(Arc::new(move |event: &Event| {
            let Some(entity) = &event.event.entity else {
                return event.event.actor == me;
            };
            // A relation is seen by those who see both of its ends.
            let other = match event.event.kind.starts_with("graph.relation.") {
                true => event.event.payload.get("to").and_then(Value::as_str),
                false => None,
            };
            let other = other.and_then(|other| EntityRef::parse("to", other).ok());
            graph.read(|head| {
                let covered = |key: &EntityRef| reach.covers_in(head, key);
                covered(entity) && other.as_ref().is_none_or(covered)
            })
        }))
    }
}

impl Caller {
    /// Whether they may see what a change tells, of which this is the state after it.
    #[must_use]
    pub fn sees_change(&self, after: &Snapshot, change: &Change) -> bool {
        let reach = self.sees();
        let end = |key: &EntityRef| reach.covers_in(after, key);
        match change {
            Change::PutEntity { entity, .. } => reach.covers_entity(entity),
            Change::RemoveEntity { previous } => reach.covers_entity(previous),
            Change::PutRelation { relation, .. } => {
                end(&relation.key.from) && end(&relation.key.to)
            }
            Change::RemoveRelation { previous } => end(&previous.key.from) && end(&previous.key.to),
            Change::SetNode { path, .. } | Change::RemoveNode { path, .. } => {
                reach.covers_section(path.section())
            }
            Change::Restore { .. } => reach.is_everything(),
        }
    }

    /// What they may see.
    #[must_use]
    pub fn sees(&self) -> Reach {
        self.principal.reach(Action::Read.role())
    }

    /// Whether they are told that something hidden is there: operators of any part of the graph are.
    #[must_use]
    pub fn knows_of_hidden(&self) -> bool {
        policy(&self.principal, Action::Operate, Resource::SomePart).is_ok()
    }
}
