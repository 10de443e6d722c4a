//! A group in SQLite: a few statements of many rows each, and one sync.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use tokio::sync::Mutex;

use super::commit::{Done, Group, Written, found, judged, moved};
use super::statistics::{Ended, counted};
use super::{Begun, NewRun, RunKey, RunRowsError, Statistics, row};
use crate::storage::{ServerId, plain};

/// Runs of which one statement asks, and puts: SQLite takes 32,766 values.
const ROWS_AT_ONCE: usize = 1_024;

pub(super) async fn commit(
    connection: &Mutex<Result<SqliteConnection, String>>,
    group: &Group,
) -> Result<Done, RunRowsError> {
    let mut connection = connection.lock().await;
    let open = connection.as_mut();
    let open = open.map_err(|why| RunRowsError::Broken(why.clone()))?;
    let done = transaction(open, group).await.map_err(RunRowsError::from);
    match done {
        Ok(done) => Ok(done),
        Err(error) => {
            let _ = run(open, "ROLLBACK").await;
            if let RunRowsError::Broken(why) = &error {
                // Nobody can say what is on the disk, so nothing more is written.
                *connection = Err(why.clone());
            }
            Err(error)
        }
    }
}

async fn transaction(
    connection: &mut SqliteConnection,
    group: &Group,
) -> Result<Done, sqlx::Error> {
    run(connection, "BEGIN IMMEDIATE").await?;
    let (begun, new) = begin(connection, &group.new).await?;
    let (written, ended) = append(connection, group).await?;
    let counted = counted(new.into_iter(), &ended);
    if !counted.is_empty() {
        count(connection, counted).await?;
    }
    for told in group.told.chunks(ROWS_AT_ONCE) {
        let mut sql =
            QueryBuilder::<Sqlite>::new("UPDATE amadeus_runs SET told = 1 WHERE run IN (");
        let mut keys = sql.separated(", ");
        for run in told {
            keys.push_bind(run.0.cast_signed());
        }
        sql.push(")");
        sql.build()
            .persistent(told.len() == 1)
            .execute(&mut *connection)
            .await?;
    }
    run(connection, "COMMIT").await?;
    Ok(Done { begun, written })
}

/// Puts new runs, and finds those that were there. Returns also those that were not.
async fn begin<'a>(
    connection: &mut SqliteConnection,
    group: &'a [(NewRun, ServerId)],
) -> Result<(Vec<Begun>, Vec<&'a NewRun>), sqlx::Error> {
    let (mut begun, mut new) = (Vec::with_capacity(group.len()), Vec::new());
    if group.is_empty() {
        return Ok((begun, new));
    }
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO amadeus_runs (id, request, body, pattern, actor, begun_by, correlation, parent, about, owner, epoch, \
         state, last_seq, steps_done, code, message, created_ms, told) ",
    );
    sql.push_values(group, |mut values, (new, me)| {
        let about = &new.about;
        values
            .push_bind(&*new.id.0)
            .push_bind(new.request.as_deref().map(plain))
            .push_bind(new.body.cast_signed())
            .push_bind(&*about.pattern)
            .push_bind(plain(&about.actor))
            .push_bind(about.begun_by())
            .push_bind(plain(&about.correlation))
            .push_bind(&*about.parent)
            .push_bind(row::rest(about))
            .push_bind(me.0.cast_signed())
            .push("1, 1, 0, 0, '', ''")
            .push_bind(about.created_ms.cast_signed())
            .push("0");
    });
    sql.push(" ON CONFLICT DO NOTHING RETURNING id, run");
    let rows = sql
        .build()
        .persistent(group.len() == 1)
        .fetch_all(&mut *connection)
        .await?;
    let mut keys = HashMap::<String, i64>::new();
    for row in &rows {
        keys.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let mut plans = Vec::with_capacity(keys.len());
    for (one, _) in group {
        // Two of one id: the first is new, the second finds it.
        match keys.remove(&*one.id.0) {
            Some(key) => {
                plans.push((key, one));
                begun.push(Begun::New(RunKey(key.cast_unsigned())));
                new.push(one);
            }
            None => begun.push(known(connection, one).await?),
        }
    }
    if !plans.is_empty() {
        put_plans(connection, &plans).await?;
    }
    Ok((begun, new))
}

async fn put_plans(
    connection: &mut SqliteConnection,
    plans: &[(i64, &NewRun)],
) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO amadeus_run_plans ");
    sql.push_values(plans, |mut values, (key, new)| {
        values
            .push_bind(key)
            .push_bind(&*new.inputs)
            .push_bind(&*new.definition);
    });
    sql.build()
        .persistent(plans.len() == 1)
        .execute(connection)
        .await
        .map(drop)
}

async fn known(connection: &mut SqliteConnection, new: &NewRun) -> Result<Begun, sqlx::Error> {
    let sql = "SELECT run, id, body FROM amadeus_runs WHERE id = ?1 OR request = ?2 ORDER BY id = ?1 DESC";
    let row = sqlx::query_as(sql)
        .bind(&*new.id.0)
        .bind(new.request.as_deref().map(plain))
        .fetch_one(connection)
        .await?;
    Ok(found(new, row))
}

/// Moves the rows of runs on whose epoch is the writer's, and puts their lines.
async fn append(
    connection: &mut SqliteConnection,
    group: &Group,
) -> Result<(HashMap<RunKey, Written>, Vec<Ended>), sqlx::Error> {
    if group.lines.is_empty() {
        return Ok((HashMap::new(), Vec::new()));
    }
    let mut sql = QueryBuilder::<Sqlite>::new(
        "WITH new (run, epoch, first, last, state, done, code, message, ended_ms) AS (",
    );
    sql.push_values(&group.lines, |mut values, lines| {
        values
            .push_bind(lines.run.0.cast_signed())
            .push_bind(lines.epoch)
            .push_bind(lines.first)
            .push_bind(lines.last)
            .push_bind(row::number(lines.now.state).cast_signed())
            .push_bind(lines.now.steps_done)
            .push_bind(plain(&lines.now.code))
            .push_bind(plain(&lines.now.message))
            .push_bind(lines.now.ended_ms.map(u64::cast_signed));
    });
    sql.push(
        ") UPDATE amadeus_runs SET last_seq = new.last, state = new.state, steps_done = new.done, code = new.code, \
         message = new.message, ended_ms = new.ended_ms FROM new \
         WHERE amadeus_runs.run = new.run AND amadeus_runs.epoch = new.epoch AND amadeus_runs.last_seq = new.first - 1 \
         AND amadeus_runs.ended_ms IS NULL RETURNING run, pattern, created_ms, ended_ms",
    );
    let one = group.lines.len() == 1;
    let rows = sql
        .build_query_as()
        .persistent(one)
        .fetch_all(&mut *connection)
        .await?;
    let (mut written, ended) = moved(group, rows);
    let follow: Vec<_> = group
        .lines
        .iter()
        .filter(|lines| written.contains_key(&lines.run))
        .collect();
    if !follow.is_empty() {
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO amadeus_run_lines ");
        sql.push_values(&follow, |mut values, lines| {
            values
                .push_bind(lines.run.0.cast_signed())
                .push_bind(lines.first)
                .push_bind(&*lines.body);
        });
        sql.build()
            .persistent(one)
            .execute(&mut *connection)
            .await?;
    }
    for lines in &group.lines {
        if !written.contains_key(&lines.run) {
            let found = sqlx::query_as("SELECT epoch, last_seq FROM amadeus_runs WHERE run = ?")
                .bind(lines.run.0.cast_signed())
                .fetch_optional(&mut *connection)
                .await?;
            written.extend(judged(lines, found).map(|judged| (lines.run, judged)));
        }
    }
    Ok((written, ended))
}

async fn count(
    connection: &mut SqliteConnection,
    counted: std::collections::BTreeMap<String, Statistics>,
) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO amadeus_run_statistics ");
    let one = counted.len() == 1;
    sql.push_values(counted, |mut values, (pattern, of)| {
        values.push_bind(pattern);
        for number in [
            of.usage,
            of.succeeded,
            of.failed,
            of.cancelled,
            of.total_ms,
            of.min_ms,
            of.max_ms,
            of.last_ms,
        ] {
            values.push_bind(number.cast_signed());
        }
    });
    sql.push(
        " ON CONFLICT (pattern) DO UPDATE SET usage = usage + excluded.usage, succeeded = succeeded + excluded.succeeded, \
         failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled, \
         total_ms = total_ms + excluded.total_ms, min_ms = min(min_ms, excluded.min_ms), \
         max_ms = max(max_ms, excluded.max_ms), last_ms = max(last_ms, excluded.last_ms)",
    );
    sql.build()
        .persistent(one)
        .execute(connection)
        .await
        .map(drop)
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}
