//! What services do with consumer groups.

use std::sync::Arc;

use kg_core::limits::EVENT_SUBSCRIBERS;

use super::error::{EventError, GroupError};
use super::event::{Event, NewEvent};
use super::figures::Figures;
use super::groups::{Durable, Edit, Failed, Group, Letter, OWN};
use super::log::Events;

/// How often an event fails that becomes a dead letter, where nobody says anything else.
pub const MAX_FAILURES: u32 = 5;

/// One subscriber, who is counted as long as this lives.
pub struct Subscribed(Arc<Figures>);

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.unsubscribed();
    }
}

impl Events {
    /// Counts one more subscriber.
    ///
    /// # Errors
    /// [`EventError::Exhausted`] when there are as many as there may be.
    pub fn subscribe(&self) -> Result<Subscribed, EventError> {
        let before = self.figures.subscribed();
        let subscribed = Subscribed(self.figures.clone());
        if before >= EVENT_SUBSCRIBERS as u64 {
            return Err(EventError::Exhausted(format!(
                "{EVENT_SUBSCRIBERS} subscribers of events are connected, which is the most there may be"
            )));
        }
        Ok(subscribed)
    }

    /// The group of this name; it is made where there is none, by this owner and at this place.
    ///
    /// # Errors
    /// [`GroupError::Exhausted`] when there are as many as there may be.
    pub async fn open_group(
        &self,
        name: &str,
        owner: &str,
        next: u64,
        max_failures: u32,
    ) -> Result<Group, GroupError> {
        if let Some(group) = self.groups.get(name).await? {
            return Ok(group);
        }
        let max_failures = match max_failures {
            0 => MAX_FAILURES,
            given => given,
        };
        let mut group = Group::new(name, owner, next, max_failures);
        // One of this name may have been deleted a moment ago: what is said for a turn of that one is not taken for one of this, and
        // whoever still listens to it knows this one as newer.
        group.epoch = (crate::app::seed() >> 34) as u32;
        group.version = crate::app::now_ms() << 16;
        self.groups.create(group).await
    }

    /// The group of this name.
    ///
    /// # Errors
    /// [`GroupError::NotFound`].
    pub async fn group(&self, name: &str) -> Result<Group, GroupError> {
        let found = self.groups.get(name).await?;
        found.ok_or_else(|| GroupError::NotFound(name.to_owned()))
    }

    /// All groups of others than the server, by their names.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn list_groups(&self) -> Result<Vec<Group>, EventError> {
        let mut groups = self.groups.all().await?;
        groups.retain(|group| !group.name.starts_with(OWN));
        Ok(groups)
    }

    /// Everything up to `offset` is done, and comes again for nobody, whatever is killed: it is durable when this returns. `epoch` is
    /// that of the turn in which it was sent; 0 for whichever.
    ///
    /// # Errors
    /// [`GroupError`]: `Stale` where somebody else has been served since.
    pub async fn ack(&self, name: &str, offset: u64, epoch: u32) -> Result<u64, GroupError> {
        self.must_be_there(offset).await?;
        let ack = move |edit: &mut Edit| {
            edit.group.must_be(epoch)?;
            edit.group.ack(offset);
            Ok(())
        };
        let ((), group) = self.groups.change(name, Durable::Now, ack).await?;
        Ok(group.next)
    }

    /// The event at `offset` could not be handled: it comes again, or is a dead letter now. Tells which, and where the group is.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn fail(
        &self,
        name: &str,
        offset: u64,
        epoch: u32,
        reason: &str,
        now_ms: u64,
    ) -> Result<(Failed, u64), GroupError> {
        self.must_be_there(offset).await?;
        // Read before it is known whether it is needed: a group is not held while the log is read, and by then somebody else may have
        // told of a failure as well.
        let event = self.event(offset).await?;
        let event = event.map_or_else(|| forgotten(offset), |event| (*event).clone());
        loop {
            let letter = (event.clone(), reason.to_owned(), now_ms);
            if let Some(failed) = self.fail_once(name, letter, epoch).await? {
                return Ok(failed);
            }
        }
    }

    /// `None` where the group was put elsewhere, or somebody else told of a failure meanwhile: what was found may no longer be so.
    async fn fail_once(
        &self,
        name: &str,
        (event, reason, now_ms): (Event, String, u64),
        epoch: u32,
    ) -> Result<Option<(Failed, u64)>, GroupError> {
        let offset = event.offset;
        let group = self.group(name).await?;
        let failures = group.failures.get(&offset).copied().unwrap_or_default() + 1;
        let is_last = failures >= group.max_failures;
        // Only what was sent again since a seek can have a letter already, and then it takes the place of that one.
        let known = match is_last && group.letters > 0 {
            true => self.letters(name, offset.saturating_sub(1), 1).await?.pop(),
            false => None,
        };
        let is_known = known.is_some_and(|letter| letter.event.offset == offset);
        let fail = move |edit: &mut Edit| {
            edit.group.must_be(epoch)?;
            let failed = edit.group.failures.get(&offset);
            if edit.group.seeks != group.seeks || failed != group.failures.get(&offset) {
                return Ok(None);
            }
            let failed = edit.group.fail(offset, is_known)?;
            if let Failed::Dead(failures) = failed {
                edit.letter = Some(Letter {
                    event,
                    failures,
                    reason,
                    time_ms: now_ms,
                });
            }
            Ok(Some(failed))
        };
        let durable = match is_last {
            true => Durable::Now,
            false => Durable::Soon,
        };
        let (failed, group) = self.groups.change(name, durable, fail).await?;
        if matches!(failed, Some(Failed::Dead(_))) {
            self.figures.dead_letter();
        }
        Ok(failed.map(|failed| (failed, group.next)))
    }

    /// The event at `offset` comes next, whatever was done before.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn seek_group(&self, name: &str, offset: u64) -> Result<u64, GroupError> {
        let offset = offset.max(1);
        if offset > 1 {
            self.must_be_there(offset - 1).await?;
        }
        let seek = move |edit: &mut Edit| {
            edit.group.seek(offset);
            Ok(())
        };
        let ((), group) = self.groups.change(name, Durable::Now, seek).await?;
        Ok(group.next)
    }

    /// Removes a group and its dead letters, and ends those who consume for it.
    ///
    /// # Errors
    /// [`GroupError::NotFound`].
    pub async fn delete_group(&self, name: &str) -> Result<(), GroupError> {
        self.groups.delete(name).await
    }

    /// Dead letters of a group behind a place, oldest first.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn letters(
        &self,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Letter>, EventError> {
        self.groups.letters(name, after, limit).await
    }

    /// Refuses a place that no event has taken yet.
    ///
    /// # Errors
    /// [`GroupError::Invalid`].
    pub async fn must_be_there(&self, offset: u64) -> Result<(), GroupError> {
        if offset < self.next_offset() {
            return Ok(());
        }
        let (_, next) = self.ends().await?;
        if offset < next {
            return Ok(());
        }
        Err(GroupError::Invalid(format!(
            "{offset} is beyond the log, whose next event takes the place {next}"
        )))
    }
}

/// What stands for an event that the log did not keep.
fn forgotten(offset: u64) -> Event {
    Event {
        offset,
        appended_ms: 0,
        event: NewEvent {
            id: "forgotten".into(),
            kind: "forgotten".into(),
            entity: None,
            correlation: "".into(),
            payload: kg_core::model::Object::new(),
            time_ms: 0,
            actor: "".into(),
        },
    }
}
