//! API keys in the store.

use super::super::changed::Changed;
use super::super::error::UserError;
use super::super::json;
use super::super::key::{Key, KeyId, NewKey};
use super::super::names::fold;
use super::super::rows::{Row, Tx, Work, hash, values};
use super::super::secret::SecretHash;
use super::super::user::User;
use super::users::{USER_COLUMNS, no_user, select_users, user};
use super::{UserStore, each, kept};
use crate::auth::UserId;

/// Keys of one user that may be good at once.
pub const KEYS: u64 = 100;

/// Keys of one user that are remembered after their end; with more, the oldest are forgotten.
const ENDED_KEYS: u64 = 200;

impl UserStore {
    /// Makes a key of an active user.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`, `AlreadyExists` for a name that another live key of the user has, `TooMany`.
    pub async fn create_key(&self, new: NewKey, now_ms: u64) -> Result<Key, UserError> {
        let work: Work<Key> = Box::new(move |tx| {
            Box::pin(async move {
                let sql = "SELECT id FROM amadeus_users WHERE id = $1 AND status = 'active'";
                if tx.one(sql, values![&*new.user.0]).await?.is_none() {
                    return Err(no_user(&new.user));
                }
                check_room(tx, &new, now_ms).await?;
                let sql = "INSERT INTO amadeus_api_keys (id, user_id, name, folded, grants, secret, created_ms, expires_ms) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
                let values = values![
                    &*new.id.0,
                    &*new.user.0,
                    &*new.name,
                    fold(&new.name),
                    json::grants(&new.grants),
                    &new.secret,
                    now_ms,
                    new.expires_ms
                ];
                tx.run(sql, values).await?;
                Ok(Key {
                    id: new.id,
                    name: new.name,
                    user: new.user,
                    grants: new.grants,
                    created_ms: now_ms,
                    expires_ms: new.expires_ms,
                    revoked_ms: None,
                })
            })
        });
        self.0.rows.write(work).await
    }

    /// A key, what is kept of its secret, and whose it is.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn key(&self, id: &KeyId) -> Result<Option<(Key, SecretHash, User)>, UserError> {
        let sql = select_users!(
            ", k.id, k.name, k.user_id, k.grants, k.created_ms, k.expires_ms, k.revoked_ms, k.secret \
            FROM amadeus_api_keys k JOIN amadeus_users u ON u.id = k.user_id WHERE k.id = $1"
        );
        let rows = self.0.rows.read(sql, values![&*id.0]).await?;
        let found = |row: &Row| {
            let secret = hash(row, USER_COLUMNS + KEY_COLUMNS)?;
            Ok((key(row, USER_COLUMNS)?, secret, user(row, 0)?))
        };
        rows.first().map(found).transpose()
    }

    /// Revokes a key. One that was revoked already stays as it was.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`.
    pub async fn revoke_key(&self, id: &KeyId, now_ms: u64) -> Result<Key, UserError> {
        let id = id.clone();
        let work: Work<Key> = Box::new(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE amadeus_api_keys SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL";
                if tx.run(sql, values![&*id.0, now_ms]).await? > 0 {
                    tx.move_epoch(&Changed::Key(id.clone())).await?;
                }
                let sql = "SELECT id, name, user_id, grants, created_ms, expires_ms, revoked_ms FROM amadeus_api_keys \
                    WHERE id = $1";
                let row = tx.one(sql, values![&*id.0]).await?;
                key(
                    &row.ok_or_else(|| UserError::NotFound(format!("the key {id}")))?,
                    0,
                )
            })
        });
        self.0.rows.write(work).await
    }

    /// Keys of a user in the order of their ids, after one of them. What has ended by `now_ms` is left out, unless it is
    /// asked for.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn list_keys(
        &self,
        user: &UserId,
        include_ended: bool,
        after: Option<&KeyId>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Key>, UserError> {
        let sql = "SELECT id, name, user_id, grants, created_ms, expires_ms, revoked_ms FROM amadeus_api_keys \
            WHERE user_id = $1 AND id > $2 \
            AND ($3 = 1 OR (revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $4))) ORDER BY id LIMIT $5";
        let after = after.map_or("", |id| &*id.0);
        let values = values![&*user.0, after, u64::from(include_ended), now_ms, limit];
        let rows = self.0.rows.read(sql, values).await?;
        each(&rows, |row| key(row, 0))
    }
}

/// Refuses one key too many and a name that is taken; forgets the oldest of those that have ended.
async fn check_room(tx: &mut Tx, new: &NewKey, now_ms: u64) -> Result<(), UserError> {
    let sql = "SELECT folded FROM amadeus_api_keys \
        WHERE user_id = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2)";
    let live = tx.all(sql, values![&*new.user.0, now_ms]).await?;
    let names = each(&live, |row| Ok(row.text(0)?))?;
    if names.contains(&fold(&new.name)) {
        return Err(UserError::AlreadyExists {
            field: "name",
            value: new.name.clone(),
        });
    }
    if names.len() as u64 >= KEYS {
        return Err(UserError::TooMany(format!(
            "{KEYS} keys are good already, which is the most there may be"
        )));
    }
    let sql = "DELETE FROM amadeus_api_keys WHERE id IN ( \
            SELECT id FROM amadeus_api_keys WHERE user_id = $1 AND (revoked_ms IS NOT NULL OR expires_ms <= $2) \
            ORDER BY created_ms DESC, id LIMIT $3 OFFSET $3 \
        )";
    tx.run(sql, values![&*new.user.0, now_ms, ENDED_KEYS])
        .await
        .map(drop)
}

/// How many columns [`key`] reads.
const KEY_COLUMNS: usize = 7;

/// A key in the columns from `first` on.
fn key(row: &Row, first: usize) -> Result<Key, UserError> {
    Ok(Key {
        id: KeyId(row.text(first)?.into()),
        name: row.text(first + 1)?,
        user: UserId(row.text(first + 2)?.into()),
        grants: kept(
            "the grants of a key",
            json::grants_of(&row.text(first + 3)?),
        )?,
        created_ms: row.number(first + 4)?,
        expires_ms: row.maybe_number(first + 5)?,
        revoked_ms: row.maybe_number(first + 6)?,
    })
}
