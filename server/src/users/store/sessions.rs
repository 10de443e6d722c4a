//! Sessions in the store.

use super::super::changed::Changed;
use super::super::error::UserError;
use super::super::rows::{Row, Tx, Work, values};
use super::super::secret::{PasswordHash, SecretHash};
use super::super::session::{Rotated, SessionId, SessionState};
use super::super::user::UserStatus;
use super::UserStore;
use super::users::{USER_COLUMNS, no_user, select_users, user};
use crate::auth::UserId;

/// Sessions that a user may have open. With one more the one that was used longest ago is ended.
pub const SESSIONS: u64 = 100;

/// Refresh tokens of a session that are remembered after they were exchanged: those of ten days, exchanged every quarter of
/// an hour. An older one is unknown, and so refused as well.
const REMEMBERED: u64 = 1_000;

/// How long a session is remembered after its time is over, so that its tokens are told from those that never were.
const FORGOTTEN_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

/// Sessions that are forgotten at once, when another one begins.
const FORGOTTEN_AT_ONCE: u64 = 100;

impl UserStore {
    /// Begins a session of an active user, whose password is still the one that was compared; `None`, where nobody was asked
    /// for one because there is none.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`, if there is no such user, they may not sign in, or the password is another by now.
    pub async fn begin_session(
        &self,
        id: &SessionId,
        user: &UserId,
        compared: Option<&PasswordHash>,
        refresh: SecretHash,
        expires_ms: u64,
        now_ms: u64,
    ) -> Result<(), UserError> {
        let (id, user, compared) = (id.clone(), user.clone(), compared.cloned());
        let work: Work<()> = Box::new(move |tx| {
            Box::pin(async move {
                // One that was disabled since the password was compared must not have a session that is good again later,
                // and whoever has the old password none that outlives its change.
                let sql = "SELECT id FROM amadeus_users \
                    WHERE id = $1 AND status = 'active' AND password IS NOT DISTINCT FROM $2";
                let compared = compared.as_ref().map(PasswordHash::expose);
                if tx.one(sql, values![&*user.0, compared]).await?.is_none() {
                    return Err(no_user(&user));
                }
                forget(tx, now_ms).await?;
                make_room(tx, &user, now_ms).await?;
                let sql = "INSERT INTO amadeus_sessions (id, user_id, refresh, rotations, created_ms, used_ms, expires_ms) \
                    VALUES ($1, $2, $3, 0, $4, $4, $5)";
                tx.run(sql, values![&*id.0, &*user.0, &refresh, now_ms, expires_ms])
                    .await?;
                Ok(())
            })
        });
        self.0.rows.write(work).await
    }

    /// Exchanges a refresh token for the next one. One that was exchanged before ends its session.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn rotate_session(
        &self,
        presented: &SecretHash,
        next: SecretHash,
        expires_ms: u64,
        now_ms: u64,
    ) -> Result<Rotated, UserError> {
        let presented = *presented;
        let work: Work<Rotated> = Box::new(move |tx| {
            Box::pin(async move {
                let Some(found) = find(tx, &presented).await? else {
                    return Ok(Rotated::Unknown);
                };
                if found.ended {
                    return Ok(Rotated::Ended);
                }
                if found.expires_ms <= now_ms {
                    return Ok(Rotated::Expired);
                }
                if !found.is_good_one {
                    end_one(tx, &found.id, now_ms).await?;
                    return Ok(Rotated::Reused {
                        session: found.id,
                        user_id: found.user,
                    });
                }
                let sql = select_users!("FROM amadeus_users u WHERE u.id = $1");
                let row = tx.one(sql, values![&*found.user.0]).await?;
                let user = user(&row.ok_or_else(|| no_user(&found.user))?, 0)?;
                if user.status == UserStatus::Disabled {
                    return Ok(Rotated::Ended);
                }
                exchange(tx, &found, &presented, &next, expires_ms, now_ms).await?;
                Ok(Rotated::Done {
                    session: found.id,
                    user,
                })
            })
        });
        self.0.rows.write(work).await
    }

    /// How a session stands, and whose it is.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn session(&self, id: &SessionId) -> Result<Option<SessionState>, UserError> {
        let sql = select_users!(
            ", s.expires_ms, s.ended_ms FROM amadeus_sessions s JOIN amadeus_users u ON u.id = s.user_id WHERE s.id = $1"
        );
        let rows = self.0.rows.read(sql, values![&*id.0]).await?;
        let state = |row: &Row| {
            Ok(SessionState {
                user: user(row, 0)?,
                expires_ms: row.number(USER_COLUMNS)?,
                ended: row.maybe_number(USER_COLUMNS + 1)?.is_some(),
            })
        };
        rows.first().map(state).transpose()
    }

    /// Ends a session. Whether there was one to end.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn end_session(&self, id: &SessionId, now_ms: u64) -> Result<bool, UserError> {
        let id = id.clone();
        let work: Work<bool> =
            Box::new(move |tx| Box::pin(async move { end_one(tx, &id, now_ms).await }));
        self.0.rows.write(work).await
    }

    /// Ends the session of a refresh token, also of one that was exchanged; `None` if there was none to end.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn end_session_by_refresh(
        &self,
        presented: &SecretHash,
        now_ms: u64,
    ) -> Result<Option<(SessionId, UserId)>, UserError> {
        let presented = *presented;
        let work: Work<_> = Box::new(move |tx| {
            Box::pin(async move {
                let Some(found) = find(tx, &presented).await? else {
                    return Ok(None);
                };
                let ended = end_one(tx, &found.id, now_ms).await?;
                Ok(ended.then_some((found.id, found.user)))
            })
        });
        self.0.rows.write(work).await
    }

    /// Ends all sessions of a user, or all but one. Returns how many were ended.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn end_sessions_of(
        &self,
        user: &UserId,
        keep: Option<&SessionId>,
        now_ms: u64,
    ) -> Result<u32, UserError> {
        let (user, keep) = (user.clone(), keep.cloned());
        let work: Work<u32> = Box::new(move |tx| {
            Box::pin(async move {
                let ended = end_all(tx, &user, keep.as_ref(), now_ms).await?;
                if ended > 0 {
                    tx.move_epoch(&Changed::User(user)).await?;
                }
                Ok(ended)
            })
        });
        self.0.rows.write(work).await
    }
}

/// A session, found by one of its refresh tokens.
struct Found {
    id: SessionId,
    user: UserId,
    rotations: u64,
    expires_ms: u64,
    ended: bool,
    /// Whether the token is the one that is good.
    is_good_one: bool,
}

async fn find(tx: &mut Tx, presented: &SecretHash) -> Result<Option<Found>, UserError> {
    let good = "SELECT id, user_id, rotations, expires_ms, ended_ms FROM amadeus_sessions WHERE refresh = $1";
    let exchanged = "SELECT s.id, s.user_id, s.rotations, s.expires_ms, s.ended_ms FROM amadeus_refreshed r \
        JOIN amadeus_sessions s ON s.id = r.session_id WHERE r.refresh = $1";
    for (sql, is_good_one) in [(good, true), (exchanged, false)] {
        if let Some(row) = tx.one(sql, values![presented]).await? {
            return Ok(Some(Found {
                id: SessionId(row.text(0)?.into()),
                user: UserId(row.text(1)?.into()),
                rotations: row.number(2)?,
                expires_ms: row.number(3)?,
                ended: row.maybe_number(4)?.is_some(),
                is_good_one,
            }));
        }
    }
    Ok(None)
}

async fn exchange(
    tx: &mut Tx,
    found: &Found,
    presented: &SecretHash,
    next: &SecretHash,
    expires_ms: u64,
    now_ms: u64,
) -> Result<(), UserError> {
    let number = found.rotations + 1;
    let sql = "INSERT INTO amadeus_refreshed (refresh, session_id, number) VALUES ($1, $2, $3)";
    tx.run(sql, values![presented, &*found.id.0, number])
        .await?;
    let sql = "UPDATE amadeus_sessions SET refresh = $2, rotations = $3, used_ms = $4, expires_ms = $5 WHERE id = $1";
    tx.run(sql, values![&*found.id.0, next, number, now_ms, expires_ms])
        .await?;
    let sql = "DELETE FROM amadeus_refreshed WHERE session_id = $1 AND number <= $2";
    tx.run(
        sql,
        values![&*found.id.0, number.saturating_sub(REMEMBERED)],
    )
    .await?;
    Ok(())
}

async fn end_one(tx: &mut Tx, id: &SessionId, now_ms: u64) -> Result<bool, UserError> {
    let ended = end(tx, id, now_ms).await?;
    if ended {
        tx.move_epoch(&Changed::Session(id.clone())).await?;
    }
    Ok(ended)
}

async fn end(tx: &mut Tx, id: &SessionId, now_ms: u64) -> Result<bool, UserError> {
    let sql = "UPDATE amadeus_sessions SET ended_ms = $2 WHERE id = $1 AND ended_ms IS NULL";
    Ok(tx.run(sql, values![&*id.0, now_ms]).await? > 0)
}

/// Ends those of a user, without a word to the servers: whoever calls this moves the epoch.
pub(super) async fn end_all(
    tx: &mut Tx,
    user: &UserId,
    keep: Option<&SessionId>,
    now_ms: u64,
) -> Result<u32, UserError> {
    let sql = "UPDATE amadeus_sessions SET ended_ms = $3 \
        WHERE user_id = $1 AND id <> $2 AND ended_ms IS NULL AND expires_ms > $3";
    let keep = keep.map_or("", |id| &*id.0);
    let ended = tx.run(sql, values![&*user.0, keep, now_ms]).await?;
    Ok(u32::try_from(ended).unwrap_or(u32::MAX))
}

/// Ends those that were used longest ago, so that there is room for one more.
async fn make_room(tx: &mut Tx, user: &UserId, now_ms: u64) -> Result<(), UserError> {
    let sql = "UPDATE amadeus_sessions SET ended_ms = $2 WHERE id IN ( \
            SELECT id FROM amadeus_sessions WHERE user_id = $1 AND ended_ms IS NULL AND expires_ms > $2 \
            ORDER BY used_ms DESC, id LIMIT $3 OFFSET $4 \
        ) RETURNING id";
    let values = values![&*user.0, now_ms, SESSIONS, SESSIONS - 1];
    for ended in tx.all(sql, values).await? {
        let id = SessionId(ended.text(0)?.into());
        tx.move_epoch(&Changed::Session(id)).await?;
    }
    Ok(())
}

/// Removes sessions whose time has been over for long, with the tokens that are remembered of them.
async fn forget(tx: &mut Tx, now_ms: u64) -> Result<(), UserError> {
    let sql = "DELETE FROM amadeus_sessions WHERE id IN ( \
            SELECT id FROM amadeus_sessions WHERE expires_ms < $1 ORDER BY expires_ms LIMIT $2 \
        )";
    let before = now_ms.saturating_sub(FORGOTTEN_AFTER_MS);
    tx.run(sql, values![before, FORGOTTEN_AT_ONCE])
        .await
        .map(drop)
}
