//! Tells any number of waiters that something happened, whatever it was: an event count.
//!
//! A waiter reads the [`Epoch`], then looks at what it cares about (the head's revision, the queue), and if that is not yet
//! what it wants, listens from that epoch. A ring after the look moves the epoch, so that the listening ends at once: no
//! wake is lost however the two interleave. The bell carries no value and knows no runtime; a waiter costs an entry in a
//! map while it waits and nothing when it is dropped.
//!
//! ```
//! # use kg_core::sync::{Bell, block_on};
//! # let (bell, done) = (Bell::default(), || true);
//! # block_on(async {
//! loop {
//!     let seen = bell.epoch();
//!     if done() {
//!         break;
//!     }
//!     bell.listen(seen).await;
//! }
//! # });
//! ```
//!
//! A ring costs one atomic addition while nobody waits. Otherwise it wakes all who wait, those who came first, first.
//!
//! # Orderings
//!
//! Epoch and the mark "somebody listens" share one word, so that the two sides cannot pass each other:
//!
//! - The ringer adds to the word with Release, and learns in the same step whether somebody listens.
//! - The waiter sets the mark with Acquire, and learns in the same step whether the epoch has moved; then it sees what the
//!   ringer did before. Of the two steps one is first: either the waiter sees the new epoch, or the ringer sees the mark.
//! - The waiter sets the mark and leaves its waker under one lock. A ringer that saw the mark takes that lock, and so finds
//!   the waker there.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::control::{Control, is_on, unless};
use super::{AtomicU64, Mutex, Ordering, lock};

/// Somebody may be listening.
const LISTENED: u64 = 1;
/// One ring, as the word counts it.
const RING: u64 = 2;

/// Tells waiters that something happened.
#[derive(Default)]
pub struct Bell {
    /// Twice the number of rings, plus [`LISTENED`].
    word: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// A moment between two rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

/// Those who wait, in the order in which they came.
#[derive(Default)]
struct Waiting {
    came: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Bell {
    /// The current moment. Read it before the look that decides whether to listen.
    pub fn epoch(&self) -> Epoch {
        // Acquire: pairs with the Release in `ring`.
        Epoch(self.word.load(Ordering::Acquire) / RING)
    }

    /// Ends the listening of all who read their epoch before this call.
    pub fn ring(&self) {
        // Release: pairs with the Acquire in `epoch` and `Listen::poll`.
        let before = self
            .word
            .fetch_add(RING, unless(Control::RelaxedRing, Ordering::Release));
        if before & LISTENED != 0 {
            self.wake_all();
        }
    }

    /// Ends when the bell has been rung after `seen` was read; at once, if it already has.
    pub fn listen(&self, seen: Epoch) -> Listen<'_> {
        Listen {
            bell: self,
            seen,
            place: None,
        }
    }

    fn wake_all(&self) {
        let wakers = {
            let mut waiting = lock(&self.waiting);
            // Relaxed: marks are set and removed under this lock; as a read-modify-write it continues the release sequence
            // of the rings before it.
            self.word.fetch_and(!LISTENED, Ordering::Relaxed);
            std::mem::take(&mut waiting.wakers)
        };
        // Without the lock, for a waker runs code that is not ours.
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

/// Listens to a [`Bell`]. Dropping it is leaving.
#[must_use = "a future that is not awaited hears nothing"]
pub struct Listen<'a> {
    bell: &'a Bell,
    seen: Epoch,
    /// Where our waker was left.
    place: Option<u64>,
}

impl Future for Listen<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.bell.epoch() != self.seen {
            return Poll::Ready(());
        }
        // Wakers are cloned before the lock and dropped after it: both run code that is not ours.
        let waker = context.waker().clone();
        let replaced = {
            let mut waiting = lock(&self.bell.waiting);
            // Acquire: pairs with the Release in `ring`.
            let now = self.bell.word.fetch_or(LISTENED, Ordering::Acquire) / RING;
            if Epoch(now) != self.seen && !is_on(Control::DeafBell) {
                return Poll::Ready(());
            }
            let place = match self.place {
                Some(place) => place,
                None => {
                    waiting.came += 1;
                    waiting.came
                }
            };
            self.place = Some(place);
            waiting.wakers.insert(place, waker)
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Listen<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let left = lock(&self.bell.waiting).wakers.remove(&place);
            drop(left);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;
    use std::thread;

    use super::*;
    use crate::sync::block_on;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        (Arc::clone(&count), Waker::from(count))
    }

    fn waiting(bell: &Bell) -> usize {
        lock(&bell.waiting).wakers.len()
    }

    #[test]
    fn a_ring_after_the_look_is_heard_also_before_the_listening() {
        let bell = Bell::default();
        let seen = bell.epoch();
        bell.ring();
        block_on(bell.listen(seen));
        assert_ne!(bell.epoch(), seen);
    }

    #[test]
    fn ten_thousand_listen_and_each_is_woken_once() {
        let bell = Bell::default();
        let (count, waker) = counting();
        let mut context = Context::from_waker(&waker);
        let seen = bell.epoch();
        let mut all: Vec<_> = (0..10_000).map(|_| Box::pin(bell.listen(seen))).collect();
        for listen in &mut all {
            assert!(listen.as_mut().poll(&mut context).is_pending());
            assert!(listen.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(waiting(&bell), 10_000);
        bell.ring();
        bell.ring();
        assert_eq!(count.0.load(Relaxed), 10_000);
        for listen in &mut all {
            assert!(listen.as_mut().poll(&mut context).is_ready());
        }
        assert_eq!(waiting(&bell), 0);
    }

    #[test]
    fn one_who_leaves_is_forgotten() {
        let bell = Bell::default();
        let (count, waker) = counting();
        {
            let mut listen = pin!(bell.listen(bell.epoch()));
            assert!(
                listen
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            assert_eq!(waiting(&bell), 1);
        }
        assert_eq!(waiting(&bell), 0);
        bell.ring();
        assert_eq!(count.0.load(Relaxed), 0);
    }

    #[test]
    fn no_ring_is_lost_between_threads() {
        const ROUNDS: usize = 20_000;
        let bell = Bell::default();
        let reached = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    block_on(async {
                        let mut last = 0;
                        while last < ROUNDS {
                            let seen = bell.epoch();
                            let now = reached.load(Relaxed);
                            if now == last {
                                bell.listen(seen).await;
                            }
                            last = now;
                        }
                    });
                });
            }
            for _ in 0..ROUNDS {
                reached.fetch_add(1, Relaxed);
                bell.ring();
            }
        });
    }
}
