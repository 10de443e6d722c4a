//! The guard: when most holders fall silent at once, it is rather our network that is gone than most of the services.
//!
//! It acts when at least ten leases are looked at and at least half of them are silent or have lapsed a moment ago. Then it
//! holds: no lease lapses. It ends by itself as soon as fewer than half are silent; those of them that are still overdue
//! lapse then, in one batch. It gives up after five minutes without a pause, because it may be true after all: everything
//! that is overdue lapses in one batch, and it does not act again until fewer than half have been silent once.
//!
//! It sees a common cause while it is young only if the leases have similar times to live: of one with a ttl of an hour nobody
//! can say within a minute that it is silent.

/// Leases below which nothing follows from their silence: half of four is two, which is no sign of a common cause.
const ENOUGH: usize = 10;

/// How long it holds without a pause, in milliseconds.
const PATIENCE_MS: u64 = 300_000;

/// What a sweep found, before it lapses anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Leases that have not lapsed, the silent ones among them.
    pub live: usize,
    /// Those of them whose holders should have called by now.
    pub silent: usize,
    /// Leases that lapsed no longer ago than their own ttl.
    pub lapsed_recently: usize,
}

/// Whether leases may lapse in this sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What is overdue lapses.
    Lapse,
    /// Nothing lapses.
    Hold,
}

/// What the guard does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardState {
    /// It has no suspicion.
    #[default]
    Idle,
    /// It lets nothing lapse.
    Holding {
        /// Since when.
        since_ms: u64,
    },
    /// It held for too long, and lets everything lapse until fewer than half are silent.
    GaveUp,
}

/// The guard.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    state: GuardState,
}

impl Guard {
    /// Judges one sweep.
    pub fn judge(&mut self, census: Census, now: u64) -> Verdict {
        self.state = match self.state {
            _ if !census.is_suspicious() => GuardState::Idle,
            GuardState::Idle => GuardState::Holding { since_ms: now },
            GuardState::Holding { since_ms } if now.saturating_sub(since_ms) >= PATIENCE_MS => {
                GuardState::GaveUp
            }
            GuardState::Holding { .. } | GuardState::GaveUp => self.state,
        };
        match self.state {
            GuardState::Holding { .. } => Verdict::Hold,
            GuardState::Idle | GuardState::GaveUp => Verdict::Lapse,
        }
    }

    /// What it does.
    #[must_use]
    pub fn state(&self) -> GuardState {
        self.state
    }
}

impl Census {
    /// Whether so many are silent that it is rather us.
    fn is_suspicious(self) -> bool {
        let all = self.live + self.lapsed_recently;
        all >= ENOUGH && 2 * (self.silent + self.lapsed_recently) >= all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(live: usize, silent: usize, lapsed_recently: usize) -> Census {
        Census {
            live,
            silent,
            lapsed_recently,
        }
    }

    #[test]
    fn it_acts_from_ten_leases_and_half_of_them_on() {
        for (census, verdict) in [
            (census(10, 4, 0), Verdict::Lapse),
            (census(10, 5, 0), Verdict::Hold),
            (census(9, 9, 0), Verdict::Lapse),
            (census(8, 3, 2), Verdict::Hold),
            (census(11, 5, 0), Verdict::Lapse),
            (census(0, 0, 10), Verdict::Hold),
            (census(0, 0, 0), Verdict::Lapse),
        ] {
            assert_eq!(Guard::default().judge(census, 0), verdict, "{census:?}");
        }
    }

    #[test]
    fn it_ends_when_fewer_than_half_are_silent() {
        let mut guard = Guard::default();
        assert_eq!(guard.judge(census(10, 9, 0), 100), Verdict::Hold);
        assert_eq!(guard.state(), GuardState::Holding { since_ms: 100 });
        assert_eq!(guard.judge(census(10, 5, 0), 200), Verdict::Hold);
        assert_eq!(guard.state(), GuardState::Holding { since_ms: 100 });
        assert_eq!(guard.judge(census(10, 4, 0), 300), Verdict::Lapse);
        assert_eq!(guard.state(), GuardState::Idle);
    }

    #[test]
    fn it_gives_up_after_five_minutes_and_stays_so_until_it_is_over() {
        let mut guard = Guard::default();
        let most = census(10, 9, 0);
        assert_eq!(guard.judge(most, 100), Verdict::Hold);
        assert_eq!(guard.judge(most, 99 + PATIENCE_MS), Verdict::Hold);
        assert_eq!(guard.judge(most, 100 + PATIENCE_MS), Verdict::Lapse);
        // What has just lapsed still counts, and is no reason to hold again.
        assert_eq!(
            guard.judge(census(1, 1, 9), 101 + PATIENCE_MS),
            Verdict::Lapse
        );
        assert_eq!(guard.state(), GuardState::GaveUp);
        guard.judge(census(10, 0, 0), 102 + PATIENCE_MS);
        assert_eq!(guard.state(), GuardState::Idle);
        assert_eq!(guard.judge(most, 103 + PATIENCE_MS), Verdict::Hold);
    }

    #[test]
    fn a_pause_begins_its_patience_anew() {
        let mut guard = Guard::default();
        guard.judge(census(10, 9, 0), 0);
        guard.judge(census(10, 0, 0), PATIENCE_MS - 1);
        guard.judge(census(10, 9, 0), PATIENCE_MS);
        assert_eq!(
            guard.state(),
            GuardState::Holding {
                since_ms: PATIENCE_MS
            }
        );
    }
}
