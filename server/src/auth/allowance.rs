//! Allowances: how much of the server one principal may use at a time.
//!
//! Calls and bytes a second are buckets that fill as time passes and hold one second's worth; calls under way and open
//! streams are counts. A user is counted once, by whichever key or session they call, and whoever has not signed in by the
//! network that they call from. A limit of 0 is none. Each server counts for itself.
//!
//! Users and strangers have a table each, so that no number of strangers takes a user's share. An entry that is full again
//! and has nothing under way is as good as none, and goes when there is no room; those who find none even so share one
//! entry.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use super::network::Network;
use super::principal::UserId;

/// Users, and networks of strangers, that are counted each by themselves.
const COUNTED: usize = 100_000;

/// How often a full table is looked through for entries that may go: it takes some milliseconds.
const SWEEP: Duration = Duration::from_secs(1);

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

/// Who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spender {
    /// A user.
    User(UserId),
    /// Somebody who has not signed in, from there.
    Stranger(Network),
    /// Somebody who has not signed in, from nobody knows where.
    Nobody,
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
    users: Table<UserId>,
    strangers: Table<Network>,
}

#[derive(Debug)]
struct Table<K: Eq + Hash> {
    used: DashMap<K, Arc<Used>, foldhash::fast::RandomState>,
    /// What those use for whom there is no room.
    others: Arc<Used>,
    /// When it was looked through last.
    swept: Mutex<Option<Instant>>,
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
            users: Table::new(&limits),
            strangers: Table::new(&limits),
        }
    }

    /// Counts one more call.
    ///
    /// # Errors
    /// [`Reached`]; the call is not counted then.
    pub fn begin(&self, who: &Spender, streams: bool, now: Instant) -> Result<Using, Reached> {
        let used = match who {
            Spender::User(user) => self.users.of(user, &self.limits, now),
            Spender::Stranger(network) => self.strangers.of(network, &self.limits, now),
            Spender::Nobody => self.strangers.others.clone(),
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

    fn take_call(&self, used: &Used, now: Instant) -> Result<(), Reached> {
        let Limits { calls, bytes, .. } = self.limits;
        if calls == 0 && bytes == 0 {
            return Ok(());
        }
        let mut buckets = used.buckets();
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

    /// How many are counted by themselves.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.users.used.len() + self.strangers.used.len()
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn new(limits: &Limits) -> Self {
        Self {
            used: DashMap::default(),
            others: Arc::new(Used::new(limits, Instant::now())),
            swept: Mutex::default(),
        }
    }

    fn of(&self, key: &K, limits: &Limits, now: Instant) -> Arc<Used> {
        if let Some(used) = self.used.get(key) {
            return used.clone();
        }
        if self.used.len() >= COUNTED {
            self.sweep(limits, now);
            if self.used.len() >= COUNTED {
                return self.others.clone();
            }
        }
        let fresh = || Arc::new(Used::new(limits, now));
        self.used.entry(key.clone()).or_insert_with(fresh).clone()
    }

    /// Forgets whom it makes no difference to. It is not done again at once: with a table that stays full every call of a
    /// stranger would look through all of it.
    fn sweep(&self, limits: &Limits, now: Instant) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP) {
            return;
        }
        *swept = Some(now);
        self.used
            .retain(|_, used| Arc::strong_count(used) > 1 || !used.is_as_new(limits, now));
    }
}

impl Using {
    /// Counts bytes of a request as they come.
    pub fn bytes(&self, bytes: usize) {
        self.used.buckets().bytes -= bytes as f64;
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
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            buckets: Mutex::new(Buckets {
                calls: f64::from(limits.calls),
                bytes: f64::from(limits.bytes),
                at: now,
            }),
            in_flight: AtomicU32::new(0),
            streams: AtomicU32::new(0),
        }
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_as_new(&self, limits: &Limits, now: Instant) -> bool {
        let mut buckets = self.buckets();
        buckets.fill(limits, now);
        buckets.calls >= f64::from(limits.calls) && buckets.bytes >= f64::from(limits.bytes)
    }
}

impl Buckets {
    fn fill(&mut self, limits: &Limits, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let filled = |held: f64, rate: u32| match rate {
            // What has no limit is not owed either.
            0 => 0.0,
            rate => (held + passed * f64::from(rate)).min(f64::from(rate)),
        };
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

    fn user(id: &str) -> Spender {
        Spender::User(UserId(id.into()))
    }

    fn stranger(number: usize) -> Spender {
        let [_, b, c, d] = u32::try_from(number).expect("small").to_be_bytes();
        Spender::Stranger(Network::of([10, b, c, d].into()))
    }

    #[test]
    fn a_bucket_says_when_it_will_have_filled() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        let alice = user("alice");
        for _ in 0..10 {
            all.begin(&alice, false, now).expect("there is room");
        }
        let reached = all.begin(&alice, false, now).expect_err("none is left");
        assert_eq!((reached.name, reached.most), ("principal_calls", 10));
        let later = now + reached.retry;
        all.begin(&alice, false, later).expect("it has filled");
        all.begin(&user("bob"), false, now)
            .expect("bob has his own");
    }

    #[test]
    fn what_is_under_way_is_given_back() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        let alice = user("alice");
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
        let alice = user("alice");
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
            drop(all.begin(&stranger(i), false, now));
        }
        let later = now + Duration::from_secs(1);
        all.begin(&stranger(COUNTED), false, later)
            .expect("there is room");
        assert_eq!(all.counted(), 1);
    }

    #[test]
    fn who_finds_no_room_shares_one_entry_and_users_have_room_of_their_own() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        for i in 0..COUNTED {
            drop(all.begin(&stranger(i), false, now));
        }
        let mut begun = 0;
        for i in 0..1_000 {
            begun += u32::from(all.begin(&stranger(COUNTED + i), false, now).is_ok());
        }
        assert_eq!((begun, all.counted()), (FEW.calls, COUNTED));
        all.begin(&user("alice"), false, now)
            .expect("a user has room");
    }

    #[test]
    fn a_full_table_is_looked_through_once_a_second() {
        let (all, now) = (Allowances::new(FEW), Instant::now());
        let held: Vec<Using> = (0..COUNTED)
            .map(|i| all.begin(&stranger(i), false, now).expect("room"))
            .collect();
        let later = now + Duration::from_secs(5);
        drop(all.begin(&stranger(COUNTED), false, later));
        // Now they could go, and are not looked at before a second has passed.
        drop(held);
        let soon = later + SWEEP / 2;
        drop(all.begin(&stranger(COUNTED), false, soon));
        assert_eq!(all.counted(), COUNTED);
        drop(all.begin(&stranger(COUNTED), false, later + SWEEP));
        assert_eq!(all.counted(), 1);
    }

    #[test]
    fn what_has_no_limit_keeps_nobody_from_being_forgotten() {
        let limits = Limits { bytes: 0, ..FEW };
        let (all, now) = (Allowances::new(limits), Instant::now());
        for i in 0..COUNTED {
            let using = all.begin(&stranger(i), false, now).expect("room");
            using.bytes(1_000_000);
        }
        let later = now + Duration::from_secs(1);
        drop(all.begin(&stranger(COUNTED), false, later));
        assert_eq!(all.counted(), 1);
    }
}
