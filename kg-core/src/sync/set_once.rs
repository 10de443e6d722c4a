//! A value that is set at most once, for good, and that anybody may look at: why the store takes no more writes.
//!
//! In a build this is [`std::sync::OnceLock`]: a look costs one load.
//!
//! # Orderings
//!
//! Whoever sees the value sees all that its setter did before. A look may come too early, and then finds nothing: who must
//! not miss the value needs a happens-before edge from its setter. Under loom the value stands behind a flag that is stored
//! with Release and loaded with Acquire, which is what `OnceLock` grants.

/// A value that is set at most once.
pub struct SetOnce<T>(inner::Inner<T>);

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self(inner::Inner::default())
    }
}

impl<T> SetOnce<T> {
    /// The value, if it has been set.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Sets the value; the first to do so wins, and every other is dropped.
    pub fn set(&self, value: T) {
        let _ = self.0.set(value);
    }
}

#[cfg(not(loom))]
mod inner {
    pub(super) type Inner<T> = std::sync::OnceLock<T>;
}

#[cfg(loom)]
mod inner {
    use std::sync::OnceLock;

    use crate::sync::control::{Control, unless};
    use crate::sync::{AtomicBool, Ordering};

    /// The stand-in: the value, where loom does not look, and the flag by which loom decides who may see it.
    pub(in super::super) struct Inner<T> {
        is_set: AtomicBool,
        /// Stands for the value's memory: written and read Relaxed, it is seen only by who has the right to see the value.
        written: AtomicBool,
        value: OnceLock<T>,
    }

    impl<T> Default for Inner<T> {
        fn default() -> Self {
            Self {
                is_set: AtomicBool::new(false),
                written: AtomicBool::new(false),
                value: OnceLock::new(),
            }
        }
    }

    impl<T> Inner<T> {
        pub(super) fn get(&self) -> Option<&T> {
            // Acquire: pairs with the Release in `set`.
            if !self.is_set.load(Ordering::Acquire) {
                return None;
            }
            assert!(
                self.written.load(Ordering::Relaxed),
                "a value was seen before it was written"
            );
            self.value.get()
        }

        pub(super) fn set(&self, value: T) -> Result<(), T> {
            self.value.set(value)?;
            self.written.store(true, Ordering::Relaxed);
            // Release: pairs with the Acquire in `get`.
            self.is_set
                .store(true, unless(Control::RelaxedSet, Ordering::Release));
            Ok(())
        }
    }
}
