//! The model: a map that one caller at a time uses, and that remembers every revision of itself.
//!
//! Revisions are part of what it tells. So an order that is found is the order of revisions, and a write that was applied
//! twice leaves a revision behind that no call accounts for.

use std::collections::BTreeMap;
use std::sync::Arc;

use stateright::semantics::SequentialSpec;

/// One of the few entities of a history, by its number.
pub type Key = u64;

/// What stands at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: u64,
    /// The revisions that made it and changed it last.
    pub created: u64,
    pub modified: u64,
}

pub type Entries = BTreeMap<Key, Entry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Put(Key, u64),
    Delete(Key),
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its request id: it applies once, however often it is asked for.
    pub id: String,
    /// The revision at which this key must have been changed last; 0: it must not be there.
    pub guard: Option<(Key, u64)>,
    pub steps: Vec<Step>,
}

impl Write {
    /// What it makes of a state, as this revision; nothing, if it is refused.
    pub fn applied(&self, state: &Entries, revision: u64) -> Option<Entries> {
        let mut next = state.clone();
        if let Some((key, expected)) = self.guard
            && next.get(&key).map_or(0, |entry| entry.modified) != expected
        {
            return None;
        }
        for step in &self.steps {
            match *step {
                Step::Put(key, value) => {
                    let entry = Entry {
                        value,
                        created: next.get(&key).map_or(revision, |entry| entry.created),
                        modified: revision,
                    };
                    next.insert(key, entry);
                }
                Step::Delete(key) => {
                    next.remove(&key)?;
                }
            }
        }
        Some(next)
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Write(Write),
    /// One key, now or at an old revision.
    Get(Key, Option<u64>),
    /// All keys, likewise.
    List(Option<u64>),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub ask: Ask,
    /// Its place among all calls of the history by the time at which they were told, from 1 on.
    pub place: usize,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Committed(u64),
    /// A guard did not hold, or what should be deleted was not there.
    Refused,
    /// A status tells no revision, so what is not there is told without.
    Absent,
    Found(u64, Entry),
    All(u64, Entries),
    /// No server may say so of a revision that somebody was shown.
    NotYet,
}

/// The map.
#[derive(Clone, Debug)]
pub struct Model {
    /// The revision before the history, at which there was nothing.
    first: u64,
    /// The states since then, the newest last.
    states: Vec<Arc<Entries>>,
    /// The request ids that were committed, and their revisions.
    done: Arc<BTreeMap<String, u64>>,
    /// The place of the last call, if it changed nothing.
    quiet: usize,
}

impl Model {
    /// Empty, at this revision.
    pub fn at(first: u64) -> Self {
        Self {
            first,
            states: vec![Arc::default()],
            done: Arc::default(),
            quiet: 0,
        }
    }

    fn revision(&self) -> u64 {
        self.first + self.states.len() as u64 - 1
    }

    fn state_at(&self, at: Option<u64>) -> Option<(u64, &Entries)> {
        let revision = at.unwrap_or_else(|| self.revision());
        let index = usize::try_from(revision.checked_sub(self.first)?).ok()?;
        Some((revision, self.states.get(index)?))
    }

    fn write(&mut self, write: &Write) -> Told {
        if let Some(revision) = self.done.get(&write.id) {
            return Told::Committed(*revision);
        }
        let revision = self.revision() + 1;
        let last = self.states.last().cloned().unwrap_or_default();
        let Some(next) = write.applied(&last, revision) else {
            return Told::Refused;
        };
        self.states.push(Arc::new(next));
        Arc::make_mut(&mut self.done).insert(write.id.clone(), revision);
        self.quiet = 0;
        Told::Committed(revision)
    }
}

impl SequentialSpec for Model {
    type Op = Call;
    type Ret = Told;

    fn invoke(&mut self, call: &Call) -> Told {
        match &call.ask {
            Ask::Write(write) => self.write(write),
            Ask::Get(key, at) => match self.state_at(*at) {
                Some((revision, state)) => match state.get(key) {
                    Some(entry) => Told::Found(revision, *entry),
                    None => Told::Absent,
                },
                None => Told::NotYet,
            },
            Ask::List(at) => match self.state_at(*at) {
                Some((revision, state)) => Told::All(revision, state.clone()),
                None => Told::NotYet,
            },
        }
    }

    /// Also holds calls that change nothing and follow one another to the order in which they were told. They may be
    /// swapped freely, so no order is lost by it, and without it a history that has none is searched for days.
    fn is_valid_step(&mut self, call: &Call, told: &Told) -> bool {
        let before = self.revision();
        if self.invoke(call) != *told {
            return false;
        }
        if self.revision() > before {
            return true;
        }
        let last = std::mem::replace(&mut self.quiet, call.place);
        last < call.place
    }
}
