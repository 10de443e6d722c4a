//! Damping: what goes up and down again and again is shown up only once it is steady.
//!
//! Raw health in, shown health out. What is worse is shown at once, because somebody may be calling a dead service. What is
//! better is shown at once too, unless the raw health has worsened three times or more within ten minutes: then only after
//! it has been at least that good, without interruption, for a time that doubles with each further worsening, from twice the
//! ttl up to five minutes. So the graph, and everybody who watches it, is told of a flapping service a few times and not a
//! thousand times, and errs towards "down".

use crate::model::Health;

/// How long a worsening counts, in milliseconds.
const WINDOW_MS: u64 = 600_000;

/// Worsenings within the window from which on improvements wait.
const FLAPPING: usize = 3;

/// The longest that an improvement waits, in milliseconds.
const LONGEST_MS: u64 = 300_000;

/// Worsenings that are remembered, the newest. More would only double a wait that is 64 ttl already.
const REMEMBERED: usize = 8;

/// The past of one health, as far as it matters for what is shown.
#[derive(Clone, Debug, Default)]
pub struct Damping {
    shown: Health,
    raw: Health,
    /// Since when the raw health has been up, if it is.
    up_since: u64,
    /// Since when it has been degraded or better, if it is.
    fair_since: u64,
    /// When it worsened, oldest first; at most [`REMEMBERED`].
    worsenings: Vec<u64>,
    ttl_ms: u32,
}

impl Damping {
    /// Goes on from a health that was shown; from `Unknown`, the first health is shown at once.
    #[must_use]
    pub fn of(shown: Health) -> Self {
        Self {
            shown,
            raw: shown,
            ..Self::default()
        }
    }

    /// The health is this from now on: what is to be shown. `Unknown` says nothing, and changes nothing.
    pub fn step(&mut self, now: u64, raw: Health, ttl_ms: u32) -> Health {
        if raw == Health::Unknown {
            return self.shown;
        }
        self.ttl_ms = ttl_ms;
        self.note(now, raw);
        if self.shown == Health::Unknown || raw >= self.shown {
            self.shown = raw;
        } else {
            let due = |better: &Health| now >= self.due_ms(now, *better);
            let better = [Health::Up, Health::Degraded].into_iter();
            // The best that it has been for long enough. While it goes from up to degraded and back it is degraded or
            // better all the time, and is no longer shown as down.
            let best = better
                .filter(|health| (raw..self.shown).contains(health))
                .find(due);
            self.shown = best.unwrap_or(self.shown);
        }
        self.shown
    }

    /// What is shown.
    #[must_use]
    pub fn shown(&self) -> Health {
        self.shown
    }

    /// Shows this again, whatever was shown: for one who could not tell what the last step returned. The next step returns
    /// it once more, if it still holds.
    pub fn show_again(&mut self, shown: Health) {
        self.shown = shown;
    }

    /// Until when an improvement is held back, if one is: then what it was at the last step is shown, if nothing worsens
    /// until then. It may be earlier, when old worsenings no longer count.
    #[must_use]
    pub fn held_back(&self, now: u64) -> Option<u64> {
        let is_better = self.raw < self.shown;
        is_better.then(|| self.due_ms(now, self.raw))
    }

    /// Whether an improvement would wait, were there one now.
    #[must_use]
    pub fn is_flapping(&self, now: u64) -> bool {
        self.wait_ms(now) > 0
    }

    fn note(&mut self, now: u64, raw: Health) {
        let before = std::mem::replace(&mut self.raw, raw);
        if before == raw {
            return;
        }
        if raw == Health::Up {
            self.up_since = now;
        }
        if before == Health::Down || before == Health::Unknown {
            self.fair_since = now;
        }
        if before != Health::Unknown && raw > before {
            if self.worsenings.len() == REMEMBERED {
                self.worsenings.remove(0);
            }
            self.worsenings.push(now);
        }
    }

    /// From when on a health may be shown that the raw health is at least as good as.
    fn due_ms(&self, now: u64, health: Health) -> u64 {
        let since = match health {
            Health::Up => self.up_since,
            Health::Degraded | Health::Down | Health::Unknown => self.fair_since,
        };
        since.saturating_add(self.wait_ms(now))
    }

    fn wait_ms(&self, now: u64) -> u64 {
        let recent = |at: &&u64| now.saturating_sub(**at) < WINDOW_MS;
        let worsenings = self.worsenings.iter().filter(recent).count();
        if worsenings < FLAPPING {
            return 0;
        }
        (u64::from(self.ttl_ms) << (worsenings - 2)).min(LONGEST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Degraded, Down, Unknown, Up};

    const TTL: u32 = 1_000;

    /// What is shown after each of these steps.
    fn shown(damping: &mut Damping, steps: &[(u64, Health)]) -> Vec<Health> {
        steps
            .iter()
            .map(|(now, raw)| damping.step(*now, *raw, TTL))
            .collect()
    }

    /// After three worsenings, the last of them at 5.
    fn flapping() -> Damping {
        let mut damping = Damping::default();
        let steps = [(0, Up), (1, Down), (2, Up), (3, Down), (4, Up), (5, Down)];
        assert_eq!(
            shown(&mut damping, &steps),
            [Up, Down, Up, Down, Up, Down],
            "nothing is held back yet"
        );
        damping
    }

    #[test]
    fn the_first_health_is_shown_at_once() {
        for raw in [Up, Degraded, Down] {
            assert_eq!(Damping::default().step(7, raw, TTL), raw);
        }
        assert_eq!(Damping::of(Down).step(7, Up, TTL), Up);
        assert_eq!(Damping::of(Up).shown(), Up);
        assert_eq!(Damping::of(Degraded).step(7, Unknown, TTL), Degraded);
    }

    #[test]
    fn what_is_worse_is_shown_at_once() {
        let mut damping = flapping();
        let steps = [
            (2_010, Degraded),
            (4_010, Degraded),
            (4_011, Down),
            (4_012, Degraded),
        ];
        assert_eq!(shown(&mut damping, &steps), [Down, Degraded, Down, Down]);
    }

    #[test]
    fn the_third_worsening_holds_the_improvement_back_for_twice_the_ttl() {
        let mut damping = flapping();
        assert_eq!(damping.held_back(5), None);
        assert_eq!(shown(&mut damping, &[(10, Up), (2_009, Up)]), [Down, Down]);
        assert_eq!(damping.held_back(2_009), Some(2_010));
        assert_eq!(damping.step(2_010, Up, TTL), Up);
        assert_eq!(damping.held_back(2_010), None);
    }

    #[test]
    fn each_further_worsening_doubles_the_wait() {
        let mut damping = flapping();
        let mut now = 10;
        let mut wait = |damping: &mut Damping| {
            damping.step(now, Up, TTL);
            let wait = damping.held_back(now).expect("it is held back") - now;
            now += wait;
            assert_eq!(damping.step(now, Up, TTL), Up);
            damping.step(now + 1, Down, TTL);
            now += 2;
            wait
        };
        let waits: Vec<u64> = (0..7).map(|_| wait(&mut damping)).collect();
        assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000]);
        assert_eq!(damping.worsenings.len(), REMEMBERED);
    }

    #[test]
    fn nothing_waits_longer_than_five_minutes() {
        let mut damping = flapping();
        damping.step(10, Up, u32::MAX);
        assert_eq!(damping.held_back(10), Some(10 + LONGEST_MS));
    }

    #[test]
    fn an_interruption_begins_the_wait_anew() {
        let mut damping = flapping();
        let steps = [(10, Up), (2_000, Down), (2_001, Up), (2_011, Up)];
        assert_eq!(shown(&mut damping, &steps), [Down; 4]);
        assert_eq!(damping.held_back(2_011), Some(6_001), "and doubles it");
    }

    #[test]
    fn going_between_up_and_degraded_is_degraded_in_the_end() {
        let mut damping = flapping();
        let steps = [
            (10, Up),
            (1_000, Degraded),
            (2_000, Up),
            (3_000, Degraded),
            (7_000, Up),
            (8_010, Up),
        ];
        // Five worsenings: eight seconds from 10, when it was first no longer down.
        assert_eq!(
            shown(&mut damping, &steps),
            [Down, Down, Down, Down, Down, Degraded]
        );
        assert_eq!(damping.held_back(8_010), Some(15_000));
        assert_eq!(damping.step(15_000, Up, TTL), Up);
    }

    #[test]
    fn what_worsened_ten_minutes_ago_no_longer_counts() {
        let mut damping = flapping();
        damping.step(WINDOW_MS, Up, TTL);
        // The first of the three, at 1, is forgotten.
        assert_eq!(damping.step(WINDOW_MS + 1, Up, TTL), Up);
    }

    #[test]
    fn what_could_not_be_told_is_shown_once_more() {
        let mut damping = Damping::of(Up);
        assert_eq!(damping.step(1, Down, TTL), Down);
        damping.show_again(Up);
        assert_eq!((damping.shown(), damping.step(2, Down, TTL)), (Up, Down));
        damping.show_again(Up);
        assert_eq!(damping.step(3, Up, TTL), Up, "it no longer holds");
    }
}
