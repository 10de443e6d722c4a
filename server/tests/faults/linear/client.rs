//! A client: makes random calls, loses replies, repeats itself.

use std::collections::BTreeMap;

use super::caller::{Caller, Patience};
use super::model::{Ask, Entry, Key, Step, Told, Write};
use crate::random::Random;

/// Keys of one history. Few, so that clients meet.
pub const KEYS: u64 = 3;

/// What one client does, each of one to three calls.
const MOVES: u64 = 8;

/// Turns of the runtime after which a reply is no longer listened for, at most: a commit takes about half as many.
const TURNS: u64 = 400;

/// One client.
pub struct Client {
    pub caller: Caller,
    pub random: Random,
    /// Different for every client of a history.
    pub number: u64,
    /// The revision before the history.
    pub first: u64,
    count: u64,
    newest: u64,
    /// What it believes of the keys: when they were changed last. Others may have changed them since.
    known: BTreeMap<Key, u64>,
}

impl Client {
    pub fn new(caller: Caller, random: Random, number: u64, first: u64) -> Self {
        Self {
            caller,
            random,
            number,
            first,
            count: 0,
            newest: first,
            known: BTreeMap::new(),
        }
    }

    /// Plays its part of a history.
    ///
    /// # Errors
    /// What a server must not say.
    pub async fn play(mut self) -> Result<(), String> {
        for _ in 0..MOVES {
            let key = self.random.below(KEYS);
            match self.random.below(16) {
                0..3 => {
                    let put = self.put(key);
                    self.write(None, vec![put]).await?;
                }
                3..6 => self.read(Ask::Get(key, None)).await?,
                6..8 => self.read(Ask::List(None)).await?,
                8..12 => self.compare_and_set(key).await?,
                12 => self.write(None, vec![Step::Delete(key)]).await?,
                13..15 => self.pair(key).await?,
                _ => {
                    let at = self.first + self.random.below(self.newest - self.first + 1);
                    let ask = if self.random.one_in(2) {
                        Ask::Get(key, Some(at))
                    } else {
                        Ask::List(Some(at))
                    };
                    self.read(ask).await?;
                }
            }
        }
        Ok(())
    }

    /// A value that nobody else writes.
    fn put(&mut self, key: Key) -> Step {
        self.count += 1;
        Step::Put(key, self.number * 1_000 + self.count)
    }

    async fn read(&mut self, ask: Ask) -> Result<(), String> {
        let told = self.caller.call(&ask, Patience::Whole).await?;
        match (&ask, told) {
            (Ask::Get(key, None), Some(Told::Found(revision, entry))) => {
                self.saw(revision);
                self.known.insert(*key, entry.modified);
            }
            (Ask::Get(key, None), Some(Told::Absent)) => {
                self.known.insert(*key, 0);
            }
            (Ask::List(None), Some(Told::All(revision, all))) => {
                self.saw(revision);
                let modified = |key| (key, all.get(&key).map_or(0, |entry: &Entry| entry.modified));
                self.known = (0..KEYS).map(modified).collect();
            }
            _ => {}
        }
        Ok(())
    }

    async fn compare_and_set(&mut self, key: Key) -> Result<(), String> {
        // Half of them rely on what they heard before, which is often out of date.
        if self.random.one_in(2) || !self.known.contains_key(&key) {
            self.read(Ask::Get(key, None)).await?;
        }
        let Some(known) = self.known.get(&key).copied() else {
            return Ok(());
        };
        let step = if known > 0 && self.random.one_in(4) {
            Step::Delete(key)
        } else {
            self.put(key)
        };
        self.write(Some((key, known)), vec![step]).await
    }

    /// Two keys in one transaction.
    async fn pair(&mut self, key: Key) -> Result<(), String> {
        let other = (key + 1) % KEYS;
        let guard = self.known.get(&key).map(|known| (key, *known));
        let first = self.put(key);
        let second = if self.random.one_in(4) {
            Step::Delete(other)
        } else {
            self.put(other)
        };
        self.write(guard, vec![first, second]).await
    }

    async fn write(&mut self, guard: Option<(Key, u64)>, steps: Vec<Step>) -> Result<(), String> {
        self.count += 1;
        let id = format!(
            "{}c{}-{}",
            self.caller.names.prefix, self.number, self.count
        );
        let write = Write { id, guard, steps };
        let ask = Ask::Write(write.clone());
        let turns = Patience::Turns(1 + self.random.below(TURNS));
        let mut told = match self.random.below(8) {
            // Somebody who repeats himself before he has an answer.
            0 => {
                let mut twin = self.caller.clone();
                let whole = Patience::Whole;
                let (one, other) =
                    tokio::join!(self.caller.call(&ask, whole), twin.call(&ask, whole));
                match (one?, other?) {
                    (Some(Told::Refused), Some(told)) => Some(told),
                    (one, other) => one.or(other),
                }
            }
            1 | 2 => self.caller.call(&ask, turns).await?,
            _ => self.caller.call(&ask, Patience::Whole).await?,
        };
        if told.is_none() && self.random.one_in(2) {
            told = self.caller.call(&ask, Patience::Whole).await?;
        }
        match told {
            Some(Told::Committed(revision)) => {
                self.saw(revision);
                for step in &write.steps {
                    match step {
                        Step::Put(key, _) => self.known.insert(*key, revision),
                        Step::Delete(key) => self.known.insert(*key, 0),
                    };
                }
            }
            // It was wrong about something.
            Some(_) => self.known.clear(),
            None => self.caller.notes.open().open.push(write),
        }
        Ok(())
    }

    fn saw(&mut self, revision: u64) {
        self.newest = self.newest.max(revision);
    }
}
