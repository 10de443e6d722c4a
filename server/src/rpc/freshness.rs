//! How fresh a read is: which snapshot answers it, and how long it may wait for one.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amadeus_proto::v1::Consistency;
use amadeus_proto::v1::consistency::Level;
use kg_core::commit::Held;
use kg_core::limits::WAIT_SECONDS;
use kg_core::log::ReadError;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::context::Context;
use super::seen::Seen;
use super::status;
use crate::auth::Caller;

/// Taken off a call's deadline, so that its answer says what was waited for before the transport gives up.
const MARGIN: Duration = Duration::from_millis(10);

/// When a call must have been answered, if it says so.
#[must_use]
pub fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let given = parse_timeout(metadata.get("grpc-timeout")?.to_str().ok()?)?;
    Instant::now().checked_add(given - MARGIN.min(given / 4))
}

/// The same for a whole call, later than what it waits for and still before the transport gives up.
#[must_use]
pub fn last_moment(headers: &http::HeaderMap) -> Option<Instant> {
    let given = parse_timeout(headers.get("grpc-timeout")?.to_str().ok()?)?;
    Instant::now().checked_add(given - (MARGIN / 2).min(given / 8))
}

/// `grpc-timeout` is at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain =
        !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_digit());
    let amount: u64 = plain.then(|| digits.parse().ok()).flatten()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3_600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

impl Context {
    /// What the caller sees of the revision that answers a read.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED, OUT_OF_RANGE, or UNAVAILABLE when the log cannot be asked.
    pub async fn fresh(
        &self,
        caller: &Caller,
        consistency: Option<&Consistency>,
        metadata: &MetadataMap,
    ) -> Result<Seen, Status> {
        let level = consistency.and_then(|consistency| consistency.level);
        match level {
            None | Some(Level::MinimizeLatency(_) | Level::Linearizable(false)) => {}
            Some(Level::AtLeast(revision)) => self.at_least(revision, metadata).await?,
            Some(Level::AtExact(revision)) => {
                let whole = self.at_exact(revision, metadata).await?;
                return self.see(caller, whole).await;
            }
            Some(Level::Linearizable(true)) => {
                let last = self.ask_log(metadata).await?;
                self.at_least(last, metadata).await?;
            }
        }
        self.see_head(caller).await
    }

    async fn at_least(&self, revision: u64, metadata: &MetadataMap) -> Result<(), Status> {
        if self.graph.revisions().0 >= revision {
            return Ok(());
        }
        tokio::select! {
            reached = timeout_at(wait_until(metadata), self.graph.reached(revision)) => {
                reached.map(drop).map_err(|_| status::too_late(revision, self.graph.revisions().0))
            }
            () = self.stopped() => Err(status::stopping()),
        }
    }

    /// A revision above the head either exists in the log, and is on its way here, or does not exist.
    pub(super) async fn at_exact(
        &self,
        revision: u64,
        metadata: &MetadataMap,
    ) -> Result<Held, Status> {
        if revision > self.graph.revisions().0 && self.ask_log(metadata).await? >= revision {
            self.at_least(revision, metadata).await?;
        }
        let kept = self.pages.pinned(revision);
        match kept {
            Some(held) => Ok(held),
            None => self.graph.snapshot_at(revision).map_err(status::not_kept),
        }
    }

    async fn ask_log(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        let asked = self.last_revision.ask(|| self.log.last_revision());
        match timeout_at(wait_until(metadata), asked).await {
            Ok(answer) => answer.map_err(status::read),
            Err(_) => Err(status::deadline("asking the log for its last revision")),
        }
    }
}

pub(super) fn wait_until(metadata: &MetadataMap) -> Instant {
    deadline(metadata).unwrap_or_else(|| Instant::now() + Duration::from_secs(WAIT_SECONDS))
}

/// One question to the log for all who wait for its answer.
///
/// An answer is good for whoever came before the question was asked. Those who come while one is on its way wait for the
/// next, which then serves them all.
#[derive(Debug, Default)]
pub struct LastRevision {
    came: AtomicU64,
    last: Mutex<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    /// Whoever's number is at most this had come before the question was asked.
    came: u64,
    revision: u64,
}

impl LastRevision {
    /// The log's last revision, from a question that was asked after this call.
    ///
    /// # Errors
    /// What the log says.
    pub async fn ask<F: Future<Output = Result<u64, ReadError>>>(
        &self,
        question: impl FnOnce() -> F,
    ) -> Result<u64, ReadError> {
        // Relaxed: the mutex below orders the look at `came` after the arrival of whoever holds it.
        let mine = self.came.fetch_add(1, Ordering::Relaxed) + 1;
        let mut last = self.last.lock().await;
        if last.came < mine {
            let came = self.came.load(Ordering::Relaxed);
            let revision = question().await?;
            *last = Answer { came, revision };
        }
        Ok(last.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(parse_timeout("300m"), Some(Duration::from_millis(300)));
        assert_eq!(parse_timeout("5S"), Some(Duration::from_secs(5)));
        for bad in ["", "S", "5", "123456789S", "-1S", "5x", "5é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_that_wait_share_one_question_asked_after_the_last_came() {
        let shared = Arc::new(LastRevision::default());
        let (asked, log) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let ask = |shared: Arc<LastRevision>| {
            let (asked, log, gate) = (asked.clone(), log.clone(), gate.clone());
            tokio::spawn(async move {
                let written = log.load(Ordering::SeqCst);
                let answer = shared
                    .ask(|| async {
                        asked.fetch_add(1, Ordering::SeqCst);
                        gate.acquire().await.expect("open").forget();
                        Ok(log.load(Ordering::SeqCst))
                    })
                    .await
                    .expect("the log answers");
                assert!(answer >= written);
            })
        };
        let first = ask(shared.clone());
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        log.store(7, Ordering::SeqCst);
        let rest: Vec<_> = (0..100).map(|_| ask(shared.clone())).collect();
        while shared.came.load(Ordering::SeqCst) < 101 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        first.await.expect("answered");
        for one in rest {
            one.await.expect("answered");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
