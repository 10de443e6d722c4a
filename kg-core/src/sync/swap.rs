//! One immutable value that readers see whole while a writer replaces it: the published head.
//!
//! In a build this is [`arc_swap::ArcSwap`]: a load costs about 12 ns and never waits for a store; a store waits for nobody.
//!
//! # Orderings
//!
//! Whoever loads a value sees all that its writer did before it stored it (`ArcSwap` promises Acquire and Release at least).
//! A thread never sees an older value after a newer one. Under loom the value is an index into a list that only grows,
//! stored with Release and loaded with Acquire: less than `ArcSwap` grants, so that what holds there holds here. A lock
//! would be no stand-in, for it orders more than `ArcSwap` does and would hide a missing ordering.

use std::ops::Deref;
use std::sync::Arc;

/// One immutable value that is replaced as a whole.
pub struct Swap<T>(inner::Inner<T>);

impl<T> Swap<T> {
    /// Publishes the first value.
    pub fn new(value: Arc<T>) -> Self {
        Self(inner::Inner::new(value))
    }

    /// Borrows the value: the fast way, for a look that is short. Hold it across nothing that waits.
    pub fn load(&self) -> impl Deref<Target = Arc<T>> + '_ {
        self.0.load()
    }

    /// Takes a share of the value, to keep for as long as it is needed.
    pub fn load_full(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Publishes another value.
    pub fn store(&self, value: Arc<T>) {
        self.0.store(value);
    }

    /// Publishes another value and returns the one before, so that the caller chooses who frees it.
    pub fn swap(&self, value: Arc<T>) -> Arc<T> {
        self.0.swap(value)
    }
}

#[cfg(not(loom))]
mod inner {
    pub(super) type Inner<T> = arc_swap::ArcSwap<T>;
}

#[cfg(loom)]
mod inner {
    use std::sync::Arc;

    use crate::sync::control::{Control, unless};
    use crate::sync::{AtomicBool, AtomicUsize, Ordering};

    /// The stand-in: every value that was ever published, and the index of the current one.
    pub(in super::super) struct Inner<T> {
        current: AtomicUsize,
        /// std's lock: loom does not see it, so it orders nothing in the model.
        published: std::sync::Mutex<Vec<Arc<Published<T>>>>,
    }

    struct Published<T> {
        value: Arc<T>,
        /// Stands for the value's memory: written and read Relaxed, it is seen only by who has the right to see the value.
        written: AtomicBool,
    }

    impl<T> Published<T> {
        fn new(value: Arc<T>) -> Arc<Self> {
            let published = Self {
                value,
                written: AtomicBool::new(false),
            };
            published.written.store(true, Ordering::Relaxed);
            Arc::new(published)
        }
    }

    impl<T> Inner<T> {
        pub(super) fn new(value: Arc<T>) -> Self {
            Self {
                current: AtomicUsize::new(0),
                published: std::sync::Mutex::new(vec![Published::new(value)]),
            }
        }

        #[expect(
            clippy::redundant_allocation,
            reason = "a box is all that a borrowed head has to look like"
        )]
        pub(super) fn load(&self) -> Box<Arc<T>> {
            Box::new(self.load_full())
        }

        pub(super) fn load_full(&self) -> Arc<T> {
            // Acquire: pairs with the Release in `store`.
            self.at(self.current.load(Ordering::Acquire))
        }

        pub(super) fn store(&self, value: Arc<T>) {
            let index = self.append(value);
            // Release: pairs with the Acquire in `load_full`.
            self.current
                .store(index, unless(Control::RelaxedStore, Ordering::Release));
        }

        pub(super) fn swap(&self, value: Arc<T>) -> Arc<T> {
            let index = self.append(value);
            // Release, Acquire: pairs with `store`, `swap` and `load_full`.
            let order = unless(Control::RelaxedStore, Ordering::AcqRel);
            self.at(self.current.swap(index, order))
        }

        fn append(&self, value: Arc<T>) -> usize {
            let published = Published::new(value);
            let mut all = self
                .published
                .lock()
                .expect("no model panics while it holds this");
            all.push(published);
            all.len() - 1
        }

        fn at(&self, index: usize) -> Arc<T> {
            let found = {
                let all = self
                    .published
                    .lock()
                    .expect("no model panics while it holds this");
                Arc::clone(&all[index])
            };
            // Outside the lock: loom may switch threads here.
            assert!(
                found.written.load(Ordering::Relaxed),
                "a head was seen before it was written"
            );
            Arc::clone(&found.value)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_reader_never_sees_it_go_back() {
        let swap = Swap::new(Arc::new(0_u64));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut newest = 0;
                    while newest < 10_000 {
                        let seen = **swap.load();
                        assert!(seen >= newest);
                        newest = seen;
                    }
                });
            }
            for n in 1..=10_000 {
                assert_eq!(*swap.swap(Arc::new(n)), n - 1);
            }
        });
        assert_eq!(*swap.load_full(), 10_000);
    }
}
