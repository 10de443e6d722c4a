//! How many calls are being worked out: those that have begun and have no answer yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The count, which whoever has a clone shares.
#[derive(Clone, Debug, Default)]
pub struct AtWork(Arc<AtomicUsize>);

/// One call; it counts until this is dropped.
#[derive(Debug)]
pub struct Working(AtWork);

impl AtWork {
    /// Counts one call more.
    #[must_use]
    pub fn begin(&self) -> Working {
        // Relaxed throughout: whoever looks too early or too late sends a reply a moment later or by itself.
        self.0.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    /// Whether any call is being worked out.
    #[must_use]
    pub fn anyone(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
