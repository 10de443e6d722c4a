//! The rows in the database, with those of all other servers.
//!
//! A change is a transaction that moves the clock's row on first. Its lock makes all changes wait for each other until they
//! are committed, so no number is seen before a smaller one; whoever waits for it sees, in the statements that follow, all
//! that was done before. Edits of one kind that follow each other are one statement.
//!
//! A look is one statement, and one round trip. It does not touch the clock's row but reads it, together with all others, as
//! of one moment. It waits for nobody but a server that is adopting the one that looks: of the two, who comes second finds
//! the beat moved on, or the row gone.

use super::{
    Applied, Edit, GONE_FOR, LEASE_PAGE, LeaseRow, LeaseRowsError, PATIENCE, ServerId, Vouched,
    failed,
};
use kg_core::lease::LeaseId;
use kg_core::model::{Health, Name};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Connection, Row};
use std::collections::HashSet;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Rows in the database. Clones are further handles of the same ones.
#[derive(Clone)]
pub struct PostgresLeases(PgPool);

impl PostgresLeases {
    pub(in super::super) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    pub(super) async fn join(&self, me: ServerId) -> Result<(), LeaseRowsError> {
        let sql = "INSERT INTO amadeus_lease_servers VALUES ($1, 0) \
            ON CONFLICT (server) DO UPDATE SET beat = 0";
        self.run(sqlx::query(sql).bind(me.0.cast_signed())).await
    }

    pub(super) async fn leave(&self, me: ServerId) -> Result<(), LeaseRowsError> {
        let sql = "UPDATE amadeus_lease_servers SET beat = -1 WHERE server = $1";
        self.run(sqlx::query(sql).bind(me.0.cast_signed())).await
    }

    async fn run(&self, query: Query<'_, Postgres, PgArguments>) -> Result<(), LeaseRowsError> {
        let mut connection = self.connection().await?;
        let done = timeout(PATIENCE, query.execute(&mut *connection)).await;
        answer(connection, done).map(drop)
    }

    pub(super) async fn apply(
        &self,
        me: ServerId,
        edits: &[Edit],
    ) -> Result<Applied, LeaseRowsError> {
        let mut connection = self.connection().await?;
        let done = timeout(PATIENCE, apply(&mut connection, me, edits)).await;
        answer(connection, done)
    }

    pub(super) async fn vouch(&self, me: ServerId, since: u64) -> Result<Vouched, LeaseRowsError> {
        let mut connection = self.connection().await?;
        let done = timeout(PATIENCE, vouch(&mut connection, me, since)).await;
        answer(connection, done)
    }

    pub(super) async fn close(&self) {
        let _ = timeout(PATIENCE, self.0.close()).await;
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, LeaseRowsError> {
        self.0.acquire().await.map_err(|e| failed(&e))
    }
}

/// What came of a question. Where nothing did, its connection is given up: the pool would wait for that very answer before
/// it lends the connection again, and the database, which is told so, ends what was under way.
fn answer<T>(
    connection: PoolConnection<Postgres>,
    done: Result<Result<T, sqlx::Error>, Elapsed>,
) -> Result<T, LeaseRowsError> {
    match done {
        Ok(done) => done.map_err(|e| failed(&e)),
        Err(_) => {
            drop(connection.detach());
            let seconds = PATIENCE.as_secs();
            Err(LeaseRowsError::Unavailable(format!(
                "no answer in {seconds} s"
            )))
        }
    }
}

async fn apply(
    connection: &mut PgConnection,
    me: ServerId,
    edits: &[Edit],
) -> Result<Applied, sqlx::Error> {
    // Each statement must see what was committed before it began, whatever the database has for its default.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    let mut transaction = connection.begin_with(begin).await?;
    let sql = "UPDATE amadeus_lease_clock SET seq = seq + 1 RETURNING seq";
    let seq: i64 = sqlx::query_scalar(sql).fetch_one(&mut *transaction).await?;
    // Not in the statement above, which sees what was there before it waited.
    let sql = "SELECT EXISTS (SELECT FROM amadeus_lease_servers WHERE server = $1 AND beat >= 0)";
    let member: bool = sqlx::query_scalar(sql)
        .bind(me.0.cast_signed())
        .fetch_one(&mut *transaction)
        .await?;
    if !member {
        transaction.rollback().await?;
        return Ok(Applied::none_of(edits));
    }
    let mut refused = Vec::new();
    for run in runs(edits) {
        let accepted: Vec<i64> = statement(run, me, seq)
            .fetch_all(&mut *transaction)
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let accepted: HashSet<i64> = accepted.into_iter().collect();
        let of_leases = run.iter().filter_map(Edit::lease);
        refused.extend(of_leases.filter(|id| !accepted.contains(&id.0.cast_signed())));
    }
    // What is gone for long enough is removed along with that, a bounded number of rows: there is an index of them alone.
    let sql = "WITH purged AS ( \
            DELETE FROM amadeus_leases WHERE id IN ( \
                SELECT id FROM amadeus_leases \
                WHERE gone_at < now() - make_interval(secs => $2) LIMIT $3 \
            ) \
        ) \
        SELECT id, service, ttl_ms, owner, health, gone_at IS NOT NULL, seq \
        FROM amadeus_leases WHERE seq = $1";
    let rows = sqlx::query(sql)
        .bind(seq)
        .bind(GONE_FOR.as_secs_f64())
        .bind(LEASE_PAGE as i64)
        .fetch_all(&mut *transaction)
        .await?;
    let mut changed = rows
        .iter()
        .map(|row| lease(row, 0))
        .collect::<Result<Vec<_>, _>>()?;
    changed.sort_unstable_by_key(|row| row.id);
    transaction.commit().await?;
    Ok(Applied {
        member: true,
        changed,
        refused,
        seq: number(seq)?,
    })
}

/// Edits of one kind that follow each other. A lease is in a run once: a statement changes a row only once.
fn runs(edits: &[Edit]) -> impl Iterator<Item = &[Edit]> {
    let mut named = HashSet::new();
    edits.chunk_by(move |one, next| {
        named.extend(one.lease());
        let together = std::mem::discriminant(one) == std::mem::discriminant(next)
            && next.lease().is_none_or(|id| !named.contains(&id));
        if !together {
            named.clear();
        }
        together
    })
}

/// The statement of a run. It returns the ids of the leases that were not refused.
fn statement(run: &[Edit], me: ServerId, seq: i64) -> Query<'static, Postgres, PgArguments> {
    let me = me.0.cast_signed();
    let ids: Vec<i64> = each(run, |edit| Some(edit.lease()?.0.cast_signed()));
    match run.first() {
        None => sqlx::query("SELECT 0::bigint WHERE false"),
        Some(Edit::Grant { .. }) => {
            let sql = "INSERT INTO amadeus_leases (id, service, ttl_ms, owner, health, seq) \
                SELECT new.id, new.service, new.ttl_ms, $4, $5, $6 \
                FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS new (id, service, ttl_ms) \
                ON CONFLICT (id) DO UPDATE \
                SET ttl_ms = excluded.ttl_ms, owner = excluded.owner, seq = excluded.seq \
                WHERE amadeus_leases.service = excluded.service AND amadeus_leases.gone_at IS NULL \
                RETURNING id";
            let services: Vec<String> = each(run, |edit| match edit {
                Edit::Grant { service, .. } => Some(service.to_string()),
                _ => None,
            });
            let ttls: Vec<i64> = each(run, |edit| match edit {
                Edit::Grant { ttl_ms, .. } => Some(i64::from(*ttl_ms)),
                _ => None,
            });
            let query = sqlx::query(sql).bind(ids).bind(services).bind(ttls);
            query.bind(me).bind(Health::Unknown.as_str()).bind(seq)
        }
        Some(Edit::Take { .. }) => {
            let sql = "UPDATE amadeus_leases SET owner = $2, seq = $3 \
                WHERE id = ANY ($1) AND gone_at IS NULL RETURNING id";
            sqlx::query(sql).bind(ids).bind(me).bind(seq)
        }
        Some(Edit::Show { .. }) => {
            let sql = "UPDATE amadeus_leases SET health = shown.health, seq = $4 \
                FROM unnest($1::bigint[], $2::text[]) AS shown (id, health) \
                WHERE amadeus_leases.id = shown.id AND owner = $3 AND gone_at IS NULL \
                RETURNING amadeus_leases.id";
            let healths: Vec<&'static str> = each(run, |edit| match edit {
                Edit::Show { health, .. } => Some(health.as_str()),
                _ => None,
            });
            sqlx::query(sql).bind(ids).bind(healths).bind(me).bind(seq)
        }
        Some(Edit::Revoke { .. }) => {
            // What was gone already is not refused, and stays as it is.
            let sql = "WITH revoked AS ( \
                    UPDATE amadeus_leases SET gone_at = now(), seq = $2 \
                    WHERE id = ANY ($1) AND gone_at IS NULL \
                ) \
                SELECT id FROM amadeus_leases WHERE id = ANY ($1)";
            sqlx::query(sql).bind(ids).bind(seq)
        }
        Some(Edit::Adopt { .. }) => {
            // Waits for the one that is adopted, if it is vouching at this moment, and then finds another beat.
            let sql = "WITH adopted AS ( \
                    DELETE FROM amadeus_lease_servers AS gone \
                    USING unnest($1::bigint[], $2::bigint[]) AS silent (server, beat) \
                    WHERE gone.server = silent.server AND gone.beat = silent.beat \
                        AND gone.server <> $3 \
                    RETURNING gone.server \
                ) \
                UPDATE amadeus_leases SET owner = $3, seq = $4 FROM adopted \
                WHERE owner = adopted.server AND gone_at IS NULL RETURNING id";
            let servers: Vec<i64> = each(run, |edit| match edit {
                Edit::Adopt { server, .. } => Some(server.0.cast_signed()),
                _ => None,
            });
            let beats: Vec<i64> = each(run, |edit| match edit {
                Edit::Adopt { beat, .. } => Some(*beat),
                _ => None,
            });
            sqlx::query(sql)
                .bind(servers)
                .bind(beats)
                .bind(me)
                .bind(seq)
        }
    }
}

/// A field of each edit of a run.
fn each<T>(run: &[Edit], field: impl Fn(&Edit) -> Option<T>) -> Vec<T> {
    run.iter().filter_map(field).collect()
}

async fn vouch(
    connection: &mut PgConnection,
    me: ServerId,
    since: u64,
) -> Result<Vouched, sqlx::Error> {
    // Three answers in one, told apart by their first column. All that it reads is as of the moment when it began, so my
    // own beat is taken from what the update returns. The setting is that of `SET LOCAL`, without its round trip.
    let sql = "WITH lazily AS ( \
            SELECT set_config('synchronous_commit', 'off', true) \
        ), mine AS ( \
            UPDATE amadeus_lease_servers SET beat = beat + 1 FROM lazily \
            WHERE server = $1 AND beat >= 0 RETURNING server, beat \
        ), changed AS ( \
            SELECT id, service, ttl_ms, owner, health, gone_at IS NOT NULL AS gone, seq \
            FROM amadeus_leases WHERE seq > $2 ORDER BY seq FETCH FIRST ($3) ROWS WITH TIES \
        ) \
        SELECT 'clock', seq, NULL::text, (SELECT beat FROM mine), NULL::bigint, NULL::text, \
                NULL::boolean, NULL::bigint \
            FROM amadeus_lease_clock \
        UNION ALL SELECT 'server', server, NULL, coalesce(mine.beat, known.beat), NULL, NULL, NULL, NULL \
            FROM amadeus_lease_servers AS known LEFT JOIN mine USING (server) \
        UNION ALL SELECT 'lease', id, service, ttl_ms, owner, health, gone, seq \
            FROM changed";
    let rows = sqlx::query(sql)
        .bind(me.0.cast_signed())
        .bind(i64::try_from(since).unwrap_or(i64::MAX))
        .bind(LEASE_PAGE as i64)
        .fetch_all(connection)
        .await?;
    let (mut clock, mut member) = (None, false);
    let (mut servers, mut changed) = (Vec::new(), Vec::new());
    for row in &rows {
        match row.try_get::<&str, _>(0)? {
            "clock" => {
                clock = Some(number(row.try_get(1)?)?);
                member = row.try_get::<Option<i64>, _>(3)?.is_some();
            }
            "server" => {
                let server: i64 = row.try_get(1)?;
                servers.push((ServerId(server.cast_unsigned()), row.try_get(3)?));
            }
            _ => changed.push(lease(row, 1)?),
        }
    }
    let clock = clock.ok_or(sqlx::Error::RowNotFound)?;
    Ok(if member {
        Vouched::of(servers, changed, clock)
    } else {
        Vouched::default()
    })
}

/// A lease in the columns from `first` on.
fn lease(row: &PgRow, first: usize) -> Result<LeaseRow, sqlx::Error> {
    let bits = |column: usize| {
        row.try_get::<i64, _>(first + column)
            .map(i64::cast_unsigned)
    };
    let (service, health): (&str, &str) = (row.try_get(first + 1)?, row.try_get(first + 4)?);
    let ttl_ms: i64 = row.try_get(first + 2)?;
    Ok(LeaseRow {
        id: LeaseId(bits(0)?),
        service: Name::parse("service", service).map_err(|e| wrong(&e))?,
        ttl_ms: u32::try_from(ttl_ms).map_err(|e| wrong(&format!("the ttl {ttl_ms}: {e}")))?,
        owner: ServerId(bits(3)?),
        health: Health::from_word(health)
            .ok_or_else(|| wrong(&format!("the health {health:?} is not known")))?,
        gone: row.try_get(first + 5)?,
        seq: number(row.try_get(first + 6)?)?,
    })
}

/// A number of a change; a negative one is damage.
fn number(seq: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(seq).map_err(|e| wrong(&format!("the number {seq}: {e}")))
}

fn wrong(what: &dyn std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(what.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_of_one_kind_and_names_a_lease_once() {
        let take = |id| Edit::Take { id: LeaseId(id) };
        let revoke = |id| Edit::Revoke { id: LeaseId(id) };
        let adopt = |beat| Edit::Adopt {
            server: ServerId(1),
            beat,
        };
        let edits = [
            take(1),
            take(2),
            take(1),
            take(2),
            revoke(2),
            revoke(3),
            adopt(1),
            adopt(2),
            take(3),
        ];
        let lengths: Vec<usize> = runs(&edits).map(<[Edit]>::len).collect();
        assert_eq!(lengths, [2, 2, 2, 2, 1]);
        assert_eq!(runs(&[]).count(), 0);
    }
}
