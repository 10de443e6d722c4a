//! A group in PostgreSQL: the same few statements, with a list for each column.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;

use super::ask::{PATIENCE, answer};
use super::commit::{Done, Group, Lines, Written, found, judged, moved};
use super::statistics::{Ended, counted};
use super::{Begun, NewRun, RunKey, RunRowsError, Statistics, row};
use crate::storage::{ServerId, plain};

pub(super) async fn commit(pool: &PgPool, group: &Group) -> Result<Done, RunRowsError> {
    let mut connection = pool.acquire().await?;
    let done = timeout(PATIENCE, transaction(&mut connection, group)).await;
    answer(connection, done)
}

async fn transaction(connection: &mut PgConnection, group: &Group) -> Result<Done, sqlx::Error> {
    // Each statement must see what was committed before it began, whatever the database has for its default.
    let mut tx = connection
        .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
        .await?;
    let (begun, new) = begin(&mut tx, &group.new).await?;
    let (written, ended) = append(&mut tx, group).await?;
    for (pattern, of) in counted(new.into_iter(), &ended) {
        count(&mut tx, pattern, of).await?;
    }
    if !group.told.is_empty() {
        let told: Vec<i64> = group.told.iter().map(|run| run.0.cast_signed()).collect();
        sqlx::query("UPDATE amadeus_runs SET told = 1 WHERE run = ANY ($1)")
            .bind(told)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(Done { begun, written })
}

/// Puts new runs, and finds those that were there. Returns also those that were not.
async fn begin<'a>(
    tx: &mut PgConnection,
    group: &'a [(NewRun, ServerId)],
) -> Result<(Vec<Begun>, Vec<&'a NewRun>), sqlx::Error> {
    let (mut begun, mut new) = (Vec::with_capacity(group.len()), Vec::new());
    if group.is_empty() {
        return Ok((begun, new));
    }
    let sql = "INSERT INTO amadeus_runs (id, request, body, pattern, actor, begun_by, correlation, parent, about, owner, epoch, \
            state, last_seq, steps_done, code, message, created_ms, told) \
        SELECT n.id, n.request, n.body, n.pattern, n.actor, n.begun_by, n.correlation, n.parent, n.about, n.owner, \
            1, 1, 0, 0, '', '', n.created_ms, 0 \
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
            $9::bytea[], $10::bigint[], $11::bigint[]) WITH ORDINALITY \
            AS n (id, request, body, pattern, actor, begun_by, correlation, parent, about, owner, created_ms, place) \
        ORDER BY n.place ON CONFLICT DO NOTHING RETURNING id, run";
    let texts =
        |of: fn(&NewRun) -> String| group.iter().map(|(new, _)| of(new)).collect::<Vec<_>>();
    let numbers = |of: fn(&NewRun) -> i64| group.iter().map(|(new, _)| of(new)).collect::<Vec<_>>();
    let requests: Vec<Option<String>> = group
        .iter()
        .map(|(new, _)| new.request.as_deref().map(plain))
        .collect();
    let rests: Vec<Vec<u8>> = group.iter().map(|(new, _)| row::rest(&new.about)).collect();
    let owners: Vec<i64> = group.iter().map(|(_, me)| me.0.cast_signed()).collect();
    let rows = sqlx::query(sql)
        .bind(texts(|new| new.id.to_string()))
        .bind(requests)
        .bind(numbers(|new| new.body.cast_signed()))
        .bind(texts(|new| new.about.pattern.to_string()))
        .bind(texts(|new| plain(&new.about.actor)))
        .bind(texts(|new| new.about.begun_by().to_owned()))
        .bind(texts(|new| plain(&new.about.correlation)))
        .bind(texts(|new| new.about.parent.to_string()))
        .bind(rests)
        .bind(owners)
        .bind(numbers(|new| new.about.created_ms.cast_signed()))
        .fetch_all(&mut *tx)
        .await?;
    let mut keys = HashMap::<String, i64>::new();
    for row in &rows {
        keys.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let (mut runs, mut inputs, mut definitions) = (Vec::new(), Vec::new(), Vec::new());
    for (one, _) in group {
        // Two of one id: the first is new, the second finds it.
        match keys.remove(&*one.id.0) {
            Some(key) => {
                runs.push(key);
                inputs.push(&*one.inputs);
                definitions.push(&*one.definition);
                begun.push(Begun::New(RunKey(key.cast_unsigned())));
                new.push(one);
            }
            None => begun.push(known(tx, one).await?),
        }
    }
    sqlx::query("INSERT INTO amadeus_run_plans SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])")
        .bind(runs)
        .bind(inputs)
        .bind(definitions)
        .execute(&mut *tx)
        .await?;
    Ok((begun, new))
}

async fn known(tx: &mut PgConnection, new: &NewRun) -> Result<Begun, sqlx::Error> {
    let sql = "SELECT run, id, body FROM amadeus_runs WHERE id = $1 OR request = $2 ORDER BY id = $1 DESC LIMIT 1";
    let row = sqlx::query_as(sql)
        .bind(&*new.id.0)
        .bind(new.request.as_deref().map(plain))
        .fetch_one(tx)
        .await?;
    Ok(found(new, row))
}

/// Moves the rows of runs on whose epoch is the writer's, and puts their lines.
async fn append(
    tx: &mut PgConnection,
    group: &Group,
) -> Result<(HashMap<RunKey, Written>, Vec<Ended>), sqlx::Error> {
    if group.lines.is_empty() {
        return Ok((HashMap::new(), Vec::new()));
    }
    let numbers = |of: fn(&Lines) -> i64| group.lines.iter().map(of).collect::<Vec<_>>();
    let texts = |of: fn(&Lines) -> String| group.lines.iter().map(of).collect::<Vec<_>>();
    let ends: Vec<Option<i64>> = group
        .lines
        .iter()
        .map(|l| l.now.ended_ms.map(u64::cast_signed))
        .collect();
    let bodies: Vec<&[u8]> = group.lines.iter().map(|lines| &*lines.body).collect();
    let sql = "WITH new AS ( \
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
                $7::text[], $8::text[], $9::bigint[], $10::bytea[]) \
                AS n (run, epoch, first, last, state, done, code, message, ended_ms, body) \
        ), moved AS ( \
            UPDATE amadeus_runs r SET last_seq = new.last, state = new.state, steps_done = new.done, code = new.code, \
                message = new.message, ended_ms = new.ended_ms FROM new \
            WHERE r.run = new.run AND r.epoch = new.epoch AND r.last_seq = new.first - 1 AND r.ended_ms IS NULL \
            RETURNING r.run, r.pattern, r.state, r.created_ms, r.ended_ms \
        ), put AS ( \
            INSERT INTO amadeus_run_lines SELECT new.run, new.first, new.body FROM new JOIN moved USING (run) \
        ) SELECT run, pattern, created_ms, ended_ms FROM moved";
    let rows = sqlx::query_as(sql)
        .bind(numbers(|lines| lines.run.0.cast_signed()))
        .bind(numbers(|lines| lines.epoch.into()))
        .bind(numbers(|lines| lines.first.into()))
        .bind(numbers(|lines| lines.last.into()))
        .bind(numbers(|lines| row::number(lines.now.state).cast_signed()))
        .bind(numbers(|lines| lines.now.steps_done.into()))
        .bind(texts(|lines| plain(&lines.now.code)))
        .bind(texts(|lines| plain(&lines.now.message)))
        .bind(ends)
        .bind(bodies)
        .fetch_all(&mut *tx)
        .await?;
    let (mut written, ended) = moved(group, rows);
    for lines in &group.lines {
        if !written.contains_key(&lines.run) {
            let found = sqlx::query_as("SELECT epoch, last_seq FROM amadeus_runs WHERE run = $1")
                .bind(lines.run.0.cast_signed())
                .fetch_optional(&mut *tx)
                .await?;
            written.extend(judged(lines, found).map(|judged| (lines.run, judged)));
        }
    }
    Ok((written, ended))
}

async fn count(tx: &mut PgConnection, pattern: String, of: Statistics) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO amadeus_run_statistics AS s VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
        ON CONFLICT (pattern) DO UPDATE SET usage = s.usage + excluded.usage, succeeded = s.succeeded + excluded.succeeded, \
        failed = s.failed + excluded.failed, cancelled = s.cancelled + excluded.cancelled, \
        total_ms = s.total_ms + excluded.total_ms, min_ms = least(s.min_ms, excluded.min_ms), \
        max_ms = greatest(s.max_ms, excluded.max_ms), last_ms = greatest(s.last_ms, excluded.last_ms)";
    let numbers = [
        of.usage,
        of.succeeded,
        of.failed,
        of.cancelled,
        of.total_ms,
        of.min_ms,
        of.max_ms,
        of.last_ms,
    ];
    let query = sqlx::query(sql).bind(pattern);
    let query = numbers
        .into_iter()
        .fold(query, |query, n| query.bind(n.cast_signed()));
    query.execute(tx).await.map(drop)
}
