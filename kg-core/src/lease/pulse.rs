//! One lease's sign of life: when its holder was last heard from and what it said, or that the lease has lapsed.
//!
//! It is one word, because expiry races keep-alive. The steward looks, finds the holder silent for too long and lapses the
//! lease; in between the holder may call. Whichever changes the word first wins, and the other one learns of it: a call
//! that was answered "kept" is never followed by a lapse that was decided before it, and a call that comes after the lapse is
//! answered "lapsed". So both sides always believe the same.
//!
//! ```text
//! bits 63..16  milliseconds of the caller's clock: 8,900 years of them
//! bits 15..2   beats, counted modulo 16,384
//! bits  1..0   what was said; 0: lapsed
//! ```
//!
//! The count is there because a call need not bring a later time. A call that read the clock, stood still for a whole ttl and
//! then arrived would write what stands there already: it would be answered "kept", and the steward's exchange would still
//! find what it had seen. So every call changes the word. A look would be mistaken for a later one only after exactly 16,384
//! beats of one millisecond between it and its exchange.
//!
//! # Orderings
//!
//! Relaxed throughout. All there is to agree on is in this word, and a read-modify-write reads the newest value of its word
//! whatever its ordering is: that decides who was first. A look may be stale; then the exchange that follows fails, and the
//! next sweep looks again. Nothing else travels with the word. What a lease is never changes and is handed over by the lock
//! of the table; what the steward concludes it tells by its own batch, after the sweep; and of one who is answered
//! "lapsed" nothing is expected but to call [`Pulse::revive`], which is again a step of this word.

use crate::model::Health;
use crate::sync::control::{Control, is_on};
use crate::sync::{AtomicU64, Ordering};

/// What a holder says of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// It serves.
    Up = 1,
    /// It serves, but not well.
    Degraded = 2,
    /// It does not serve: "I am alive, do not call me".
    Down = 3,
}

/// The sign of life.
#[derive(Debug)]
pub struct Pulse {
    word: AtomicU64,
}

/// What a look found: the holder's last call. [`Pulse::lapse`] takes it back, to lapse the lease only if no other call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When it called.
    pub at_ms: u64,
    /// What it said.
    pub said: Said,
    word: u64,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The lease lives.
    Kept {
        /// What the call before this one said.
        before: Said,
        /// How long before this one it came.
        silent_ms: u64,
    },
    /// The lease had lapsed, and has not been changed.
    Lapsed,
}

const SAID_BITS: u32 = 2;
const SAID: u64 = (1 << SAID_BITS) - 1;
const TIME_SHIFT: u32 = 16;
const BEATS: u64 = (1 << (TIME_SHIFT - SAID_BITS)) - 1;
const LAST_MS: u64 = u64::MAX >> TIME_SHIFT;

impl Pulse {
    /// The pulse of a lease whose holder is heard from now.
    #[must_use]
    pub fn new(now: u64, said: Said) -> Self {
        Self {
            word: AtomicU64::new(next(0, now, said)),
        }
    }

    /// The holder calls. Time never goes back: of two calls that overtake each other the later time stays. A lease that has
    /// lapsed stays as it is.
    pub fn beat(&self, now: u64, said: Said) -> Beat {
        let is_alive = |word| unpack(word).map(|_| next(word, now, said));
        match self.update(is_alive).and_then(unpack) {
            Some(before) => Beat::Kept {
                before: before.said,
                silent_ms: now.saturating_sub(before.at_ms),
            },
            None => Beat::Lapsed,
        }
    }

    /// The holder's last call; `None` if the lease has lapsed.
    pub fn heard(&self) -> Option<Heard> {
        // Relaxed: a stale look is found out by the exchange in `lapse`.
        unpack(self.word.load(Ordering::Relaxed))
    }

    /// When the holder called last, also of a lease that has lapsed.
    pub fn called_ms(&self) -> u64 {
        // Relaxed: a number to show.
        self.word.load(Ordering::Relaxed) >> TIME_SHIFT
    }

    /// Lapses the lease, if the holder has not called since that look. False: it has, or the lease had lapsed before.
    pub fn lapse(&self, heard: Heard) -> bool {
        let lapsed = heard.word & !SAID;
        if is_on(Control::BlindLapse) {
            self.word.swap(lapsed, Ordering::Relaxed);
            return true;
        }
        // Relaxed: which of a beat and this comes first is the order of one word, see above.
        self.word
            .compare_exchange(heard.word, lapsed, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The holder is back after a lapse, of which note was taken. Where it has not lapsed, this is one more call.
    pub fn revive(&self, now: u64, said: Said) {
        let _always = self.update(|word| Some(next(word, now, said)));
    }

    /// Changes the word in one step, and returns the one before; `None`, where `step` wants no change.
    fn update(&self, step: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        if is_on(Control::TornBeat) {
            let before = self.word.load(Ordering::Relaxed);
            self.word.swap(step(before)?, Ordering::Relaxed);
            return Some(before);
        }
        // Relaxed: see `lapse`.
        self.word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .ok()
    }
}

impl From<Said> for Health {
    fn from(said: Said) -> Self {
        match said {
            Said::Up => Self::Up,
            Said::Degraded => Self::Degraded,
            Said::Down => Self::Down,
        }
    }
}

/// The word after a call.
fn next(word: u64, now: u64, said: Said) -> u64 {
    let at_ms = now.min(LAST_MS).max(word >> TIME_SHIFT);
    let counted = u64::from(!is_on(Control::UncountedBeat));
    let beats = ((word >> SAID_BITS) + counted) & BEATS;
    at_ms << TIME_SHIFT | beats << SAID_BITS | said as u64
}

fn unpack(word: u64) -> Option<Heard> {
    let said = match word & SAID {
        1 => Said::Up,
        2 => Said::Degraded,
        3 => Said::Down,
        _ => return None,
    };
    Some(Heard {
        at_ms: word >> TIME_SHIFT,
        said,
        word,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    fn look(pulse: &Pulse) -> Heard {
        pulse.heard().expect("it lives")
    }

    #[test]
    fn a_call_tells_what_was_before_it() {
        let pulse = Pulse::new(100, Said::Up);
        let kept = |before, silent_ms| Beat::Kept { before, silent_ms };
        assert_eq!(pulse.beat(130, Said::Degraded), kept(Said::Up, 30));
        assert_eq!(pulse.beat(130, Said::Down), kept(Said::Degraded, 0));
        let heard = look(&pulse);
        assert_eq!((heard.at_ms, heard.said), (130, Said::Down));
    }

    #[test]
    fn time_never_goes_back_and_what_was_said_last_counts() {
        let pulse = Pulse::new(100, Said::Up);
        pulse.beat(90, Said::Degraded);
        assert_eq!(
            (look(&pulse).at_ms, look(&pulse).said),
            (100, Said::Degraded)
        );
        pulse.beat(u64::MAX, Said::Up);
        assert_eq!(look(&pulse).at_ms, LAST_MS);
        pulse.beat(100, Said::Up);
        assert_eq!(look(&pulse).at_ms, LAST_MS);
    }

    #[test]
    fn a_lapsed_lease_stays_so_until_it_is_revived() {
        let pulse = Pulse::new(100, Said::Up);
        let heard = look(&pulse);
        assert!(pulse.lapse(heard) && !pulse.lapse(heard));
        assert_eq!(pulse.beat(200, Said::Up), Beat::Lapsed);
        assert_eq!((pulse.heard(), pulse.called_ms()), (None, 100));
        pulse.revive(100, Said::Up);
        assert!(
            !pulse.lapse(heard),
            "a look from before the lapse is good no more"
        );
        pulse.revive(300, Said::Degraded);
        assert_eq!(
            (look(&pulse).at_ms, look(&pulse).said),
            (300, Said::Degraded)
        );
    }

    #[test]
    fn a_call_that_repeats_the_last_one_is_a_call_also_when_the_count_begins_anew() {
        let pulse = Pulse::new(100, Said::Up);
        for _ in 0..2 * BEATS {
            let heard = look(&pulse);
            pulse.beat(100, Said::Up);
            assert!(!pulse.lapse(heard));
            assert_eq!((look(&pulse).at_ms, look(&pulse).said), (100, Said::Up));
        }
    }

    #[test]
    fn under_load_nobody_lapses_between_two_calls_that_were_kept() {
        let pulse = Pulse::new(0, Said::Up);
        let done = AtomicBool::new(false);
        let (lapses, refusals) = thread::scope(|scope| {
            let steward = scope.spawn(|| {
                let mut lapses = 0;
                while !done.load(Ordering::Relaxed) {
                    lapses += u64::from(pulse.heard().is_some_and(|heard| pulse.lapse(heard)));
                }
                lapses
            });
            let mut refusals = 0;
            for n in 0..200_000 {
                if pulse.beat(n / 100, Said::Up) == Beat::Lapsed {
                    refusals += 1;
                    pulse.revive(n / 100, Said::Up);
                }
            }
            done.store(true, Ordering::Relaxed);
            (steward.join().expect("it cannot panic"), refusals)
        });
        // Each lapse was told to the holder, once; the last one perhaps not yet.
        let untold = u64::from(pulse.heard().is_none());
        assert_eq!(lapses, refusals + untold);
    }
}
