//! The two ends of one outcome: the [`Ticket`] waits for it, the [`Completer`] delivers it, once.
//!
//! The completer always delivers: dropped without an outcome (the committer died, a batch was thrown away), it completes
//! with [`Abandoned`], so that no caller waits for ever. A ticket that is dropped loses its interest and nothing else: the
//! transaction goes its way, and its outcome is freed with the slot.
//!
//! # Orderings
//!
//! Both ends share one [`Slot`] and touch it only by swapping: the ticket leaves its waker, the completer the outcome.
//! Of two swaps one is first. If it is the ticket's, the completer gets the waker and wakes it; if it is the completer's,
//! the ticket gets the outcome. There is no third case in which one looks, the other acts, and nobody is told.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::sync::control::{Control, is_on};
use crate::sync::exchange::Slot;
use crate::sync::{Shared, block_on};

/// Waits for one outcome: a future, or [`Ticket::wait`].
#[must_use = "the outcome is told nowhere else"]
pub struct Ticket<T> {
    /// `None` once the outcome has been handed out.
    slot: Option<Shared<Slot<Message<T>>>>,
}

/// Delivers one outcome.
#[must_use = "dropped, it tells the ticket that nobody will answer"]
pub struct Completer<T> {
    /// `None` once the outcome has been delivered.
    slot: Option<Shared<Slot<Message<T>>>>,
}

/// The completer was dropped: the outcome is unknown, and nobody will tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the commit was given up before its outcome was known")]
pub struct Abandoned;

/// What one end leaves for the other.
enum Message<T> {
    Wake(Waker),
    Outcome(Result<T, Abandoned>),
}

/// Makes the two ends.
pub fn ticket<T>() -> (Completer<T>, Ticket<T>) {
    let slot = Shared::new(Slot::default());
    (
        Completer {
            slot: Some(Shared::clone(&slot)),
        },
        Ticket { slot: Some(slot) },
    )
}

impl<T> Ticket<T> {
    /// Waits on the calling thread. Not for a runtime's threads; await it there.
    ///
    /// # Errors
    ///
    /// [`Abandoned`], if nobody will ever answer.
    pub fn wait(self) -> Result<T, Abandoned> {
        block_on(self)
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, Abandoned>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(slot) = &self.slot else {
            // Polled again after the end, against the contract of futures: there is no second outcome.
            return Poll::Ready(Err(Abandoned));
        };
        let waker = context.waker().clone();
        let found = if is_on(Control::DeafTicket) {
            let found = slot.take();
            if !matches!(found, Some(Message::Outcome(_))) {
                slot.swap(Message::Wake(waker));
            }
            found
        } else {
            slot.swap(Message::Wake(waker))
        };
        match found {
            Some(Message::Outcome(outcome)) => {
                self.slot = None;
                Poll::Ready(outcome)
            }
            // Nothing yet, or our waker of an earlier poll, which this one replaces.
            Some(Message::Wake(_)) | None => Poll::Pending,
        }
    }
}

impl<T> Completer<T> {
    /// Delivers the outcome.
    pub fn complete(mut self, value: T) {
        self.deliver(Ok(value));
    }

    fn deliver(&mut self, outcome: Result<T, Abandoned>) {
        if let Some(slot) = self.slot.take()
            && let Some(Message::Wake(waker)) = slot.swap(Message::Outcome(outcome))
        {
            waker.wake();
        }
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if !is_on(Control::SilentDrop) {
            self.deliver(Err(Abandoned));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn the_outcome_arrives_whoever_comes_first() {
        let (completer, ticket) = ticket();
        completer.complete(7);
        assert_eq!(ticket.wait(), Ok(7));

        let (completer, ticket) = super::ticket();
        let waiter = thread::spawn(|| ticket.wait());
        completer.complete(8);
        assert_eq!(waiter.join().expect("it cannot panic"), Ok(8));
    }

    #[test]
    fn a_dropped_completer_is_an_answer() {
        let (completer, ticket) = ticket::<u8>();
        drop(completer);
        assert_eq!(ticket.wait(), Err(Abandoned));
    }

    #[test]
    fn a_dropped_ticket_frees_the_outcome() {
        let outcome = Arc::new(());
        let (completer, ticket) = ticket();
        drop(ticket);
        completer.complete(Arc::clone(&outcome));
        assert_eq!(Arc::strong_count(&outcome), 1);
    }

    #[test]
    fn polled_often_it_wakes_the_last_waker() {
        let (completer, ticket) = ticket();
        let mut ticket = pin!(ticket);
        assert!(
            ticket
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        thread::scope(|scope| {
            scope.spawn(|| completer.complete(1));
            assert_eq!(block_on(ticket.as_mut()), Ok(1));
        });
        let again = ticket
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(again, Poll::Ready(Err(Abandoned)));
    }

    #[test]
    fn a_hundred_thousand_tickets_each_complete_once() {
        thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::channel();
            scope.spawn(move || {
                for (n, completer) in receive.into_iter().enumerate() {
                    Completer::complete(completer, n);
                }
            });
            for n in 0..100_000 {
                let (completer, ticket) = ticket();
                send.send(completer).expect("the other thread lives");
                assert_eq!(ticket.wait(), Ok(n));
            }
        });
    }
}
