//! Checkpoints in the database: written by one server at a time, used by all.
//!
//! A checkpoint is the same bytes as in a file of the embedded store, cut into parts. All of it is one transaction, under a
//! lock that whoever does not get it takes for "another server is at it". The two newest are kept: the second is for the
//! day on which the first is damaged, and nothing is compacted that it does not cover.

use super::super::files::now_ms;
use super::{PostgresLog, revision_of};
use futures::TryStreamExt;
use kg_core::log::checkpoint::{self, CheckpointError};
use kg_core::snapshot::Snapshot;
use sqlx::{Connection, Row};
use std::io::{self, Read, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of a part; and parts that are made ahead of the database.
const PART: usize = 1024 * 1024;
const PARTS_AHEAD: usize = 4;

/// Checkpoints that are kept.
const KEPT: i64 = 2;

/// Held by whoever writes a checkpoint: "AmaK".
const KEEPER_LOCK: i64 = 0x416d_614b;

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The database could not take it.
    #[error("a checkpoint could not be written to the database: {0}")]
    Database(#[from] sqlx::Error),
    /// It could not be made.
    #[error("a checkpoint could not be made: {0}")]
    Made(#[from] io::Error),
}

impl PostgresLog {
    /// Writes a checkpoint of `snapshot`, unless another server is at it. Returns the revision up to which the log may be
    /// compacted: that of the older of the two newest checkpoints, once there are two. Cost: O(graph).
    ///
    /// # Errors
    /// [`KeepError`]; what was there is as it was.
    pub async fn keep(
        &self,
        snapshot: Arc<Snapshot>,
        store_id: &str,
    ) -> Result<Option<u64>, KeepError> {
        let revision = i64::try_from(snapshot.revision()).unwrap_or(i64::MAX);
        let mut connection = self.0.address.connect().await?;
        let mut transaction = connection.begin().await?;
        let mine: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_xact_lock($1) \
             AND NOT EXISTS (SELECT FROM amadeus_checkpoints WHERE revision >= $2)",
        )
        .bind(KEEPER_LOCK)
        .bind(revision)
        .fetch_one(&mut *transaction)
        .await?;
        if mine {
            let (parts, mut made) = mpsc::channel(PARTS_AHEAD);
            let store_id = store_id.to_owned();
            let making = tokio::task::spawn_blocking(move || {
                let mut cut = Cut {
                    part: Vec::with_capacity(PART),
                    parts,
                };
                checkpoint::write(&snapshot, &store_id, "", now_ms(), &mut cut)?;
                cut.hand_over()
            });
            let mut count = 0_i32;
            while let Some(part) = made.recv().await {
                sqlx::query("INSERT INTO amadeus_checkpoint_parts VALUES ($1, $2, $3)")
                    .bind(revision)
                    .bind(count)
                    .bind(part)
                    .execute(&mut *transaction)
                    .await?;
                count += 1;
            }
            making.await.unwrap_or_else(|e| Err(io::Error::other(e)))?;
            sqlx::query("INSERT INTO amadeus_checkpoints VALUES ($1, $2, $3, $4)")
                .bind(revision)
                .bind(count)
                .bind(format!("process {}", std::process::id()))
                .bind(i64::try_from(now_ms()).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await?;
            for sql in [
                "DELETE FROM amadeus_checkpoints WHERE revision NOT IN \
                    (SELECT revision FROM amadeus_checkpoints ORDER BY revision DESC LIMIT $1)",
                // What a checkpoint that is gone consisted of.
                "DELETE FROM amadeus_checkpoint_parts WHERE revision NOT IN \
                    (SELECT revision FROM amadeus_checkpoints ORDER BY revision DESC LIMIT $1)",
            ] {
                sqlx::query(sql)
                    .bind(KEPT)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        let kept =
            sqlx::query("SELECT revision FROM amadeus_checkpoints ORDER BY revision DESC LIMIT $1")
                .bind(KEPT)
                .fetch_all(&mut *transaction)
                .await?;
        transaction.commit().await?;
        connection.close().await?;
        let oldest = kept.get(KEPT as usize - 1);
        Ok(oldest.map(|row| revision_of(row, 0)).transpose()?)
    }

    /// The revisions of the checkpoints, newest first.
    pub(in super::super) async fn checkpoints(&self) -> Result<Vec<u64>, sqlx::Error> {
        let rows = sqlx::query("SELECT revision FROM amadeus_checkpoints ORDER BY revision DESC")
            .fetch_all(&self.0.pool)
            .await?;
        rows.iter().map(|row| revision_of(row, 0)).collect()
    }

    /// The newest checkpoint, read and proved; an older one, if that is damaged.
    ///
    /// # Errors
    /// Why none can be read, in words.
    pub async fn newest_checkpoint(&self) -> Result<Option<Snapshot>, String> {
        let mut fault = None;
        for revision in self.checkpoints().await.map_err(|e| e.to_string())? {
            match self.checkpoint(revision).await {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(error) => {
                    fault = Some(format!("the checkpoint of revision {revision} {error}"));
                }
            }
        }
        fault.map_or(Ok(None), Err)
    }

    /// Reads and proves the checkpoint of a revision.
    pub(super) async fn checkpoint(&self, revision: u64) -> Result<Snapshot, CheckpointError> {
        let (parts, received) = mpsc::channel(PARTS_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let mut joined = Joined {
                part: Vec::new(),
                read: 0,
                parts: received,
            };
            checkpoint::read(&mut joined)
        });
        let failed = |e: sqlx::Error| CheckpointError::Io(io::Error::other(e));
        let sql = "SELECT bytes FROM amadeus_checkpoint_parts WHERE revision = $1 ORDER BY part";
        let mut rows = sqlx::query(sql)
            .bind(i64::try_from(revision).unwrap_or(i64::MAX))
            .fetch(&self.0.pool);
        let mut answer = Ok(());
        loop {
            let bytes: Vec<u8> = match rows.try_next().await {
                Ok(None) => break,
                Ok(Some(row)) => row.try_get(0).map_err(failed)?,
                Err(error) => {
                    answer = Err(failed(error));
                    break;
                }
            };
            // Whoever reads has found a fault; it is told below.
            if parts.send(bytes).await.is_err() {
                break;
            }
        }
        drop(parts);
        let read = reading
            .await
            .unwrap_or_else(|e| Err(CheckpointError::Io(io::Error::other(e))));
        answer?;
        let (header, snapshot) = read?;
        if header.revision != revision {
            let what = format!(
                "it is of revision {}, its row says {revision}",
                header.revision
            );
            return Err(CheckpointError::Corrupt(what));
        }
        Ok(snapshot)
    }
}

/// Cuts what is written into parts.
struct Cut {
    part: Vec<u8>,
    parts: mpsc::Sender<Vec<u8>>,
}

impl Cut {
    fn hand_over(&mut self) -> io::Result<()> {
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        self.parts
            .blocking_send(part)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == PART {
            self.hand_over()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts, one after the other.
struct Joined {
    part: Vec<u8>,
    read: usize,
    parts: mpsc::Receiver<Vec<u8>>,
}

impl Read for Joined {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.part.len() {
            match self.parts.blocking_recv() {
                Some(part) => (self.part, self.read) = (part, 0),
                None => return Ok(0),
            }
        }
        let n = (&self.part[self.read..]).read(into)?;
        self.read += n;
        Ok(n)
    }
}
