//! A history: every call with the time at which it was asked and the one at which it was told.
//!
//! Time is a count of these events. Of calls that do not overlap the order is therefore known, and of the others nothing is
//! assumed, whichever client they came from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::model::{Ask, Entries, Told};
use super::order;

/// One call, as a client saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub ask: Ask,
    pub asked: usize,
    /// When it was told, and what; nothing if the reply was lost.
    pub told: Option<(usize, Told)>,
}

/// Calls that were noted.
#[derive(Clone, Debug, Default)]
pub struct History {
    seen: Vec<Seen>,
    time: usize,
}

/// A call that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Asked(usize);

impl History {
    /// A client asks.
    pub fn ask(&mut self, ask: Ask) -> Asked {
        self.time += 1;
        self.seen.push(Seen {
            ask,
            asked: self.time,
            told: None,
        });
        Asked(self.seen.len() - 1)
    }

    /// It was told this.
    pub fn tell(&mut self, asked: Asked, told: Told) {
        self.time += 1;
        self.seen[asked.0].told = Some((self.time, told));
    }

    /// Calls, and how many of them were not answered.
    pub fn counts(&self) -> (usize, usize) {
        let lost = self.seen.iter().filter(|call| call.told.is_none());
        (self.seen.len(), lost.count())
    }

    /// Whether one order explains everything, beginning with an empty map at this revision.
    ///
    /// # Errors
    /// What cannot be, with the whole history.
    pub fn check(&self, first: u64) -> Result<(), String> {
        let wrong = |what: String| {
            format!("it is not linearizable from revision {first} on: {what}\n{self}")
        };
        let calls = self.calls(first).map_err(wrong)?;
        order::explains(calls, first).map_err(wrong)
    }

    /// The calls to be ordered. All askings of one write that was committed are one call, from the first asking to the first
    /// answer; where none of them was, those without an answer are one, which may still take effect.
    fn calls(&self, first: u64) -> Result<Vec<Seen>, String> {
        let mut calls = Vec::new();
        let mut writes: BTreeMap<&str, Seen> = BTreeMap::new();
        for seen in &self.seen {
            match (&seen.ask, &seen.told) {
                (Ask::Write(_), Some((_, Told::Refused))) => calls.push(seen.clone()),
                (Ask::Write(write), _) => {
                    let one = writes.entry(&write.id).or_insert_with(|| seen.clone());
                    one.told = match (one.told.take(), seen.told.clone()) {
                        (Some((at, one)), Some((later, other))) => {
                            if one != other {
                                return Err(format!("{} was told {one:?} and {other:?}", write.id));
                            }
                            Some((at.min(later), one))
                        }
                        (one, other) => one.or(other),
                    };
                }
                // A read without an answer says nothing.
                (_, None) => {}
                _ => calls.push(seen.clone()),
            }
        }
        calls.extend(self.explained(writes.into_values().collect(), first));
        Ok(calls)
    }

    /// Looks among the old revisions for those that writes without an answer made. Every value is written by one write
    /// alone, so most are found, and are then told so at the end of time; one whose effect is nowhere had none. What
    /// remains open may be anywhere, and every such write makes the search longer by far.
    fn explained(&self, writes: Vec<Seen>, first: u64) -> Vec<Seen> {
        let shown: BTreeMap<u64, &Entries> = self
            .seen
            .iter()
            .filter_map(|seen| match &seen.told.as_ref()?.1 {
                Told::All(revision, all) => Some((*revision, all)),
                _ => None,
            })
            .collect();
        let told = self.seen.iter().filter_map(Seen::revision);
        let head = told.map(|(revision, _)| revision).max().unwrap_or(first);
        let made: Vec<u64> = writes
            .iter()
            .filter_map(Seen::revision)
            .map(|it| it.0)
            .collect();
        let gaps = (first + 1..=head).filter(|revision| !made.contains(revision));
        let gaps: Vec<u64> = gaps.collect();
        let may_have_made = |seen: &Seen, gap: u64| match (&seen.ask, &seen.told) {
            (Ask::Write(write), None) => match (shown.get(&(gap - 1)), shown.get(&gap)) {
                (Some(before), Some(after)) => write.applied(before, gap).as_ref() == Some(*after),
                _ => true,
            },
            _ => false,
        };
        let mut end = self.time;
        let mut explained = Vec::new();
        for seen in &writes {
            let mut seen = seen.clone();
            let mut fitting = gaps.iter().filter(|gap| may_have_made(&seen, **gap));
            match (fitting.next(), fitting.next()) {
                (None, _) if seen.told.is_none() => continue,
                (Some(gap), None) if shown.contains_key(gap) => {
                    let who = writes.iter().filter(|other| may_have_made(other, *gap));
                    if who.count() == 1 {
                        end += 1;
                        seen.told = Some((end, Told::Committed(*gap)));
                    }
                }
                _ => {}
            }
            explained.push(seen);
        }
        explained
    }
}

impl Seen {
    /// The revision that it was told, and whether it made it. Old revisions may be read at any time, and say nothing.
    pub fn revision(&self) -> Option<(u64, bool)> {
        match (&self.ask, &self.told.as_ref()?.1) {
            (_, Told::Committed(revision)) => Some((*revision, true)),
            (Ask::Get(_, None), Told::Found(revision, _)) => Some((*revision, false)),
            (Ask::List(None), Told::All(revision, _)) => Some((*revision, false)),
            _ => None,
        }
    }
}

impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut lines = String::new();
        for Seen { ask, asked, told } in &self.seen {
            match told {
                Some((at, told)) => writeln!(lines, "{asked:>4} to {at:>4}  {ask:?}: {told:?}")?,
                None => writeln!(lines, "{asked:>4} to  ...  {ask:?}")?,
            }
        }
        f.write_str(&lines)
    }
}
