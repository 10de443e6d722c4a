//! Flights: readers who want the same user share one question.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::auth::UserId;
use crate::users::error::UserError;
use crate::users::user::User;

/// Those that are under way, one for each user who is asked for.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<UserId, Arc<Flight>>>);

#[derive(Default)]
struct Flight {
    came: AtomicU64,
    last: tokio::sync::Mutex<Answer>,
}

#[derive(Default)]
struct Answer {
    /// Whoever's number is at most this had come before the question was asked.
    came: u64,
    user: Option<User>,
}

impl Flights {
    /// The answer to a question that was asked after this call.
    pub(super) async fn share<F: Future<Output = Result<Option<User>, UserError>>>(
        &self,
        id: &UserId,
        question: impl FnOnce() -> F,
    ) -> Result<Option<User>, UserError> {
        let flight = lock(&self.0).entry(id.clone()).or_default().clone();
        let _landing = Landing {
            flights: self,
            id,
            flight: &flight,
        };
        // Relaxed: the mutex below orders the look at `came` after the arrival of whoever holds it.
        let mine = flight.came.fetch_add(1, Ordering::Relaxed) + 1;
        let mut last = flight.last.lock().await;
        if last.came < mine {
            let came = flight.came.load(Ordering::Relaxed);
            let user = question().await?;
            *last = Answer { came, user };
        }
        Ok(last.user.clone())
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        lock(&self.0).len()
    }
}

/// Forgets a flight when its last reader leaves, also one who does not wait for the answer.
struct Landing<'a> {
    flights: &'a Flights,
    id: &'a UserId,
    flight: &'a Arc<Flight>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights.0);
        // The map's own and this one; others are made under the lock alone.
        if Arc::strong_count(self.flight) == 2 {
            flights.remove(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_that_wait_share_one_question_asked_after_the_last_came() {
        let flights = Arc::new(Flights::default());
        let asked = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let read = || {
            let (flights, asked, gate) = (flights.clone(), asked.clone(), gate.clone());
            tokio::spawn(async move {
                let question = || async {
                    asked.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.expect("open").forget();
                    Ok(None)
                };
                flights.share(&UserId("1".into()), question).await
            })
        };
        let first = read();
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (0..100).map(|_| read()).collect();
        let flight = lock(&flights.0).values().next().expect("one").clone();
        while flight.came.load(Ordering::SeqCst) < 101 {
            tokio::task::yield_now().await;
        }
        drop(flight);
        gate.add_permits(2);
        assert_eq!(first.await.expect("it ends"), Ok(None));
        for one in rest {
            assert_eq!(one.await.expect("it ends"), Ok(None));
        }
        assert_eq!((asked.load(Ordering::SeqCst), flights.under_way()), (2, 0));
    }
}
