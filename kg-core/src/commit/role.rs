//! The committer's role, for a graph without a server: whoever submits commits, if nobody else is at it.
//!
//! One thread at a time holds the role. A caller pushes to the queue and then calls [`Role::serve`]; if another thread
//! holds the role, the caller leaves its item to it. For that the holder owes one thing: **whoever gives the role up looks
//! at the queue once more**. Without that look an item is stranded that was pushed after the holder's last take, by a caller
//! who found the role still taken.
//!
//! A server does not need this: it runs one committer task, which holds the role from start to end.
//!
//! # Orderings
//!
//! Asking for the role and giving it up are both swaps, Acquire and Release, of one word. Of an ask that fails and the
//! giving up that follows, the second reads what the first has written: so the push before the ask happens before the look
//! after the giving up. (With a plain store for giving up, both sides could miss each other: this is the store-buffer
//! pattern, and only read-modify-writes or sequentially consistent fences close it.) Of a giving up and the ask that
//! succeeds after it, the second sees all that the last holder did.

use super::queue::Queue;
use crate::sync::control::{Control, is_on, unless};
use crate::sync::{AtomicBool, Ordering};

/// The right to commit, which one thread has at a time.
#[derive(Default)]
pub struct Role {
    held: AtomicBool,
}

/// The role, held; given up when dropped.
#[must_use = "dropped at once, the role is given up at once"]
pub struct RoleGuard<'a> {
    role: &'a Role,
}

impl Role {
    /// Takes the role, unless somebody has it. The asker has to push before it asks, and the holder to look at the queue
    /// after it has given the role up: [`Role::serve`] does both.
    pub fn try_acquire(&self) -> Option<RoleGuard<'_>> {
        // Acquire: pairs with the Release in `RoleGuard::drop`. Release: pairs with the Acquire there, if we are refused.
        let held = self
            .held
            .swap(true, unless(Control::RelaxedRole, Ordering::AcqRel));
        // A guard must not even be made by who is refused: dropping it would take the role from its holder.
        if held {
            None
        } else {
            Some(RoleGuard { role: self })
        }
    }

    /// Commits what waits in the queue, batch by batch, unless somebody else does. When it returns, whatever the caller had
    /// pushed has been taken, or is left to a thread that holds the role and will take it.
    ///
    /// If `commit` panics, the role is given up and what still waits is left to the next caller.
    pub fn serve<T>(&self, queue: &Queue<T>, mut commit: impl FnMut(Vec<T>)) {
        while !queue.is_empty() {
            let Some(guard) = self.try_acquire() else {
                return;
            };
            loop {
                let batch = queue.take_all();
                if batch.is_empty() {
                    break;
                }
                commit(batch);
            }
            drop(guard);
            if is_on(Control::NoSecondLook) {
                return;
            }
        }
    }
}

impl Drop for RoleGuard<'_> {
    fn drop(&mut self) {
        if is_on(Control::DeafRole) {
            self.role.held.store(false, Ordering::Release);
            return;
        }
        // Release: pairs with the Acquire in `try_acquire`. Acquire: pairs with the Release of those who were refused.
        self.role.held.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let role = Role::default();
        let held = role.try_acquire();
        assert!(held.is_some());
        // Twice: the first version made a guard for who was refused, and dropping that gave the holder's role up.
        assert!(role.try_acquire().is_none() && role.try_acquire().is_none());
        drop(held);
        assert!(role.try_acquire().is_some());
    }

    #[test]
    fn under_load_nothing_is_stranded() {
        const THREADS: usize = 4;
        const EACH: usize = 20_000;
        let (role, queue) = (Role::default(), Queue::new(THREADS * EACH));
        let (inside, committed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for n in 0..EACH {
                        queue.push(n).expect("there is room");
                        role.serve(&queue, |batch| {
                            assert_eq!(inside.fetch_add(1, Relaxed), 0);
                            committed.fetch_add(batch.len(), Relaxed);
                            inside.fetch_sub(1, Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!((committed.into_inner(), queue.len()), (THREADS * EACH, 0));
    }

    #[test]
    fn a_panicking_commit_gives_the_role_up() {
        let (role, queue) = (Role::default(), Queue::new(4));
        queue.push(1).expect("there is room");
        let serve = || role.serve(&queue, |_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve)).is_err());
        assert!(role.try_acquire().is_some());
    }
}
