//! A log whose append waits for as long as somebody wants it to.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use kg_core::log::{AppendError, Batch, InlineLog};

/// Open at first. What is appended is not kept.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    shut: bool,
    waits: bool,
}

impl Gate {
    /// Runs `look` while `commit`, on another thread, waits in its append; then lets it end.
    pub fn while_shut<T>(&self, commit: impl FnOnce() + Send, look: impl FnOnce() -> T) -> T {
        self.set(true);
        thread::scope(|scope| {
            scope.spawn(commit);
            let mut state = self.state();
            while !state.waits {
                state = self.wait(state);
            }
            drop(state);
            let seen = look();
            self.set(false);
            seen
        })
    }

    fn set(&self, shut: bool) {
        *self.state() = State { shut, waits: false };
        self.0.1.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl InlineLog for Gate {
    fn append_now(&mut self, _batch: &Batch) -> Result<(), AppendError> {
        let mut state = self.state();
        while state.shut {
            state.waits = true;
            self.0.1.notify_all();
            state = self.wait(state);
        }
        Ok(())
    }
}
