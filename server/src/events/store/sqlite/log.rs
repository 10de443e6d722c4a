//! The rows of the log itself: chunks of events.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::super::chunk::{self, Chunk};
use super::super::{Bounds, Weighed};
use super::{Remembered, signed, wrong};
use crate::events::decide::Known;
use crate::events::error::EventError;

/// Chunks and bytes of one statement; SQLite takes 32,766 parameters, and each chunk has six.
const CHUNKS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Chunks that one trim removes.
const TRIMMED: i64 = 64;

/// Bytes after which a read ends.
const READ_BYTES: usize = 2 * 1024 * 1024;

/// Reads what is remembered, and where the log ends.
pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> Result<(Remembered, Bounds), EventError> {
    let mut remembered = Remembered::default();
    let mut bounds = Bounds {
        oldest: 1,
        next: 1,
        bytes: 0,
    };
    let broken = |error: sqlx::Error| EventError::Broken(error.to_string());
    let sql = "SELECT first, count, appended_ms, marks, length(body) FROM chunks ORDER BY first";
    let mut rows = sqlx::query(sql).fetch(connection);
    let mut is_first = true;
    while let Some(row) = rows.try_next().await.map_err(broken)? {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let first = number(0).map_err(broken)?;
        let (count, appended_ms) = (number(1).map_err(broken)?, number(2).map_err(broken)?);
        if std::mem::take(&mut is_first) {
            (bounds.oldest, bounds.next) = (first, first);
        }
        if first != bounds.next {
            return Err(EventError::Broken(format!(
                "the events from {} to {first} are missing",
                bounds.next
            )));
        }
        let marks: &[u8] = row.try_get(3).map_err(broken)?;
        let marks = chunk::marks(first, marks).map_err(EventError::Broken)?;
        if marks.len() as u64 != count {
            return Err(EventError::Broken(format!(
                "the events from {first} on are {count}, and {} are remembered",
                marks.len()
            )));
        }
        let places = marks.into_iter().map(|(key, _)| key).zip(first..);
        remembered.places.extend(places);
        remembered.appended_ms = appended_ms;
        bounds.next = first + count;
        bounds.bytes += number(4).map_err(broken)?.saturating_sub(4 * count);
    }
    Ok((remembered, bounds))
}

/// What the events at these places say, by their keys.
pub(super) async fn contents(
    connection: &mut SqliteConnection,
    mut places: Vec<u64>,
) -> Result<HashMap<u64, Known>, sqlx::Error> {
    places.sort_unstable();
    let mut known = HashMap::new();
    let mut behind = 0;
    for place in places {
        if place < behind {
            continue;
        }
        let sql = "SELECT first, marks FROM chunks WHERE first <= ? ORDER BY first DESC LIMIT 1";
        let row = sqlx::query(sql)
            .bind(signed(place))
            .fetch_one(&mut *connection)
            .await?;
        let first = row.try_get::<i64, _>(0)?.cast_unsigned();
        let marks = chunk::marks(first, row.try_get(1)?).map_err(wrong)?;
        behind = first + marks.len() as u64;
        known.extend(
            (first..)
                .zip(marks)
                .map(|(offset, (key, content))| (key, Known { offset, content })),
        );
    }
    Ok(known)
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    chunks: Vec<Chunk>,
    appended_ms: u64,
) -> Result<(), sqlx::Error> {
    let mut chunks = chunks.into_iter().peekable();
    while chunks.peek().is_some() {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < CHUNKS_AT_ONCE
            && let Some(next) =
                chunks.next_if(|c| rows.is_empty() || bytes + c.body.len() <= BYTES_AT_ONCE)
        {
            bytes += next.body.len();
            rows.push(next);
        }
        // Batches of one chunk are many and alike; keeping the statement of every other length would only push that one out.
        let keep = rows.len() == 1;
        let mut statement = QueryBuilder::<Sqlite>::new(
            "INSERT INTO chunks (first, count, appended_ms, sum, marks, body) ",
        );
        statement.push_values(rows, |mut row, chunk| {
            row.push_bind(signed(chunk.first))
                .push_bind(chunk.count as i64)
                .push_bind(signed(appended_ms))
                .push_bind(i64::from(chunk.sum))
                .push_bind(chunk.marks)
                .push_bind(chunk.body);
        });
        statement
            .build()
            .persistent(keep)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What a trim removed.
pub(super) struct Gone {
    pub(super) keys: Vec<(u64, u64)>,
    pub(super) bytes: u64,
    pub(super) oldest: u64,
}

/// Removes chunks that are wholly before a place, but the last of the log: by it its end is known.
pub(super) async fn trim(
    connection: &mut SqliteConnection,
    below: u64,
) -> Result<Option<Gone>, sqlx::Error> {
    let sql = "SELECT first, count, marks, length(body) FROM chunks \
        WHERE first + count <= ?1 AND first < (SELECT max(first) FROM chunks) ORDER BY first LIMIT ?2";
    let rows = sqlx::query(sql)
        .bind(signed(below))
        .bind(TRIMMED)
        .fetch_all(&mut *connection)
        .await?;
    let mut gone = Gone {
        keys: Vec::new(),
        bytes: 0,
        oldest: 0,
    };
    for row in &rows {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let (first, count) = (number(0)?, number(1)?);
        let marks = chunk::marks(first, row.try_get(2)?).map_err(wrong)?;
        gone.keys
            .extend(marks.into_iter().map(|(key, _)| key).zip(first..));
        gone.bytes += number(3)?.saturating_sub(4 * count);
        gone.oldest = first + count;
    }
    if rows.is_empty() {
        return Ok(None);
    }
    sqlx::query("DELETE FROM chunks WHERE first < ?")
        .bind(signed(gone.oldest))
        .execute(connection)
        .await?;
    Ok(Some(gone))
}

pub(super) async fn read(
    connection: &mut SqliteConnection,
    from: u64,
    limit: usize,
) -> Result<Vec<Weighed>, sqlx::Error> {
    let sql = "SELECT first, appended_ms, sum, body FROM chunks \
        WHERE first > ?1 AND first + count > ?2 ORDER BY first LIMIT ?3";
    let mut rows = sqlx::query(sql)
        .bind(signed(from) - chunk::EVENTS as i64)
        .bind(signed(from))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch(connection);
    let (mut found, mut bytes) = (Vec::new(), 0);
    while found.len() < limit
        && bytes < READ_BYTES
        && let Some(row) = rows.try_next().await?
    {
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let sum: u32 = row.try_get(2)?;
        let body: &[u8] = row.try_get(3)?;
        let at = (number(0)?, number(1)?);
        let events = chunk::events(at, sum, body, from, limit - found.len()).map_err(wrong)?;
        bytes += body.len();
        found.extend(events);
    }
    Ok(found)
}

/// The place of the first event that was appended at this time or later.
pub(super) async fn at_time(
    connection: &mut SqliteConnection,
    ms: u64,
) -> Result<Option<u64>, sqlx::Error> {
    let sql = "SELECT first FROM chunks WHERE appended_ms >= ? ORDER BY appended_ms, first LIMIT 1";
    let found: Option<i64> = sqlx::query_scalar(sql)
        .bind(signed(ms))
        .fetch_optional(connection)
        .await?;
    Ok(found.map(i64::cast_unsigned))
}
