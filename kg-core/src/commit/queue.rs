//! The bounded queue between those who submit and the committer: many push, one takes all that waits.
//!
//! A push never waits: the queue accepts the item, or says that it is full or closed and hands the item back. What was
//! accepted is taken exactly once, also after the queue was closed; the items of one thread come in the order in which it
//! pushed them. Taking empties the queue in one step, which is what group commit wants: the longer an append takes, the
//! more the next batch shares the next one.
//!
//! The bound is on what waits. A batch that was taken no longer counts, so that there may be as much again in the
//! committer's hands.
//!
//! # Orderings
//!
//! The items travel through a [`Chain`], which orders them (see there); the length only counts, so it is Relaxed throughout.
//! It never counts less than what is linked: a push adds before it links, and a take subtracts after it has unlinked, which
//! happens after. It may count more, for the moment in which an item is admitted and not yet linked.

use std::fmt;

use crate::faults::{Bug, seeded};
use crate::sync::control::{Control, is_on};
use crate::sync::exchange::Chain;
use crate::sync::{AtomicUsize, Bell, Epoch, Listen, Ordering};

/// A bounded queue of which everything is taken at once.
pub struct Queue<T> {
    chain: Chain<T>,
    len: AtomicUsize,
    capacity: usize,
    /// Rung after each push and after the close.
    arrived: Bell,
}

/// Why an item was not accepted; it comes back.
#[derive(Clone, PartialEq, Eq)]
pub enum Refused<T> {
    /// As much waits as may. Try again later.
    Full(T),
    /// The queue takes nothing any more.
    Closed(T),
}

impl<T> Queue<T> {
    /// An empty queue in which `capacity` items may wait.
    pub fn new(capacity: usize) -> Self {
        Self {
            chain: Chain::default(),
            len: AtomicUsize::new(0),
            capacity,
            arrived: Bell::default(),
        }
    }

    /// Submits an item.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the item, if the queue is full or closed.
    pub fn push(&self, item: T) -> Result<(), Refused<T>> {
        if !self.admit() {
            if seeded(Bug::DroppedByFullQueue) {
                return Ok(());
            }
            // A full queue that is also closed is closed: waiting for room would be in vain.
            return Err(if self.is_closed() {
                Refused::Closed(item)
            } else {
                Refused::Full(item)
            });
        }
        if let Err(item) = self.chain.push(item) {
            // Relaxed: the length only counts.
            self.len.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Closed(item));
        }
        self.arrived.ring();
        Ok(())
    }

    /// Takes everything that waits, in the order of submission; nothing, if nothing does.
    pub fn take_all(&self) -> Vec<T> {
        let taken = self.chain.take();
        if !taken.is_empty() {
            // Relaxed: the length only counts; the admissions of what we took happen before this, by the chain.
            self.len.fetch_sub(taken.len(), Ordering::Relaxed);
        }
        taken
    }

    /// Waits until something waits, and takes it all. `None` once the queue is closed and everything has been taken.
    pub async fn next_batch(&self) -> Option<Vec<T>> {
        loop {
            let seen = self.epoch();
            let taken = self.take_all();
            if !taken.is_empty() {
                return Some(taken);
            }
            if self.chain.is_spent() {
                return None;
            }
            self.listen(seen).await;
        }
    }

    /// The moment to read before a look at the queue that decides whether to [`listen`](Self::listen).
    pub fn epoch(&self) -> Epoch {
        self.arrived.epoch()
    }

    /// Ends when something has been pushed, or the queue closed, after `seen` was read.
    pub fn listen(&self, seen: Epoch) -> Listen<'_> {
        self.arrived.listen(seen)
    }

    /// Accepts nothing from now on: once this has returned, every push is refused. What was accepted is still taken.
    /// Whoever is refused sees what the closer did before this call.
    pub fn close(&self) {
        self.chain.close();
        self.arrived.ring();
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.chain.is_closed()
    }

    /// Whether the queue was closed and everything has been taken: nothing will ever come.
    pub fn is_spent(&self) -> bool {
        self.chain.is_spent()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// How many items wait. Others push and take meanwhile: a number to show, not to decide by.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// How many items may wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Reserves room for one item.
    fn admit(&self) -> bool {
        let room = |len: usize| (len < self.capacity).then_some(len + 1);
        if is_on(Control::TornAdmission) {
            let admitted = room(self.len());
            self.len
                .fetch_add(admitted.is_some().into(), Ordering::Relaxed);
            return admitted.is_some();
        }
        // Relaxed: the length only counts.
        self.len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;
    use crate::sync::block_on;

    #[test]
    fn the_bound_holds_and_room_comes_back() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(Refused::Full(3)));
        assert_eq!((queue.len(), queue.capacity()), (2, 2));
        assert_eq!(queue.take_all(), [1, 2]);
        assert_eq!(queue.push(3), Ok(()));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_closed_queue_refuses_and_is_still_emptied() {
        let queue = Queue::new(1);
        assert_eq!(queue.push('a'), Ok(()));
        queue.close();
        assert_eq!(queue.push('b'), Err(Refused::Closed('b')));
        assert_eq!(block_on(queue.next_batch()), Some(vec!['a']));
        assert_eq!(queue.push('b'), Err(Refused::Closed('b')));
        assert_eq!(block_on(queue.next_batch()), None);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn under_load_everything_accepted_is_taken_once_and_in_each_pushers_order() {
        const PUSHERS: usize = 4;
        const EACH: usize = 20_000;
        let queue = Queue::new(256);
        let mut next = [0; PUSHERS];
        thread::scope(|scope| {
            for pusher in 0..PUSHERS {
                let queue = &queue;
                scope.spawn(move || {
                    for n in 0..EACH {
                        while queue.push((pusher, n)).is_err() {
                            thread::yield_now();
                        }
                    }
                });
            }
            block_on(async {
                while next.iter().sum::<usize>() < PUSHERS * EACH {
                    for (pusher, n) in queue.next_batch().await.expect("it is open") {
                        assert_eq!(n, next[pusher]);
                        next[pusher] += 1;
                    }
                }
            });
        });
        assert_eq!(
            (next, queue.len(), queue.is_empty()),
            ([EACH; PUSHERS], 0, true)
        );
    }

    #[test]
    fn closing_under_load_strands_nothing() {
        for _ in 0..200 {
            let queue = Queue::new(64);
            let accepted = thread::scope(|scope| {
                let pushers: Vec<_> = (0..3)
                    .map(|_| scope.spawn(|| (0..500).filter(|n| queue.push(*n).is_ok()).count()))
                    .collect();
                let taker = scope.spawn(|| {
                    block_on(async {
                        let mut taken = 0;
                        while let Some(batch) = queue.next_batch().await {
                            taken += batch.len();
                        }
                        taken
                    })
                });
                thread::yield_now();
                queue.close();
                let accepted: usize = pushers
                    .into_iter()
                    .map(|p| p.join().expect("it cannot panic"))
                    .sum();
                assert_eq!(taker.join().expect("it cannot panic"), accepted);
                accepted
            });
            assert!(accepted <= 1500 && queue.is_spent());
        }
    }
}
