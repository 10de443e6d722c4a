//! What the clients of one store were told, and what the graph must therefore hold.
//!
//! Every write has a request id, and every write that was committed is known by its revision. Once the writes whose
//! outcome was not told have been asked for again, the revisions of all that are known must be 1 to the head, each once:
//! one that is missing was lost or was never asked for, one that comes twice was applied twice. Folding the writes in that
//! order gives the state to compare with, also behind a restore.

use std::collections::{BTreeMap, BTreeSet};

/// One change, as the model knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An entity gets this number; `expected` is the revision that it must have been changed at last.
    Put {
        name: String,
        n: u64,
        expected: Option<u64>,
    },
    /// A relation between two entities, which are made if they are not there.
    Relate { from: String, to: String },
    /// A leaf of the document `chaos`.
    Node { name: String, n: u64 },
    /// An entity goes.
    Delete { name: String },
}

/// What one revision did.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Steps(Vec<Step>),
    /// The state that was backed up at this revision.
    Restore(u64),
}

/// One write, as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Its request id, which no other write has.
    pub id: String,
    pub what: Asked,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Steps(Vec<Step>),
    /// A CSV import, by the chunks that the server makes of it.
    Import(Vec<Vec<Step>>),
    /// A backup and the revision that it is of.
    Restore(String, u64),
}

/// What a graph holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// By name: the revision of the last change, and the number.
    pub entities: BTreeMap<String, (u64, Option<u64>)>,
    pub relations: BTreeSet<(String, String)>,
    pub nodes: BTreeMap<String, u64>,
}

#[derive(Default)]
pub struct Ledger {
    /// By revision: the id of the write (for an import, with the number of the chunk), and what it did.
    done: BTreeMap<u64, (String, Content)>,
    /// Writes whose outcome was not told.
    pub open: Vec<Write>,
    /// Backups that were acknowledged, with their revisions.
    pub backups: Vec<(String, u64)>,
    /// The newest revision that anybody was shown.
    pub seen: u64,
}

impl Ledger {
    /// A revision was shown to somebody.
    pub fn saw(&mut self, revision: u64) {
        self.seen = self.seen.max(revision);
    }

    /// A write was told to be committed at this revision, perhaps not for the first time.
    pub fn committed(&mut self, id: &str, revision: u64, what: Content) -> Result<(), String> {
        self.saw(revision);
        let (known, content) = self
            .done
            .entry(revision)
            .or_insert_with(|| (id.to_owned(), what.clone()));
        if known == id {
            Ok(())
        } else {
            Err(format!(
                "{known} ({content:?}) and {id} ({what:?}) were both told that they made revision {revision}"
            ))
        }
    }

    /// The newest revision that was acknowledged.
    pub fn newest(&self) -> u64 {
        self.done.keys().next_back().copied().unwrap_or(0)
    }

    /// What the graph must hold at `head`, once nothing is open.
    pub fn state_at(&self, head: u64) -> Result<State, String> {
        let mut expected = 1;
        for (revision, (id, _)) in &self.done {
            if *revision > head {
                return Err(format!(
                    "{id} was acknowledged at revision {revision}, the graph ends at {head}"
                ));
            }
            if *revision != expected {
                return Err(format!(
                    "nobody asked for revision {expected}: a write was applied twice, or is not the one that was acknowledged"
                ));
            }
            expected += 1;
        }
        if expected <= head {
            return Err(format!(
                "nobody asked for revisions {expected} to {head}: a write was applied twice"
            ));
        }
        let restored: BTreeSet<u64> = self
            .done
            .values()
            .filter_map(|(_, what)| match what {
                Content::Restore(revision) => Some(*revision),
                Content::Steps(_) => None,
            })
            .collect();
        let (mut state, mut kept) = (State::default(), BTreeMap::new());
        kept.insert(0, state.clone());
        for (revision, (id, what)) in &self.done {
            match what {
                Content::Steps(steps) => {
                    for step in steps {
                        state
                            .apply(*revision, step)
                            .map_err(|what| format!("revision {revision}, {id}: {what}"))?;
                    }
                }
                Content::Restore(of) => {
                    let then = kept
                        .get(of)
                        .ok_or_else(|| format!("{id} restored revision {of} at {revision}"))?;
                    state = State::clone(then);
                }
            }
            if restored.contains(revision) {
                kept.insert(*revision, state.clone());
            }
        }
        Ok(state)
    }
}

impl State {
    fn apply(&mut self, revision: u64, step: &Step) -> Result<(), String> {
        match step {
            Step::Put { name, n, expected } => {
                let before = self.entities.insert(name.clone(), (revision, Some(*n)));
                if let Some(expected) = expected {
                    let (at, last) = before.unwrap_or((0, Some(0)));
                    if at != *expected || last.is_none_or(|last| last + 1 != *n) {
                        return Err(format!(
                            "{name} was to be {n} behind revision {expected}, and stood at revision {at} with {last:?}"
                        ));
                    }
                }
            }
            Step::Relate { from, to } => {
                for end in [from, to] {
                    self.entities.entry(end.clone()).or_insert((revision, None));
                }
                self.relations.insert((from.clone(), to.clone()));
            }
            Step::Node { name, n } => {
                self.nodes.insert(name.clone(), *n);
            }
            Step::Delete { name } => {
                let gone = self.entities.remove(name);
                gone.ok_or_else(|| format!("{name} was deleted where it was not"))?;
            }
        }
        Ok(())
    }

    /// What differs, in words; short.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let entities = first_difference(&self.entities, &found.entities);
        let nodes = first_difference(&self.nodes, &found.nodes);
        let relations = self.relations.symmetric_difference(&found.relations).next();
        let relations = relations.map(|one| format!("the relation {one:?} is only on one side"));
        entities.or(nodes).or(relations)
    }
}

fn first_difference<V: PartialEq + std::fmt::Debug>(
    told: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
) -> Option<String> {
    let names: BTreeSet<&String> = told.keys().chain(found.keys()).collect();
    let name = names
        .into_iter()
        .find(|name| told.get(*name) != found.get(*name))?;
    let (told, found) = (told.get(name), found.get(name));
    Some(format!("{name} should be {told:?} and is {found:?}"))
}
