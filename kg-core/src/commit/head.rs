//! The published head, and the order in which it is shown and told: *visible, then announced*.
//!
//! [`Head::publish`] is the only way to show a new snapshot. It stores the head, then lets the caller complete its tickets,
//! then rings for watchers and for those who wait for a revision. So whoever is told of a revision, by whatever way, can
//! read it.
//!
//! # Orderings
//!
//! The head is a [`Swap`]; tickets and the bell release, after the store, what their waiters acquire. So the store happens
//! before any look of a waiter who was told.

use std::ops::Deref;
use std::sync::Arc;

use crate::sync::control::{Control, is_on};
use crate::sync::{Bell, Epoch, Listen, Swap};

/// The published value, and the bell that is rung when there is a newer one.
pub struct Head<T> {
    current: Swap<T>,
    published: Bell,
}

impl<T> Head<T> {
    /// Shows the first value.
    pub fn new(value: Arc<T>) -> Self {
        Self {
            current: Swap::new(value),
            published: Bell::default(),
        }
    }

    /// Borrows the head: the fast way, for a look that is short. Hold it across nothing that waits.
    pub fn load(&self) -> impl Deref<Target = Arc<T>> + '_ {
        self.current.load()
    }

    /// Takes a share of the head, to keep for as long as it is needed.
    pub fn load_full(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Shows a new head, then tells of it: first by `tell`, which completes the tickets, then by the bell. Returns the head
    /// before, so that the caller chooses who frees it. Only the committer calls this.
    pub fn publish(&self, value: Arc<T>, tell: impl FnOnce()) -> Arc<T> {
        if is_on(Control::AnnouncedFirst) {
            tell();
            self.published.ring();
            return self.current.swap(value);
        }
        let before = self.current.swap(value);
        tell();
        self.published.ring();
        before
    }

    /// The moment to read before a look at the head that decides whether to [`listen`](Self::listen).
    pub fn epoch(&self) -> Epoch {
        self.published.epoch()
    }

    /// Ends when a head has been published after `seen` was read.
    pub fn listen(&self, seen: Epoch) -> Listen<'_> {
        self.published.listen(seen)
    }

    /// Waits for the first head that it sees for which `enough` holds.
    pub async fn reached(&self, enough: impl Fn(&T) -> bool) -> Arc<T> {
        loop {
            let seen = self.epoch();
            let head = self.load_full();
            if enough(&head) {
                return head;
            }
            drop(head);
            self.listen(seen).await;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;
    use crate::commit::ticket::ticket;
    use crate::sync::block_on;

    #[test]
    fn those_who_wait_for_a_revision_see_it() {
        let head = Head::new(Arc::new(0_u64));
        thread::scope(|scope| {
            for wanted in [1, 10, 100, 1000] {
                let head = &head;
                scope.spawn(move || assert!(*block_on(head.reached(|n| *n >= wanted)) >= wanted));
            }
            for n in 1..=1000 {
                let (completer, ticket) = ticket();
                let head = &head;
                scope.spawn(move || {
                    let told = ticket.wait().expect("it is completed");
                    assert!(**head.load() >= told);
                });
                assert_eq!(*head.publish(Arc::new(n), || completer.complete(n)), n - 1);
            }
        });
    }
}
