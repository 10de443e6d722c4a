//! Events in the database, with those of all other servers.
//!
//! An append is a transaction that locks the row of the log's ends first, and so waits for all others; what it then finds of
//! its keys is all there is, its places follow on the last one, and nobody sees a later place before an earlier one. The time of
//! an event is the database's, like every judgement of silence: no two clocks are compared.
//!
//! A transaction runs in a task of its own, so that it ends also when nobody waits for it. One that finds no end in
//! [`PATIENCE`] is given up with its connection; what became of it nobody knows then, and the same ids may be sent again.

use std::collections::HashMap;
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;

use super::super::decide::{Decided, Known, decide};
use super::super::error::{EventError, GroupError};
use super::super::event::{Prepared, decode};
use super::super::groups::{Durable, Edit, Group, Letter, SILENCE, most_beside, too_many};
use super::{Bounds, Read, Weighed, Written};
use crate::storage::Fault;
use kg_core::limits::DEAD_LETTERS;

/// How long a question or a transaction may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes after which a read ends.
const READ_BYTES: usize = 2 * 1024 * 1024;

/// Events that one trim removes.
const TRIMMED: u64 = 20_000;

/// Events in a database. Clones are further handles of the same ones.
#[derive(Clone)]
pub(in super::super) struct PostgresStore(PgPool);

impl PostgresStore {
    pub(super) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    pub(super) async fn bounds(&self) -> Result<Bounds, EventError> {
        self.carry_out(|c| Box::pin(async move { Ok(ends(c, Lock::No).await?.0) }))
            .await
    }

    pub(super) async fn append(&self, batches: Vec<Vec<Prepared>>) -> Result<Written, EventError> {
        self.carry_out(|c| Box::pin(append(c, batches))).await
    }

    pub(super) async fn trim(&self, below: u64) -> Result<bool, EventError> {
        self.carry_out(move |c| Box::pin(trim(c, below))).await
    }

    pub(super) async fn read(&self, from: u64, limit: usize) -> Result<Read, EventError> {
        self.carry_out(move |c| {
            Box::pin(async move {
                let events = read(c, from, limit).await?;
                // Afterwards: what was trimmed away before it was read is known to be.
                let bounds = ends(c, Lock::No).await?.0;
                Ok(Read { events, bounds })
            })
        })
        .await
    }

    pub(super) async fn at_time(&self, ms: u64) -> Result<Option<u64>, EventError> {
        self.carry_out(move |c| {
            Box::pin(async move {
                let sql = "SELECT place FROM amadeus_event_log WHERE appended_ms >= $1 \
                    ORDER BY appended_ms, place LIMIT 1";
                let found: Option<i64> = sqlx::query_scalar(sql)
                    .bind(signed(ms))
                    .fetch_optional(c)
                    .await?;
                Ok(found.map(i64::cast_unsigned))
            })
        })
        .await
    }

    pub(in super::super) async fn change_group<T: Send + 'static>(
        &self,
        name: &str,
        durable: Durable,
        work: impl FnOnce(&mut Edit) -> Result<T, GroupError> + Send + 'static,
    ) -> Result<(T, Group), GroupError> {
        let name = name.to_owned();
        let changed = self
            .carry_out(move |c| Box::pin(change_group(c, name, durable, work)))
            .await;
        changed?
    }

    pub(in super::super) async fn create_group(&self, group: Group) -> Result<Group, GroupError> {
        let name = group.name.clone();
        let created = self.carry_out(move |c| {
            Box::pin(async move {
                let sql = "INSERT INTO amadeus_event_groups SELECT $1, $2, clock_timestamp() \
                    WHERE (SELECT count(*) FROM amadeus_event_groups) < $3 ON CONFLICT (name) DO NOTHING";
                sqlx::query(sql)
                    .bind(&group.name)
                    .bind(prost::Message::encode_to_vec(&group))
                    .bind(i64::try_from(most_beside(&group.name)).unwrap_or(i64::MAX))
                    .execute(c)
                    .await?;
                Ok(())
            })
        });
        created.await?;
        self.group(&name).await?.ok_or_else(too_many)
    }

    pub(in super::super) async fn group(&self, name: &str) -> Result<Option<Group>, EventError> {
        let name = name.to_owned();
        self.carry_out(move |c| {
            Box::pin(async move {
                let sql = "SELECT body FROM amadeus_event_groups WHERE name = $1";
                let row = sqlx::query(sql).bind(name).fetch_optional(c).await?;
                row.as_ref().map(|row| group_of(row, 0)).transpose()
            })
        })
        .await
    }

    pub(in super::super) async fn groups(&self) -> Result<Vec<Group>, EventError> {
        self.carry_out(|c| {
            Box::pin(async move {
                let sql = "SELECT body FROM amadeus_event_groups ORDER BY name";
                let rows = sqlx::query(sql).fetch_all(c).await?;
                rows.iter().map(|row| group_of(row, 0)).collect()
            })
        })
        .await
    }

    pub(in super::super) async fn delete_group(&self, name: &str) -> Result<(), GroupError> {
        let of = name.to_owned();
        let gone = self.carry_out(move |c| {
            Box::pin(async move {
                let mut tx = c.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
                let gone = sqlx::query("DELETE FROM amadeus_event_groups WHERE name = $1")
                    .bind(&of)
                    .execute(&mut *tx)
                    .await?;
                sqlx::query("DELETE FROM amadeus_event_letters WHERE name = $1")
                    .bind(&of)
                    .execute(&mut *tx)
                    .await?;
                tx.commit().await?;
                Ok(gone.rows_affected() > 0)
            })
        });
        match gone.await? {
            true => Ok(()),
            false => Err(GroupError::NotFound(name.to_owned())),
        }
    }

    pub(super) async fn letters(
        &self,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Letter>, EventError> {
        let name = name.to_owned();
        self.carry_out(move |c| {
            Box::pin(async move {
                let sql = "SELECT place, body FROM amadeus_event_letters \
                    WHERE name = $1 AND place > $2 ORDER BY place LIMIT $3";
                let rows = sqlx::query(sql)
                    .bind(name)
                    .bind(signed(after))
                    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                    .fetch_all(c)
                    .await?;
                let letter = |row: &PgRow| {
                    let place: i64 = row.try_get(0)?;
                    Letter::decode(place.cast_unsigned(), row.try_get(1)?).map_err(wrong)
                };
                rows.iter().map(letter).collect()
            })
        })
        .await
    }

    pub(super) async fn close(&self) {
        let _ = timeout(PATIENCE, self.0.close()).await;
    }

    /// Does something by a connection, in a task of its own.
    async fn carry_out<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PgConnection) -> BoxFuture<'_, Result<T, sqlx::Error>> + Send + 'static,
    ) -> Result<T, EventError> {
        let pool = self.0.clone();
        let working = tokio::spawn(async move {
            let mut connection = pool.acquire().await.map_err(|e| Fault::of(&e))?;
            let done = timeout(PATIENCE, work(&mut connection)).await;
            match done {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error)) => {
                    // The pool would wait for the end of what may be amid something.
                    drop(connection.detach());
                    Err(Fault::of(&error).into())
                }
                Err(_) => {
                    drop(connection.detach());
                    let seconds = PATIENCE.as_secs();
                    Err(EventError::Unavailable(format!("no answer in {seconds} s")))
                }
            }
        });
        let ended = |error| EventError::Unavailable(format!("it ended half-way: {error}"));
        working.await.unwrap_or_else(|error| Err(ended(error)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    No,
    Yes,
}

/// The ends of the log, and when the last event was appended or what time it is, whichever is later.
async fn ends(c: &mut PgConnection, lock: Lock) -> Result<(Bounds, u64), sqlx::Error> {
    let sql = match lock {
        Lock::No => "SELECT oldest, next, bytes, appended_ms, 0::bigint FROM amadeus_event_head",
        Lock::Yes => {
            "SELECT oldest, next, bytes, appended_ms, \
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM amadeus_event_head FOR UPDATE"
        }
    };
    let row = sqlx::query(sql).fetch_one(c).await?;
    let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let bounds = Bounds {
        oldest: number(0)?,
        next: number(1)?,
        bytes: number(2)?,
    };
    Ok((bounds, number(3)?.max(number(4)?)))
}

async fn append(c: &mut PgConnection, batches: Vec<Vec<Prepared>>) -> Result<Written, sqlx::Error> {
    // Each statement must see what was committed before it began, whatever the database has for its default.
    let mut tx = c.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let (bounds, appended_ms) = ends(&mut tx, Lock::Yes).await?;
    let keys: Vec<i64> = batches
        .iter()
        .flatten()
        .map(|e| e.key.cast_signed())
        .collect();
    let sql = "SELECT key, place, content FROM amadeus_event_log WHERE key = ANY ($1)";
    let rows = sqlx::query(sql).bind(keys).fetch_all(&mut *tx).await?;
    let known = |row: &PgRow| {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let (offset, content) = (number(1)?, number(2)?);
        Ok((number(0)?, Known { offset, content }))
    };
    let known: HashMap<u64, Known> = rows.iter().map(known).collect::<Result<_, sqlx::Error>>()?;
    let Decided { answers, fresh } = decide(batches, bounds.next, &known);
    if fresh.is_empty() {
        tx.rollback().await?;
        return Ok(Written {
            answers,
            events: Vec::new(),
        });
    }
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    let mut events = Vec::with_capacity(fresh.len());
    let mut bytes = 0;
    for (place, event) in (bounds.next..).zip(fresh) {
        columns.0.push(event.key.cast_signed());
        columns.1.push(event.content.cast_signed());
        bytes += event.body.len();
        let length = event.body.len();
        let mut event = event;
        columns.2.push(std::mem::take(&mut event.body));
        events.push((event.at(place, appended_ms), length));
    }
    let sql = "WITH moved AS ( \
            UPDATE amadeus_event_head SET next = next + $5, bytes = bytes + $6, appended_ms = $4 \
        ) \
        INSERT INTO amadeus_event_log (place, appended_ms, key, content, body) \
        SELECT $7 + new.at, $4, new.key, new.content, new.body \
        FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS new (key, content, body, at)";
    sqlx::query(sql)
        .bind(columns.0)
        .bind(columns.1)
        .bind(columns.2)
        .bind(signed(appended_ms))
        .bind(events.len() as i64)
        .bind(bytes as i64)
        .bind(signed(bounds.next) - 1)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Written { answers, events })
}

/// Removes some events before a place, but the last of the log: a log of which nothing is left would look like a new one.
async fn trim(c: &mut PgConnection, below: u64) -> Result<bool, sqlx::Error> {
    let mut tx = c.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let (bounds, _) = ends(&mut tx, Lock::Yes).await?;
    let goal = below.min(bounds.next.saturating_sub(1));
    let upto = goal.min(bounds.oldest + TRIMMED);
    if upto <= bounds.oldest {
        tx.rollback().await?;
        return Ok(false);
    }
    let sql = "WITH gone AS (DELETE FROM amadeus_event_log WHERE place < $1 RETURNING length(body) AS bytes) \
        UPDATE amadeus_event_head SET oldest = $1, \
        bytes = bytes - coalesce((SELECT sum(bytes) FROM gone), 0)";
    sqlx::query(sql)
        .bind(signed(upto))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(upto < goal)
}

async fn read(c: &mut PgConnection, from: u64, limit: usize) -> Result<Vec<Weighed>, sqlx::Error> {
    let sql = "SELECT place, appended_ms, body FROM amadeus_event_log WHERE place >= $1 ORDER BY place LIMIT $2";
    let mut rows = sqlx::query(sql)
        .bind(signed(from))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch(c);
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < READ_BYTES
        && let Some(row) = rows.try_next().await?
    {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let body: &[u8] = row.try_get(2)?;
        let event = decode(number(0)?, number(1)?, body).map_err(wrong)?;
        bytes += body.len();
        found.push((std::sync::Arc::new(event), body.len()));
    }
    Ok(found)
}

async fn change_group<T>(
    c: &mut PgConnection,
    name: String,
    durable: Durable,
    work: impl FnOnce(&mut Edit) -> Result<T, GroupError>,
) -> Result<Result<(T, Group), GroupError>, sqlx::Error> {
    let mut tx = c.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    if durable == Durable::Soon {
        sqlx::query("SET LOCAL synchronous_commit = off")
            .execute(&mut *tx)
            .await?;
    }
    let sql = "SELECT body, alive < clock_timestamp() - make_interval(secs => $2) \
        FROM amadeus_event_groups WHERE name = $1 FOR UPDATE";
    let row = sqlx::query(sql)
        .bind(&name)
        .bind(SILENCE.as_secs_f64())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else {
        tx.rollback().await?;
        return Ok(Err(GroupError::NotFound(name)));
    };
    let before = group_of(&row, 0)?;
    let mut edit = Edit {
        group: before.clone(),
        silent: row.try_get(1)?,
        alive: false,
        letter: None,
    };
    let done = match work(&mut edit) {
        Ok(done) => done,
        Err(refused) => {
            tx.rollback().await?;
            return Ok(Err(refused));
        }
    };
    if edit.group != before || edit.alive {
        if edit.group != before {
            edit.group.version += 1;
        }
        let sql = "UPDATE amadeus_event_groups SET body = $2, \
            alive = CASE WHEN $3 THEN clock_timestamp() ELSE alive END WHERE name = $1";
        sqlx::query(sql)
            .bind(&name)
            .bind(prost::Message::encode_to_vec(&edit.group))
            .bind(edit.alive)
            .execute(&mut *tx)
            .await?;
    }
    if let Some(letter) = edit.letter {
        let sql = "INSERT INTO amadeus_event_letters VALUES ($1, $2, $3) \
            ON CONFLICT (name, place) DO UPDATE SET body = excluded.body";
        sqlx::query(sql)
            .bind(&name)
            .bind(signed(letter.event.offset))
            .bind(letter.encode())
            .execute(&mut *tx)
            .await?;
        let sql = "DELETE FROM amadeus_event_letters WHERE name = $1 AND place <= (SELECT place \
            FROM amadeus_event_letters WHERE name = $1 ORDER BY place DESC LIMIT 1 OFFSET $2)";
        sqlx::query(sql)
            .bind(&name)
            .bind(DEAD_LETTERS as i64)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(Ok((done, edit.group)))
}

fn group_of(row: &PgRow, column: usize) -> Result<Group, sqlx::Error> {
    let body: &[u8] = row.try_get(column)?;
    let group = prost::Message::decode(body);
    group.map_err(|e: prost::DecodeError| wrong(format!("a group: {e}")))
}

/// A number beyond what the database can hold is as good as the greatest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn wrong(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
