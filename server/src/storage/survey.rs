//! The look at a database before anything relies on it: whether it is ours, whole, and without a gap.

use super::open::OpenError;
use super::sqlite::{application_id, revision_of, schema_version};
use futures::TryStreamExt;
use sqlx::{Row, SqliteConnection};
use std::path::Path;

/// What a database holds.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) store_id: String,
    /// Records up to here were removed.
    pub(super) compacted: u64,
    /// The revision that the log ends at.
    pub(super) last: u64,
    /// Bytes of each record kept, in order.
    sizes: Vec<u32>,
}

impl Survey {
    /// Looks at the whole database through a connection that cannot change it. The records themselves are not decoded.
    pub(super) async fn of(
        connection: &mut SqliteConnection,
        path: &Path,
    ) -> Result<Self, OpenError> {
        let unreadable = |e: sqlx::Error| OpenError::unreadable(path, &e);
        let damaged = |what: String| OpenError::Damaged {
            path: path.to_owned(),
            what,
        };
        let mark: i64 = sqlx::query_scalar("PRAGMA application_id")
            .fetch_one(&mut *connection)
            .await
            .map_err(unreadable)?;
        if mark != application_id() {
            let what = "it is a database of another program";
            return Err(OpenError::NotAStore {
                path: path.to_owned(),
                what,
            });
        }
        let version: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *connection)
            .await
            .map_err(unreadable)?;
        if version != schema_version() {
            return Err(OpenError::Schema {
                path: path.to_owned(),
                found: version,
                known: schema_version(),
            });
        }
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut *connection)
            .await
            .map_err(unreadable)?;
        if verdict != "ok" {
            return Err(damaged(verdict));
        }
        let row = sqlx::query("SELECT store_id, compacted FROM store")
            .fetch_all(&mut *connection)
            .await
            .map_err(unreadable)?;
        let [row] = row.as_slice() else {
            return Err(damaged(format!("it describes itself {} times", row.len())));
        };
        let mut survey = Self {
            store_id: row.try_get(0).map_err(unreadable)?,
            compacted: revision_of(row, 1).map_err(unreadable)?,
            last: revision_of(row, 1).map_err(unreadable)?,
            sizes: Vec::new(),
        };
        // The length of a blob stands in its row's header: this does not read the records.
        let mut rows = sqlx::query("SELECT revision, length(body) FROM records ORDER BY revision")
            .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.map_err(unreadable)? {
            let revision = revision_of(&row, 0).map_err(unreadable)?;
            if revision != survey.last + 1 {
                return Err(damaged(format!(
                    "revision {} is missing, {revision} is there",
                    survey.last + 1
                )));
            }
            survey.last = revision;
            let size: i64 = row.try_get(1).map_err(unreadable)?;
            survey.sizes.push(u32::try_from(size).unwrap_or(u32::MAX));
        }
        Ok(survey)
    }

    /// The revision from which a replay passes at least the wanted number of records, or the wanted bytes of them.
    pub(super) fn replay_from(&self, revisions: u64, bytes: u64) -> u64 {
        let mut left = bytes;
        let mut passed = 0;
        for size in self.sizes.iter().rev() {
            if passed == revisions || left == 0 {
                break;
            }
            left = left.saturating_sub(u64::from(*size));
            passed += 1;
        }
        self.last - passed
    }
}
