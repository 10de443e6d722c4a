//! Pauses between tries: each longer than the one before, and none the same as another client's.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The pause that comes next.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    /// How long to wait now: between half of the pause and the whole, by chance, so that clients that lost a server
    /// together do not come back together.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        let chance = RandomState::new().hash_one(()) % 512;
        pause.mul_f64(0.5 + chance as f64 / 1_024.0)
    }

    /// Something succeeded.
    pub(crate) fn reset(&mut self) {
        self.0 = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_are_short_again_after_a_success() {
        let mut pause = Pause::default();
        assert!(pause.next() <= FIRST);
        for _ in 0..10 {
            pause.next();
        }
        let long = pause.next();
        assert!(long >= LONGEST / 2 && long <= LONGEST, "{long:?}");
        pause.reset();
        assert!(pause.next() <= FIRST);
    }
}
