//! How the log stands, as its committer finds it.

use std::sync::{Mutex, PoisonError};

/// Why the log cannot be reached, if it cannot.
#[derive(Debug, Default)]
pub struct Standing(Mutex<Option<String>>);

impl Standing {
    /// Notes what is wrong, or that nothing is.
    pub fn note(&self, fault: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
