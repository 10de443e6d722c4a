//! Views: for each reach that somebody reads with, the part of the graph that it covers, kept at the head.
//!
//! Many callers share a reach, and one view serves them all. It follows the graph when it is asked for, by the records since
//! it was asked last; whoever asks at the same time waits for that. Old revisions are made from nothing, and the last few are
//! kept. At most [`VIEWS`] reaches are kept; one more lets go of the one that was asked for least lately.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use kg_core::access::{Reach, follow, view};
use kg_core::commit::Graph;
use kg_core::limits::VIEWS;
use kg_core::snapshot::Snapshot;
use tokio::sync::{Mutex as Turn, Semaphore};
use tonic::Status;

use super::graph::blocking_if;
use super::status;

/// Old revisions of one reach that are kept.
const PAST: usize = 8;

/// Old revisions that are made at once.
const AT_ONCE: usize = 2;

/// Entities of a graph whose view is made on a thread for long work.
const LONG: usize = 1_000;

/// Changes beyond which a view is made anew rather than followed.
const FOLLOWED: usize = 10_000;

/// The views.
#[derive(Debug)]
pub struct Views(Mutex<Kept>, Semaphore);

impl Default for Views {
    fn default() -> Self {
        Self(Mutex::default(), Semaphore::new(AT_ONCE))
    }
}

#[derive(Debug, Default)]
struct Kept {
    of: HashMap<Reach, Slot>,
    /// Grows by one each time that somebody asks.
    asked: u64,
}

#[derive(Debug)]
struct Slot {
    views: Arc<OfReach>,
    asked: u64,
}

#[derive(Debug, Default)]
struct OfReach {
    /// Held while it follows, so that whoever asks meanwhile waits for that and for nothing else.
    head: Turn<Option<Arc<Snapshot>>>,
    /// Old revisions, each with the revision that was the head then, where that decides too.
    past: Mutex<VecDeque<Past>>,
}

type Past = ((u64, u64), Arc<Snapshot>);

impl Views {
    /// What `reach` covers of the head, as it is now or later.
    ///
    /// # Errors
    /// INTERNAL when the work panicked.
    pub async fn head(&self, graph: &Arc<Graph>, reach: &Reach) -> Result<Arc<Snapshot>, Status> {
        let slot = self.of(reach);
        let mut kept = slot.head.lock().await;
        let published = graph.published();
        let whole = published.snapshot.clone();
        if let Some(head) = &*kept {
            if head.revision() >= whole.revision() {
                return Ok(head.clone());
            }
            let records = published
                .history
                .records_from(head.revision() + 1, usize::MAX)
                .filter(|records| {
                    records.iter().map(|r| r.changes.len()).sum::<usize>() <= FOLLOWED
                });
            if let Some(records) = records {
                let mut next = Some((**head).clone());
                for record in &records {
                    next = next.and_then(|seen| {
                        let after = || published.history.at(record.revision).ok();
                        follow(&seen, reach, record, after)
                    });
                }
                if let Some(next) = next {
                    let next = Arc::new(next);
                    *kept = Some(next.clone());
                    return Ok(next);
                }
            }
        }
        let made = make(whole.clone(), reach.clone(), whole).await?;
        *kept = Some(made.clone());
        Ok(made)
    }

    /// What `reach` covers of `whole`, which may be of any revision, and still covers now.
    ///
    /// # Errors
    /// INTERNAL when the work panicked.
    pub async fn at(
        &self,
        graph: &Arc<Graph>,
        whole: Arc<Snapshot>,
        reach: &Reach,
    ) -> Result<Arc<Snapshot>, Status> {
        let slot = self.of(reach);
        let now = graph.snapshot().shared();
        let decides = if reach.asks_for_owners() {
            now.revision()
        } else {
            0
        };
        let wanted = (whole.revision(), decides);
        if let Some(kept) = slot.past(wanted) {
            return Ok(kept);
        }
        // Not one at a time for all: few at once, and nobody who reads the head waits for these.
        let turn = self.1.acquire().await;
        let _turn = turn.map_err(|closed| status::internal("waiting for a turn", &closed))?;
        if let Some(kept) = slot.past(wanted) {
            return Ok(kept);
        }
        let made = make(whole, reach.clone(), now).await?;
        let mut past = slot.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == PAST {
            past.pop_front();
        }
        past.push_back((wanted, made.clone()));
        Ok(made)
    }

    fn of(&self, reach: &Reach) -> Arc<OfReach> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.asked += 1;
        let asked = kept.asked;
        if let Some(slot) = kept.of.get_mut(reach) {
            slot.asked = asked;
            return slot.views.clone();
        }
        if kept.of.len() >= VIEWS {
            let least = kept.of.iter().min_by_key(|(_, slot)| slot.asked);
            if let Some(reach) = least.map(|(reach, _)| reach.clone()) {
                kept.of.remove(&reach);
            }
        }
        let views: Arc<OfReach> = Arc::default();
        let slot = Slot {
            views: views.clone(),
            asked,
        };
        kept.of.insert(reach.clone(), slot);
        views
    }

    /// How many reaches are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of.len()
    }
}

impl OfReach {
    fn past(&self, wanted: (u64, u64)) -> Option<Arc<Snapshot>> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = past.iter().find(|(known, _)| *known == wanted);
        kept.map(|(_, kept)| kept.clone())
    }
}

async fn make(
    whole: Arc<Snapshot>,
    reach: Reach,
    now: Arc<Snapshot>,
) -> Result<Arc<Snapshot>, Status> {
    let long = whole.entity_count() > LONG;
    blocking_if(long, move || Arc::new(view(&whole, &reach, &now))).await
}
