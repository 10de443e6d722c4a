//! Opening the store in a database: reached within a bounded time, proved by folding it, and never replaced by another one.

use super::super::backend::Backend;
use super::super::open::{OpenError, OpenOptions, Opened};
use super::super::replay::Past;
use super::PostgresLog;
use super::connect::{About, Address, prepare, risks, schema_version};
use kg_core::log::{CommitLog, DecodeError, ReadError};
use kg_core::snapshot::Snapshot;
use sqlx::Connection;
use std::time::{Duration, Instant};

/// How long a start waits for the database, trying again and again.
const START: Duration = Duration::from_secs(15);

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Records read at a time.
const PAGE: usize = 1_000;

/// Opens the store at `url`, or makes one where there is none.
pub(in super::super) async fn open(url: &str, options: &OpenOptions) -> Result<Opened, OpenError> {
    let address = Address::parse(url).map_err(|e| OpenError::Address {
        what: without_password(url, &e.to_string()),
    })?;
    let place = address.place();
    let (about, mut report) = reach(&address, &place).await?;
    if about.version != schema_version() {
        return Err(OpenError::Schema {
            path: place.into(),
            found: about.version.into(),
            known: schema_version().into(),
        });
    }
    let revision = |value: i64| u64::try_from(value).unwrap_or_default();
    let (last, compacted) = (revision(about.revision), revision(about.compacted));
    let log = PostgresLog::new(address);
    let wanted = last.saturating_sub(options.replay_records);
    let base = base(&log, &place, compacted, wanted, &mut report).await?;
    let first = base.revision() + 1;
    let mut past = Past::new(base, last, options.history);
    loop {
        let from = past.head().revision() + 1;
        let records = log.read(from, PAGE).await;
        let records = records.map_err(|error| unreadable(&place, error))?;
        if records.is_empty() {
            break;
        }
        for record in records {
            past.fold(record).map_err(|what| OpenError::Damaged {
                path: place.clone().into(),
                what,
            })?;
        }
    }
    let head = past.head().revision();
    if first <= head {
        report.push(format!("replayed revisions {first} to {head}"));
    }
    Ok(Opened {
        backend: Backend::Postgres(log),
        history: past.finish(),
        store_id: about.store_id.into(),
        report,
        files: None,
    })
}

/// What the replay begins with: the newest checkpoint that is whole and leaves the wanted number of records for the recent
/// past, then newer ones, then older ones; the empty graph, revision 0, is one of them where nothing was compacted.
async fn base(
    log: &PostgresLog,
    place: &str,
    compacted: u64,
    wanted: u64,
    report: &mut Vec<String>,
) -> Result<Snapshot, OpenError> {
    let mut faults = Vec::new();
    let mut all = log
        .checkpoints()
        .await
        .map_err(|error| OpenError::Damaged {
            path: place.into(),
            what: error.to_string(),
        })?;
    all.extend((compacted == 0).then_some(0));
    all.retain(|revision| *revision >= compacted);
    // Newest first; those behind the best one are older.
    let best = all.iter().position(|revision| *revision <= wanted);
    let (newer, older) = all.split_at(best.unwrap_or(all.len()));
    let order = older
        .iter()
        .take(1)
        .chain(newer.iter().rev())
        .chain(older.iter().skip(1));
    for revision in order {
        if *revision == 0 {
            report.extend(faults);
            return Ok(Snapshot::new());
        }
        match log.checkpoint(*revision).await {
            Ok(snapshot) => {
                report.extend(faults);
                return Ok(snapshot);
            }
            Err(error) => faults.push(format!("the checkpoint of revision {revision} {error}")),
        }
    }
    Err(OpenError::NoBase {
        path: place.into(),
        compacted,
        faults,
    })
}

/// Reaches the database and prepares it; for a bounded time, for it may be starting as well.
async fn reach(address: &Address, place: &str) -> Result<(About, Vec<String>), OpenError> {
    let began = Instant::now();
    loop {
        let reached = async {
            let mut connection = address.connect().await?;
            let about = prepare(&mut connection).await?;
            let risks = risks(&mut connection).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>((about, risks))
        };
        let error = match reached.await {
            Ok(reached) => return Ok(reached),
            Err(error) => error,
        };
        let is_final = will_not_pass(&error);
        if is_final || began.elapsed() + PAUSE > START {
            return Err(OpenError::Unreachable {
                place: place.to_owned(),
                seconds: began.elapsed().as_secs(),
                what: error.to_string(),
            });
        }
        tracing::warn!(%error, place, "the database cannot be reached yet");
        tokio::time::sleep(PAUSE).await;
    }
}

/// A wrong password, a missing database, or one that is not whom it should be, will not come right by waiting.
fn will_not_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        // What rustls does not believe.
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            !code.starts_with("57P") && !code.starts_with("53") && !code.starts_with("08")
        }
        _ => false,
    }
}

fn unreadable(place: &str, error: ReadError) -> OpenError {
    match error {
        ReadError::Record {
            revision,
            cause: DecodeError::UnknownVersion { found },
        } => OpenError::RecordVersion {
            path: place.into(),
            revision,
            found,
        },
        other => OpenError::Damaged {
            path: place.into(),
            what: other.to_string(),
        },
    }
}

/// What is wrong with a URL may quote it.
fn without_password(url: &str, said: &str) -> String {
    let secret = url
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .and_then(|(user, _)| user.split_once(':'));
    match secret {
        Some((_, secret)) if !secret.is_empty() => said.replace(secret, "..."),
        _ => said.to_owned(),
    }
}
