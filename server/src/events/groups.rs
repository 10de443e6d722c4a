//! Consumer groups: where each is, whom it serves, and what it could not handle.
//!
//! A change is a pure step of [`Group`], carried out where the group is kept: on a store of one server in memory, written
//! through by the log's writer; on a shared store in a transaction that holds the group's row. Whoever waits for changes of
//! a group hears of those of this server at once, and of others' when it says that it lives, once a second. Whoever is served and
//! has not said so for [`SILENCE`] gives way to the next one that asks, on every store alike.
//!
//! An acknowledgement that was answered is synced; those that wait at the same time share a write. What a group moves on by itself
//! (`auto_ack`, events that its filter passes over) is written a quarter of a second later at the latest and not synced: after
//! `kill -9` it may be found where it was a moment before.

mod letter;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kg_core::limits::EVENT_GROUPS;
use tokio::sync::watch;
use tokio::time::Instant;

pub use letter::Letter;
pub use state::{Failed, Group};

use super::error::{EventError, GroupError};
use super::store::Store;
use super::writer::Writer;

/// How the names of groups begin that are the server's own.
pub(super) const OWN: char = '\u{1}';

/// After how long without a word whoever is served counts as gone.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// Whether a change must be durable before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// It must.
    Now,
    /// It is written soon.
    Soon,
}

/// A group while it is changed.
pub struct Edit {
    /// As it is.
    pub group: Group,
    /// Whether whoever is served has said nothing for too long.
    pub silent: bool,
    /// Whether whoever is served says with this that it lives.
    pub alive: bool,
    /// A dead letter that goes with the change.
    pub letter: Option<Letter>,
}

/// What somebody is told who listens to a group.
#[derive(Clone, Debug, Default)]
pub enum Bell {
    /// Nothing yet.
    #[default]
    Silent,
    /// It changed.
    Changed(Arc<Group>),
    /// It is gone.
    Gone,
}

/// The groups of a store. Clones are further handles of the same ones.
#[derive(Clone)]
pub(super) struct Groups(Arc<Shared>);

struct Shared {
    store: Store,
    writer: Writer,
    local: Local,
    bells: Mutex<HashMap<String, watch::Sender<Bell>>>,
}

/// Those of a store that has one server.
#[derive(Clone, Default)]
pub(super) struct Local(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    groups: BTreeMap<String, Group>,
    /// When whoever is served said last that it lives.
    alive: HashMap<String, Instant>,
    unwritten: Unwritten,
}

/// What the store does not have yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwritten {
    /// Groups as they are; `None` for one that is gone.
    pub(super) groups: BTreeMap<String, Option<Group>>,
    /// Letters, by their groups.
    pub(super) letters: Vec<(String, Letter)>,
}

impl Unwritten {
    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.letters.is_empty()
    }
}

impl Local {
    /// With what a store has. Whoever was served is gone: the store's lock was free.
    pub(super) fn of(groups: Vec<Group>) -> Self {
        let free = |mut group: Group| {
            group.holder = 0;
            (group.name.clone(), group)
        };
        Self(Arc::new(Mutex::new(Kept {
            groups: groups.into_iter().map(free).collect(),
            alive: HashMap::new(),
            unwritten: Unwritten::default(),
        })))
    }

    /// What is to be written; it counts as written until it is given back.
    pub(super) fn take(&self) -> Unwritten {
        std::mem::take(&mut self.lock().unwritten)
    }

    /// Takes back what could not be written. What has changed since stays as it is now.
    pub(super) fn give_back(&self, mut unwritten: Unwritten) {
        let mut kept = self.lock();
        let newer = std::mem::take(&mut kept.unwritten);
        unwritten.groups.extend(newer.groups);
        unwritten.letters.extend(newer.letters);
        kept.unwritten = unwritten;
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    pub(super) fn new(store: Store, writer: Writer, local: Local) -> Self {
        Self(Arc::new(Shared {
            store,
            writer,
            local,
            bells: Mutex::default(),
        }))
    }

    /// Changes a group.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        name: &str,
        durable: Durable,
        work: impl FnOnce(&mut Edit) -> Result<T, GroupError> + Send + 'static,
    ) -> Result<(T, Arc<Group>), GroupError> {
        let (done, group) = match &self.0.store {
            Store::Sqlite(_) => self.change_here(name, work)?,
            Store::Postgres(store) => store.change_group(name, durable, work).await?,
        };
        let group = Arc::new(group);
        self.ring(name, &Bell::Changed(group.clone()));
        if durable == Durable::Now {
            self.settle().await?;
        }
        Ok((done, group))
    }

    fn change_here<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Edit) -> Result<T, GroupError>,
    ) -> Result<(T, Group), GroupError> {
        let mut kept = self.0.local.lock();
        let found = kept.groups.get(name).cloned();
        let before = found.ok_or_else(|| GroupError::NotFound(name.to_owned()))?;
        let alive = kept.alive.get(name);
        let mut edit = Edit {
            group: before.clone(),
            silent: alive.is_none_or(|alive| alive.elapsed() >= SILENCE),
            alive: false,
            letter: None,
        };
        let done = work(&mut edit)?;
        if edit.alive {
            kept.alive.insert(name.to_owned(), Instant::now());
        }
        if edit.group != before {
            edit.group.version += 1;
            kept.groups.insert(name.to_owned(), edit.group.clone());
            let written = Some(edit.group.clone());
            kept.unwritten.groups.insert(name.to_owned(), written);
        }
        let letter = edit.letter.map(|letter| (name.to_owned(), letter));
        kept.unwritten.letters.extend(letter);
        Ok((done, edit.group))
    }

    /// Waits until what was changed is durable, where that is not so already.
    async fn settle(&self) -> Result<(), EventError> {
        match &self.0.store {
            Store::Sqlite(_) => self.0.writer.flush().await,
            Store::Postgres(_) => Ok(()),
        }
    }

    /// Puts a group where there is none of its name; the one that stands there then.
    pub(super) async fn create(&self, group: Group) -> Result<Group, GroupError> {
        let created = match &self.0.store {
            Store::Sqlite(_) => self.create_here(group)?,
            Store::Postgres(store) => return store.create_group(group).await,
        };
        self.settle().await?;
        Ok(created)
    }

    fn create_here(&self, group: Group) -> Result<Group, GroupError> {
        let mut kept = self.0.local.lock();
        if let Some(there) = kept.groups.get(&group.name) {
            return Ok(there.clone());
        }
        if kept.groups.len() >= most_beside(&group.name) {
            return Err(too_many());
        }
        let name = group.name.clone();
        kept.groups.insert(name.clone(), group.clone());
        kept.unwritten.groups.insert(name, Some(group.clone()));
        Ok(group)
    }

    /// One group.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Group>, EventError> {
        match &self.0.store {
            Store::Sqlite(_) => Ok(self.0.local.lock().groups.get(name).cloned()),
            Store::Postgres(store) => store.group(name).await,
        }
    }

    /// All groups, by their names.
    pub(super) async fn all(&self) -> Result<Vec<Group>, EventError> {
        match &self.0.store {
            Store::Sqlite(_) => Ok(self.0.local.lock().groups.values().cloned().collect()),
            Store::Postgres(store) => store.groups().await,
        }
    }

    /// Removes a group and its letters.
    pub(super) async fn delete(&self, name: &str) -> Result<(), GroupError> {
        match &self.0.store {
            Store::Sqlite(_) => {
                let mut kept = self.0.local.lock();
                if kept.groups.remove(name).is_none() {
                    return Err(GroupError::NotFound(name.to_owned()));
                }
                kept.alive.remove(name);
                kept.unwritten.groups.insert(name.to_owned(), None);
                kept.unwritten.letters.retain(|(of, _)| of != name);
            }
            Store::Postgres(store) => store.delete_group(name).await?,
        }
        self.ring(name, &Bell::Gone);
        Ok(self.settle().await?)
    }

    /// Dead letters of a group behind a place, oldest first.
    pub(super) async fn letters(
        &self,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Letter>, EventError> {
        self.settle().await?;
        self.0.store.letters(name, after, limit).await
    }

    /// Listens to a group.
    pub(super) fn listen(&self, name: &str) -> watch::Receiver<Bell> {
        let mut bells = self.bells();
        // Those of groups that nobody listens to any more are silent for good.
        if bells.len() > 2 * EVENT_GROUPS {
            bells.retain(|_, bell| bell.receiver_count() > 0);
        }
        bells.entry(name.to_owned()).or_default().subscribe()
    }

    /// How far the groups are behind `next` that somebody here listens to, as was last heard of them.
    pub(super) fn lags(&self, next: u64) -> Vec<(String, u64)> {
        let bells = self.bells();
        let lag = |(name, bell): (&String, &watch::Sender<Bell>)| match &*bell.borrow() {
            Bell::Changed(group) if bell.receiver_count() > 0 && !name.starts_with(OWN) => {
                Some((name.clone(), next.saturating_sub(group.next)))
            }
            Bell::Changed(_) | Bell::Silent | Bell::Gone => None,
        };
        bells.iter().filter_map(lag).collect()
    }

    fn ring(&self, name: &str, told: &Bell) {
        if let Some(bell) = self.bells().get(name) {
            bell.send_if_modified(|last| {
                // Two changes may come to be told in the other order.
                if let (Bell::Changed(last), Bell::Changed(told)) = (&*last, told)
                    && last.version >= told.version
                {
                    return false;
                }
                *last = told.clone();
                true
            });
        }
    }

    fn bells(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Bell>>> {
        self.0.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many groups there may be for one of this name to be made. The server's own are not refused: somebody else's groups would
/// keep the graph from telling.
pub(super) fn most_beside(name: &str) -> usize {
    match name.starts_with(OWN) {
        true => usize::MAX,
        false => EVENT_GROUPS,
    }
}

/// What is said at the bound.
pub(super) fn too_many() -> GroupError {
    GroupError::Exhausted(format!(
        "there are {EVENT_GROUPS} groups, which is the most there may be: delete some"
    ))
}
