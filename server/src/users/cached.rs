//! Copies of users in Redis, so that a read of one costs the database nothing. Nothing secret is in a copy.
//!
//! A copy is put there by a reader who found none (a miss, and its fill), and removed by whoever changes the user. No read
//! that begins after a change was acknowledged returns what was before it. That is to be shown for four cases.
//!
//! **The writer reaches Redis.** Before a reader asks the database it puts down a token of its own in Redis; its fill is one
//! step there that goes through only if that token still lies there. After its commit and before its acknowledgement a
//! writer removes copy and token in one step. Take any fill: if a change's removal was carried out before the token was put
//! down, then the change was committed before the reader asked, and is in what it fills. If it was carried out between
//! token and fill, the token is gone, and there is no fill. If it is carried out after the fill, it removes it. Removals may
//! come late, twice and in any order. A token that Redis dropped makes a fill fail and never go through. So it does not
//! matter how long a reader sits between its miss and its fill.
//!
//! **The writer does not reach Redis**, and others may. The database says in one row which Redis is the *home* of copies,
//! by the identity of its process, and a number, the *generation*, that grows whenever the home changes. Copies carry the
//! generation that stood in the database when they were read, from the same statement. A reader uses copies only if within
//! the last [`TRUST`] it asked the database, was told that the Redis it is connected to is the home, and the copy carries
//! the generation that it was told. The writer, who has locked that row, takes the home away, in its own transaction or, if
//! the removal fails, in one behind it, and waits for longer than [`TRUST`] before it acknowledges. By then no reader
//! trusts an older answer, and a copy of a later generation was read from the database after the change.
//!
//! **Redis is lost and comes back**, perhaps with copies from before: it is another process then, and not the home. It
//! becomes the home in two steps, each with a new generation and [`TRUST`] apart: first there is none, so that those who
//! trust the old one stop, then it is this one. A writer in between waits as above, for no home counts only once this
//! server has known it for that long. Two servers that were given two Redis, and one that was given none, are this case too.
//!
//! **Readers share.** Those of one server who miss the same user wait for one question to the database, but only for one
//! that was asked after they came: a question that was under way may have been answered before a change.
//!
//! Names lead to users by hints, which are not kept coherent: a hint is believed only if the user that it leads to, read as
//! above, has that name now.
//!
//! Time here is that of one machine's steady clock, and no two clocks are compared; what is waited is a fifth more than
//! what is trusted, so clocks may run apart by that much. A machine that is suspended as a whole for longer while a read is
//! under way may finish that read with an old copy.

mod flight;
mod line;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::error::UserError;
use super::names::{Username, fold};
use super::rows::{Row, Rows, Tx, Work, values};
use super::store::{USER_COLUMNS, select_users, user_of_row};
use super::user::User;
use crate::auth::UserId;
use crate::hints::AddressError;
use flight::Flights;
use line::{Line, Redis};

/// How long an answer of the database about the home is trusted.
pub(super) const TRUST: Duration = Duration::from_millis(500);

/// How long a writer waits until nobody trusts an answer from before.
pub(super) const WAIT: Duration = Duration::from_millis(600);

/// Pause before Redis is tried again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a server looks whether its Redis is the home, and there at all. Two servers with two Redis would otherwise take
/// it from each other without an end.
const LOOK: Duration = Duration::from_secs(2);

/// The way to the copies; without Redis there are none, and every read is one of the database.
#[derive(Clone)]
pub(super) struct Copies(Arc<Shared>);

struct Shared {
    store_id: Arc<str>,
    line: Mutex<Option<Arc<Line>>>,
    seen: Mutex<Option<Seen>>,
    flights: Flights,
    tending: Mutex<Option<JoinHandle<()>>>,
    /// Readers sit here between their miss and their fill.
    #[cfg(test)]
    sit: tests::Sit,
}

/// What the database says of the copies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Home {
    /// The Redis that holds them; empty for none.
    at: String,
    generation: u64,
}

/// What it was last heard to say.
#[derive(Clone, Debug)]
struct Seen {
    home: Home,
    /// When it was first heard to say so.
    since: Instant,
    /// When it was last asked and said so.
    asked: Instant,
}

/// What a writer owes to readers before it acknowledges.
pub(super) struct Owed {
    duty: Duty,
    home: Home,
    asked: Instant,
}

enum Duty {
    /// Nobody has copies.
    Nothing,
    /// Somebody may trust that there are some.
    Wait,
    /// They are where this leads.
    Remove(Arc<Line>),
}

impl Copies {
    pub(super) fn new(store_id: &Arc<str>) -> Self {
        Self(Arc::new(Shared {
            store_id: store_id.clone(),
            line: Mutex::default(),
            seen: Mutex::default(),
            flights: Flights::default(),
            tending: Mutex::default(),
            #[cfg(test)]
            sit: tests::Sit::default(),
        }))
    }

    /// The way of another server of the same store.
    #[cfg(test)]
    pub(super) fn another(&self) -> Self {
        Self::new(&self.0.store_id)
    }

    /// Keeps copies in a Redis from now on, whenever it is there.
    pub(super) fn start(&self, url: &str, rows: &Rows) -> Result<(), AddressError> {
        let redis = Redis::new(url, &self.0.store_id)?;
        let tending = tokio::spawn(self.clone().tend(redis, rows.clone()));
        if let Some(before) = lock(&self.0.tending).replace(tending) {
            before.abort();
        }
        Ok(())
    }

    pub(super) fn end(&self) {
        if let Some(tending) = lock(&self.0.tending).take() {
            tending.abort();
        }
        *lock(&self.0.line) = None;
    }

    /// Hears from the database how it stands, so that the first change has nothing to wait for.
    pub(super) async fn look(&self, rows: &Rows) -> Result<(), UserError> {
        self.ask_home(rows).await.map(drop)
    }

    /// A user, from a copy if there is one.
    pub(super) async fn user(&self, rows: &Rows, id: &UserId) -> Result<Option<User>, UserError> {
        let Some(line) = self.line() else {
            return self.ask(rows, id).await.map(|(user, _)| user);
        };
        if let Some(generation) = self.trusted(&line)
            && let Some(copy) = self.heard(&line, line.copy(id, generation).await)
        {
            #[cfg(test)]
            self.0.sit.count_served();
            return Ok(Some(copy));
        }
        self.0
            .flights
            .share(id, || self.fill(rows, id, &line))
            .await
    }

    /// A user by name in lower case.
    pub(super) async fn user_by_name(
        &self,
        rows: &Rows,
        folded: &str,
    ) -> Result<Option<User>, UserError> {
        if Username::parse("", folded).is_err() {
            return Ok(None);
        }
        let line = self.line();
        if let Some(line) = &line
            && self.trusted(line).is_some()
            && let Some(id) = self.heard(line, line.hint(folded).await)
            && let Some(user) = self.user(rows, &id).await?
            && fold(&user.username) == folded
        {
            return Ok(Some(user));
        }
        let sql = select_users!("FROM amadeus_users u WHERE u.folded = $1");
        let found = rows.read(sql, values![folded]).await?;
        let user = found.first().map(|row| user_of_row(row, 0)).transpose()?;
        if let (Some(line), Some(user)) = (&line, &user) {
            self.heard(line, line.put_hint(folded, &user.id).await.map(Some));
        }
        Ok(user)
    }

    /// Asks the database for a user who was not found in Redis, and puts a copy there if nobody has changed them meanwhile.
    async fn fill(
        &self,
        rows: &Rows,
        id: &UserId,
        line: &Arc<Line>,
    ) -> Result<Option<User>, UserError> {
        let token = self.heard(line, line.put_token(id).await);
        let (user, home) = self.ask(rows, id).await?;
        #[cfg(test)]
        self.0.sit.down().await;
        let Some(token) = token else {
            // Somebody else is about to fill, or Redis is away.
            return Ok(user);
        };
        let done = match &user {
            Some(user) if home.at == *line.home => {
                line.fill(id, &token, home.generation, user).await
            }
            Some(_) | None => line.take_token_back(id, &token).await,
        };
        self.heard(line, done.map(Some));
        Ok(user)
    }

    /// A user and the home, as of one moment.
    async fn ask(&self, rows: &Rows, id: &UserId) -> Result<(Option<User>, Home), UserError> {
        let sql = select_users!(
            ", s.home, s.generation FROM amadeus_user_state s LEFT JOIN amadeus_users u ON u.id = $1"
        );
        let asked = Instant::now();
        let found = rows.read(sql, values![&*id.0]).await?;
        let row = found.first().ok_or_else(no_state)?;
        let home = home(row, USER_COLUMNS)?;
        self.learn(&home, asked);
        let user = row
            .maybe_text(0)?
            .map(|_| user_of_row(row, 0))
            .transpose()?;
        Ok((user, home))
    }

    async fn ask_home(&self, rows: &Rows) -> Result<Home, UserError> {
        let asked = Instant::now();
        let found = rows
            .read(
                "SELECT home, generation FROM amadeus_user_state",
                Vec::new(),
            )
            .await?;
        let home = home(found.first().ok_or_else(no_state)?, 0)?;
        self.learn(&home, asked);
        Ok(home)
    }

    /// What the change in a transaction owes. Where the home cannot be told from here, the change takes it away.
    pub(super) async fn owed(&self, tx: &mut Tx) -> Result<Owed, UserError> {
        let asked = Instant::now();
        let state = tx.state()?;
        let mut home = Home {
            at: state.home.clone(),
            generation: state.generation,
        };
        let line = self.line().filter(|line| *line.home == home.at);
        let duty = match line {
            Some(line) => Duty::Remove(line),
            None if !home.at.is_empty() => {
                home = retire(tx, home.generation).await?;
                Duty::Wait
            }
            None if self.has_settled(&home) => Duty::Nothing,
            None => Duty::Wait,
        };
        Ok(Owed { duty, home, asked })
    }

    /// Does what a committed change owes. An error means that it may not be acknowledged.
    pub(super) async fn settle(
        &self,
        rows: &Rows,
        id: &UserId,
        owed: Owed,
    ) -> Result<(), UserError> {
        self.learn(&owed.home, owed.asked);
        match owed.duty {
            Duty::Nothing => Ok(()),
            Duty::Wait => {
                sleep(WAIT).await;
                Ok(())
            }
            Duty::Remove(line) => match line.remove(id).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    line.fail(&error);
                    self.retire(rows, &owed.home).await?;
                    sleep(WAIT).await;
                    Ok(())
                }
            },
        }
    }

    /// Takes the home away, unless it has changed by itself: what was read since then was read after the change.
    async fn retire(&self, rows: &Rows, known: &Home) -> Result<(), UserError> {
        let (asked, generation) = (Instant::now(), known.generation);
        let work: Work<Home> = Box::new(move |tx| {
            Box::pin(async move {
                let state = tx.state()?;
                if state.generation == generation {
                    return retire(tx, generation).await;
                }
                Ok(Home {
                    at: state.home.clone(),
                    generation: state.generation,
                })
            })
        });
        let home = rows.write(work).await?;
        self.learn(&home, asked);
        Ok(())
    }

    /// Keeps a connection to Redis, and makes it the home.
    async fn tend(self, redis: Redis, rows: Rows) {
        let mut pause = FIRST_PAUSE;
        loop {
            match redis.connect().await {
                Ok(line) => {
                    pause = FIRST_PAUSE;
                    let line = Arc::new(line);
                    *lock(&self.0.line) = Some(line.clone());
                    self.stay(&line, &rows).await;
                    *lock(&self.0.line) = None;
                }
                Err(error) => tracing::debug!(%error, "no copies of users are kept: Redis is away"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Looks after the home until the connection is lost.
    async fn stay(&self, line: &Arc<Line>, rows: &Rows) {
        loop {
            if let Err(error) = self.move_in(line, rows).await {
                tracing::debug!(%error, "no copies of users are kept: their rows cannot be reached");
            }
            let looked = tokio::select! {
                () = line.is_lost() => return,
                () = sleep(LOOK) => line.look().await,
            };
            if let Err(error) = looked {
                line.fail(&error);
            }
        }
    }

    /// Makes the Redis at the end of a line the home: there is none first, and then this one.
    async fn move_in(&self, line: &Arc<Line>, rows: &Rows) -> Result<(), UserError> {
        let home = self.ask_home(rows).await?;
        if home.at == *line.home {
            return Ok(());
        }
        if !home.at.is_empty() {
            self.retire(rows, &home).await?;
        }
        let Some(empty) = self.seen().filter(|seen| seen.home.at.is_empty()) else {
            return Ok(());
        };
        sleep_until(empty.since + WAIT).await;
        let (asked, at) = (Instant::now(), line.home.clone());
        let generation = empty.home.generation;
        let work: Work<Home> = Box::new(move |tx| {
            Box::pin(async move {
                let state = tx.state()?;
                if state.generation != generation {
                    return Ok(Home {
                        at: state.home.clone(),
                        generation: state.generation,
                    });
                }
                set_home(tx, &at, generation + 1).await
            })
        });
        let home = rows.write(work).await?;
        self.learn(&home, asked);
        Ok(())
    }

    fn line(&self) -> Option<Arc<Line>> {
        lock(&self.0.line).clone().filter(|line| !line.has_failed())
    }

    fn seen(&self) -> Option<Seen> {
        lock(&self.0.seen).clone()
    }

    /// The generation of copies at the end of a line that may be used now.
    fn trusted(&self, line: &Line) -> Option<u64> {
        let seen = self.seen()?;
        let is_trusted = seen.home.at == *line.home && seen.asked.elapsed() < TRUST;
        is_trusted.then_some(seen.home.generation)
    }

    /// Whether there has been no home for so long that nobody trusts the one before.
    fn has_settled(&self, home: &Home) -> bool {
        let seen = self.seen().filter(|seen| seen.home == *home);
        seen.is_some_and(|seen| seen.since.elapsed() >= WAIT)
    }

    /// Takes in what the database said. Answers may come in another order than they were given.
    fn learn(&self, home: &Home, asked: Instant) {
        let mut seen = lock(&self.0.seen);
        match &mut *seen {
            Some(seen) if seen.home.generation > home.generation => {}
            Some(seen) if seen.home.generation == home.generation => {
                seen.asked = seen.asked.max(asked)
            }
            Some(_) | None => {
                *seen = Some(Seen {
                    home: home.clone(),
                    since: Instant::now(),
                    asked,
                });
            }
        }
    }

    /// What Redis answered; without an answer its line is given up.
    fn heard<T>(&self, line: &Line, answer: Result<Option<T>, redis::RedisError>) -> Option<T> {
        answer.unwrap_or_else(|error| {
            line.fail(&error);
            None
        })
    }
}

async fn retire(tx: &mut Tx, generation: u64) -> Result<Home, UserError> {
    set_home(tx, "", generation + 1).await
}

async fn set_home(tx: &mut Tx, at: &str, generation: u64) -> Result<Home, UserError> {
    let sql = "UPDATE amadeus_user_state SET home = $1, generation = $2";
    tx.run(sql, values![at, generation]).await?;
    Ok(Home {
        at: at.to_owned(),
        generation,
    })
}

fn home(row: &Row, first: usize) -> Result<Home, UserError> {
    Ok(Home {
        at: row.text(first)?,
        generation: row.number(first + 1)?,
    })
}

fn no_state() -> UserError {
    UserError::Broken("the row of their state is gone".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
