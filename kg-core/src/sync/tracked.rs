//! A value whose handover from one thread to another is checked under loom, and which is only itself in a build.
//!
//! loom sees atomics and its own cells; it cannot see into a `Box`. So what travels through the [`exchange`](super::exchange)
//! is wrapped, and opening it counts as a write in the model: without a happens-before edge from the thread that wrapped it,
//! the model fails.

#[cfg(not(loom))]
pub(super) struct Tracked<T>(T);

#[cfg(not(loom))]
impl<T> Tracked<T> {
    pub(super) fn new(value: T) -> Self {
        Self(value)
    }

    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

#[cfg(loom)]
pub(super) struct Tracked<T>(loom::cell::UnsafeCell<T>);

#[cfg(loom)]
impl<T> Tracked<T> {
    pub(super) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    pub(super) fn into_inner(self) -> T {
        // `into_inner` alone would not be checked.
        self.0.with_mut(|_| ());
        self.0.into_inner()
    }
}
