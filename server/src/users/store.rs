//! The store of users: what is asked of it, one file for each noun.

mod events;
mod keys;
mod sessions;
mod signing;
mod users;

pub use users::GRANTS;
pub(super) use users::{USER_COLUMNS, select_users, user as user_of_row};

use std::sync::Arc;

use super::cached::Copies;
use super::changed::{Changed, Changes};
use super::error::{UserError, UserStoreError};
use super::rows::{Row, Rows, Tx, Work, values};
use super::secret::SecretHash;
use crate::auth::UserId;
use crate::hints::AddressError;
use crate::storage::Opened;

/// The users of a store. Clones are further handles of the same ones. Needs a tokio runtime.
#[derive(Clone)]
pub struct UserStore(Arc<Shared>);

struct Shared {
    rows: Rows,
    copies: Copies,
}

impl UserStore {
    /// Opens the users of a store, wherever that is. Those of a store on disk must be closed before it is: its lock guards
    /// them as well.
    ///
    /// # Errors
    /// [`UserStoreError`]; what is there is then as it was.
    pub async fn open(opened: &Opened) -> Result<Self, UserStoreError> {
        let rows = Rows::open(opened).await?;
        let copies = Copies::new(&opened.store_id);
        let looked = copies.look(&rows).await;
        looked.map_err(|error| UserStoreError::Unavailable(error.to_string()))?;
        Ok(Self(Arc::new(Shared { rows, copies })))
    }

    /// Closes them in order. They answer nobody any more, by whichever handle.
    pub async fn close(&self) {
        self.0.copies.end();
        self.0.rows.close().await;
    }

    /// Keeps copies of users in a Redis from now on, for [`user`](Self::user) and
    /// [`user_by_username`](Self::user_by_username). Redis may be away, go and come back.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn keep_copies(&self, redis: &str) -> Result<(), AddressError> {
        self.0.copies.start(redis, &self.0.rows)
    }

    /// Moves on with every change that takes something away or changes grants. Cheap.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn epoch(&self) -> Result<u64, UserError> {
        let sql = "SELECT epoch FROM amadeus_user_state";
        match self.0.rows.read(sql, Vec::new()).await?.first() {
            Some(row) => Ok(row.number(0)?),
            None => Err(UserError::Broken("the row of their state is gone".into())),
        }
    }

    /// What was taken away or changed since an epoch, by one cheap statement; `None` where nobody has asked before.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn changes_since(&self, epoch: Option<u64>) -> Result<Changes, UserError> {
        let Some(since) = epoch else {
            let epoch = self.epoch().await?;
            return Ok(Changes { epoch, what: None });
        };
        let sql = "SELECT s.epoch, c.what, c.id FROM amadeus_user_state s \
            LEFT JOIN amadeus_changes c ON c.epoch > $1 AND c.epoch <= s.epoch ORDER BY c.epoch";
        let rows = self.0.rows.read(sql, values![since]).await?;
        let first = rows.first();
        let first = first.ok_or_else(|| UserError::Broken("the row of their state is gone".into()));
        let epoch = first?.number(0)?;
        let mut what = Vec::new();
        for row in &rows {
            if let (Some(kind), Some(id)) = (row.maybe_text(1)?, row.maybe_text(2)?) {
                let changed = Changed::of_kept(&kind, &id).ok_or(kind);
                what.push(kept("a change", changed)?);
            }
        }
        // Each step has one row. Where one is missing it was too long ago, or this is another past: of a copy of the database.
        let is_whole = epoch.checked_sub(since) == Some(what.len() as u64);
        Ok(Changes {
            epoch,
            what: is_whole.then_some(what),
        })
    }

    /// Offers a token by which the first administrator is made; an earlier one is good no more. False: there is an
    /// administrator, and nothing is offered.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn offer_setup(&self, token: SecretHash) -> Result<bool, UserError> {
        let work: Work<bool> = Box::new(move |tx| {
            Box::pin(async move {
                if has_admin(tx).await? {
                    return Ok(false);
                }
                let sql = "UPDATE amadeus_user_state SET setup = $1";
                tx.run(sql, values![&token]).await?;
                Ok(true)
            })
        });
        self.0.rows.write(work).await
    }

    /// Whether there is somebody who may do everything, and sign in.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn has_admin(&self) -> Result<bool, UserError> {
        let rows = self.0.rows.read(HAS_ADMIN, Vec::new()).await?;
        Ok(!rows.is_empty())
    }

    /// Another server of the same rows.
    #[cfg(test)]
    pub(super) fn another_server(&self) -> Self {
        let (rows, copies) = (self.0.rows.clone(), self.0.copies.another());
        Self(Arc::new(Shared { rows, copies }))
    }

    #[cfg(test)]
    pub(super) fn copies(&self) -> &Copies {
        &self.0.copies
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> &Rows {
        &self.0.rows
    }

    /// Changes one user, and sees to it that nobody reads a copy from before once this has been answered. It goes on to its
    /// end also when nobody waits for it any more: the copies must go.
    async fn change<T: Send + 'static>(&self, id: &UserId, work: Work<T>) -> Result<T, UserError> {
        let (store, id) = (self.clone(), id.clone());
        let changing = tokio::spawn(async move {
            let Shared { rows, copies } = &*store.0;
            let keeper = copies.clone();
            let with_copies: Work<_> = Box::new(move |tx| {
                Box::pin(async move {
                    let done = work(tx).await?;
                    Ok((done, keeper.owed(tx).await?))
                })
            });
            let (done, owed) = rows.write(with_copies).await?;
            copies.settle(rows, &id, owed).await?;
            Ok(done)
        });
        let changed = changing.await;
        changed.unwrap_or_else(|ended| {
            Err(UserError::Broken(format!(
                "a change ended half-way: {ended}"
            )))
        })
    }
}

const HAS_ADMIN: &str =
    "SELECT id FROM amadeus_users WHERE is_admin = 1 AND status = 'active' LIMIT 1";

async fn has_admin(tx: &mut Tx) -> Result<bool, UserError> {
    Ok(tx.one(HAS_ADMIN, Vec::new()).await?.is_some())
}

/// What a row says, or that it is broken.
fn kept<T>(what: &str, read: Result<T, String>) -> Result<T, UserError> {
    read.map_err(|why| UserError::Broken(format!("{what}: {why}")))
}

/// What all rows say.
fn each<T>(rows: &[Row], of: impl Fn(&Row) -> Result<T, UserError>) -> Result<Vec<T>, UserError> {
    rows.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rows::CHANGES;
    use super::*;
    use crate::storage::{OpenOptions, open};

    #[tokio::test]
    async fn changes_are_kept_as_far_as_they_may_be_and_who_comes_later_is_told() {
        let opened = open("memory:", &OpenOptions::default()).await;
        let store = UserStore::open(&opened.expect("it opens")).await;
        let store = store.expect("it opens");
        let ann = Changed::User(UserId("ann".into()));
        let changed = ann.clone();
        let work: Work<()> = Box::new(move |tx| {
            Box::pin(async move {
                for _ in 0..CHANGES + 2 {
                    tx.move_epoch(&changed).await?;
                }
                Ok(())
            })
        });
        store.rows().write(work).await.expect("there is room");
        let since = async |epoch| {
            let changes = store.changes_since(Some(epoch)).await;
            let changes = changes.expect("it is reached");
            assert_eq!(changes.epoch, CHANGES + 2);
            changes.what
        };
        assert_eq!(since(0).await, None);
        assert_eq!(since(1).await, None);
        let kept = since(2).await.expect("all of them");
        assert_eq!(kept.len() as u64, CHANGES);
        assert_eq!(since(CHANGES + 1).await, Some(vec![ann]));
        assert_eq!(since(CHANGES + 2).await, Some(Vec::new()));
        // Of an epoch that this store has not come to yet nothing is known.
        assert_eq!(since(CHANGES + 3).await, None);
    }
}
