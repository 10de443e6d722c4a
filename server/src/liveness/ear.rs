//! For how long this process may not have heard who called: it is judged by whether it was awake itself.

use std::sync::{Mutex, PoisonError};

/// Told again and again that the process is awake, it knows the widest gap between two of these.
#[derive(Debug, Default)]
pub struct Ear(Mutex<Gaps>);

#[derive(Debug, Default)]
struct Gaps {
    heard_ms: u64,
    widest_ms: u64,
}

impl Ear {
    /// The process is awake.
    pub fn hear(&self, now: u64) {
        let mut gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.widest_ms = gaps.widest_ms.max(now.saturating_sub(gaps.heard_ms));
        gaps.heard_ms = now;
    }

    /// The widest gap since it was last asked, the one that may be under way included: whoever asks may be awake first.
    pub fn deaf_ms(&self, now: u64) -> u64 {
        let mut gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = now.saturating_sub(gaps.heard_ms);
        std::mem::take(&mut gaps.widest_ms).max(under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_is_known_whoever_wakes_first() {
        let ear = Ear::default();
        for now in (0..=1_000).step_by(50) {
            ear.hear(now);
        }
        assert_eq!(ear.deaf_ms(1_020), 50);
        assert_eq!(ear.deaf_ms(4_000), 3_000, "who asks is first");
        ear.hear(4_001);
        assert_eq!(ear.deaf_ms(4_010), 3_001, "the ear was second");
        assert_eq!(ear.deaf_ms(4_020), 19);
    }
}
