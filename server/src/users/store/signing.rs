//! The keys that servers of one database sign with. A store that one process has keeps its own in a file.

use super::super::error::UserError;
use super::super::key::SigningKey;
use super::super::rows::{Row, Work, values};
use super::{UserStore, each};

const ALL: &str =
    "SELECT id, secret, created_ms FROM amadeus_signing_keys ORDER BY created_ms DESC, id";

impl UserStore {
    /// All of them, newest first.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, UserError> {
        each(&self.0.rows.read(ALL, Vec::new()).await?, signing_key)
    }

    /// Adds one, unless one that was made at `unless_since_ms` or later is there: of servers that come together, one adds
    /// it. Returns all, newest first.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn add_signing_key(
        &self,
        key: SigningKey,
        unless_since_ms: u64,
    ) -> Result<Vec<SigningKey>, UserError> {
        let work: Work<Vec<SigningKey>> = Box::new(move |tx| {
            Box::pin(async move {
                let sql = "SELECT id FROM amadeus_signing_keys WHERE created_ms >= $1";
                if tx.one(sql, values![unless_since_ms]).await?.is_none() {
                    let sql = "INSERT INTO amadeus_signing_keys (id, secret, created_ms) VALUES ($1, $2, $3)";
                    tx.run(sql, values![&*key.id, &*key.secret, key.created_ms])
                        .await?;
                }
                each(&tx.all(ALL, Vec::new()).await?, signing_key)
            })
        });
        self.0.rows.write(work).await
    }

    /// Drops those that were made before. Returns how many.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn drop_signing_keys(&self, before_ms: u64) -> Result<u32, UserError> {
        let work: Work<u32> = Box::new(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM amadeus_signing_keys WHERE created_ms < $1";
                let dropped = tx.run(sql, values![before_ms]).await?;
                Ok(u32::try_from(dropped).unwrap_or(u32::MAX))
            })
        });
        self.0.rows.write(work).await
    }
}

fn signing_key(row: &Row) -> Result<SigningKey, UserError> {
    Ok(SigningKey {
        id: row.text(0)?,
        secret: row.bytes(1)?,
        created_ms: row.number(2)?,
    })
}
