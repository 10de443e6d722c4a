//! Allowances: how much of the server one principal may use at a time.
//!
//! Calls and bytes a second are buckets that fill as time passes and hold one second's worth; calls under way and open
//! streams are counts. Whoever has not signed in is counted by address. A limit of 0 is none. Each server counts for itself.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

/// Principals that are counted at once. Beyond it those who use nothing are forgotten.
const COUNTED: usize = 100_000;

/// What one principal may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second.
    pub calls: u32,
    /// Bytes of requests a second.
    pub bytes: u32,
    /// Calls under way, streams left out.
    pub in_flight: u32,
    /// Open streams.
    pub streams: u32,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        calls: 0,
        bytes: 0,
        in_flight: 0,
        streams: 0,
    };
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: at most {most} for one principal")]
pub struct Reached {
    /// Its name, as in the configuration.
    pub name: &'static str,
    /// Its value.
    pub most: u32,
    /// After which time it is worth another try.
    pub retry: Duration,
}

/// What all principals use.
#[derive(Debug)]
pub struct Allowances {
    limits: Limits,
    used: DashMap<Arc<str>, Arc<Used>, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Used {
    buckets: Mutex<Buckets>,
    in_flight: AtomicU32,
    streams: AtomicU32,
}

#[derive(Debug)]
struct Buckets {
    calls: f64,
    /// Below 0 after more bytes than there was room for: they had come before anybody knew how many.
    bytes: f64,
    at: Instant,
}

/// One call under way, or one open stream; given back when it is dropped.
#[derive(Debug)]
pub struct Using {
    used: Arc<Used>,
    streams: bool,
}

impl Allowances {
    /// Nobody has used anything yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            used: DashMap::default(),
        }
    }

    /// Counts one more call of whoever has this name.
    ///
    /// # Errors
    /// [`Reached`]; the call is not counted then.
    pub fn begin(&self, name: &Arc<str>, streams: bool, now: Instant) -> Result<Using, Reached> {
        let used = match self.used.get(name) {
            Some(used) => used.clone(),
            None => self.add(name, now),
        };
        self.take_call(&used, now)?;
        let (count, name, most, retry) = if streams {
            let retry = Duration::from_secs(1);
            (
                &used.streams,
                "principal_streams",
                self.limits.streams,
                retry,
            )
        } else {
            let retry = Duration::from_millis(10);
            (
                &used.in_flight,
                "principal_in_flight",
                self.limits.in_flight,
                retry,
            )
        };
        // Relaxed: a count that orders nothing.
        let before = count.fetch_add(1, Ordering::Relaxed);
        let using = Using {
            used: used.clone(),
            streams,
        };
        if most > 0 && before >= most {
            return Err(Reached { name, most, retry });
        }
        Ok(using)
    }

    fn add(&self, name: &Arc<str>, now: Instant) -> Arc<Used> {
        if self.used.len() >= COUNTED {
            self.used
                .retain(|_, used| Arc::strong_count(used) > 1 || !used.is_idle(now));
        }
        let fresh = || {
            Arc::new(Used {
                buckets: Mutex::new(Buckets {
                    calls: f64::from(self.limits.calls),
                    bytes: f64::from(self.limits.bytes),
                    at: now,
                }),
                in_flight: AtomicU32::new(0),
                streams: AtomicU32::new(0),
            })
        };
        self.used.entry(name.clone()).or_insert_with(fresh).clone()
    }

    fn take_call(&self, used: &Used, now: Instant) -> Result<(), Reached> {
        let Limits { calls, bytes, .. } = self.limits;
        if calls == 0 && bytes == 0 {
            return Ok(());
        }
        let mut buckets = used.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.fill(&self.limits, now);
        let missing = |short: f64, rate: u32| Duration::from_secs_f64(short / f64::from(rate));
        if bytes > 0 && buckets.bytes < 0.0 {
            return Err(Reached {
                name: "principal_bytes",
                most: bytes,
                retry: missing(-buckets.bytes, bytes),
            });
        }
        if calls > 0 {
            if buckets.calls < 1.0 {
                return Err(Reached {
                    name: "principal_calls",
                    most: calls,
                    retry: missing(1.0 - buckets.calls, calls),
                });
            }
            buckets.calls -= 1.0;
        }
        Ok(())
    }

    /// How many principals are counted.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.used.len()
    }
}

impl Using {
    /// Counts bytes of a request as they come.
    pub fn bytes(&self, bytes: usize) {
        let mut buckets = self
            .used
            .buckets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        buckets.bytes -= bytes as f64;
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        let count = if self.streams {
            &self.used.streams
        } else {
            &self.used.in_flight
        };
        // Relaxed: a count that orders nothing.
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Used {
    fn is_idle(&self, now: Instant) -> bool {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        now.duration_since(buckets.at) > Duration::from_secs(60)
    }
}

impl Buckets {
    fn fill(&mut self, limits: &Limits, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let filled = |held: f64, rate: u32| (held + passed * f64::from(rate)).min(f64::from(rate));
        self.calls = filled(self.calls, limits.calls);
        self.bytes = filled(self.bytes, limits.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Limits = Limits {
        calls: 10,
        bytes: 1_000,
        in_flight: 2,
        streams: 1,
    };

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_bucket_says_when_it_will_have_filled() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        let alice = name("alice");
        for _ in 0..10 {
            all.begin(&alice, false, now).expect("there is room");
        }
        let reached = all.begin(&alice, false, now).expect_err("none is left");
        assert_eq!((reached.name, reached.most), ("principal_calls", 10));
        let later = now + reached.retry;
        all.begin(&alice, false, later).expect("it has filled");
        all.begin(&name("bob"), false, now)
            .expect("bob has his own");
    }

    #[test]
    fn what_is_under_way_is_given_back() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        let alice = name("alice");
        let both = [all.begin(&alice, false, now), all.begin(&alice, false, now)];
        assert!(both.iter().all(Result::is_ok));
        let reached = all
            .begin(&alice, false, now)
            .expect_err("two are under way");
        assert_eq!(reached.name, "principal_in_flight");
        let stream = all
            .begin(&alice, true, now)
            .expect("streams are counted apart");
        assert!(all.begin(&alice, true, now).is_err());
        drop((both, stream));
        all.begin(&alice, false, now).expect("they have ended");
        all.begin(&alice, true, now).expect("it has ended");
    }

    #[test]
    fn bytes_that_came_are_waited_for() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        let alice = name("alice");
        all.begin(&alice, false, now)
            .expect("there is room")
            .bytes(3_000);
        let reached = all
            .begin(&alice, false, now)
            .expect_err("they are too many");
        assert_eq!(reached.name, "principal_bytes");
        assert!(reached.retry > Duration::from_millis(1_900), "{reached}");
        all.begin(
            &alice,
            false,
            now + reached.retry + Duration::from_millis(1),
        )
        .expect("the time has passed");
    }

    #[test]
    fn those_who_use_nothing_are_forgotten() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        for i in 0..COUNTED {
            drop(all.begin(&name(&format!("p{i}")), false, now));
        }
        let later = now + Duration::from_secs(120);
        all.begin(&name("another"), false, later)
            .expect("there is room");
        assert!(all.counted() < 10, "{}", all.counted());
    }
}
