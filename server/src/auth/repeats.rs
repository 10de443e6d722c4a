//! Repeats: of refusals that are alike, the first is told at once, and how many more there were is told by one event when a
//! minute has passed. A client that knows nothing better than to call again then costs the audit log two events a minute.
//!
//! Alike are those of one action on one resource, by one actor, from one network. At most [`KINDS`] kinds are told apart;
//! what comes beyond is counted together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::network::Network;
use super::trail::{Event, Outcome};

/// How long those that are alike are gathered, in milliseconds.
const GATHERED_MS: u64 = 60_000;

/// Kinds that are told apart. Each holds an event, of 2 KiB at most.
const KINDS: usize = 4_096;

/// Refusals of the last minute.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    runs: HashMap<Kind, Run, foldhash::fast::RandomState>,
    /// Those for which there was no room.
    others: Option<Run>,
}

/// What is alike.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    action: &'static str,
    actor: Arc<str>,
    source: Option<Network>,
    resource: String,
}

#[derive(Debug)]
struct Run {
    first: Event,
    /// Those after the first.
    more: u64,
}

impl Repeats {
    /// Counts an event. Whether it is the first of its kind, and so has to be told.
    pub(super) fn count(&mut self, event: &Event) -> bool {
        let kind = Kind {
            action: event.action,
            actor: event.actor.clone(),
            source: event.source.parse::<IpAddr>().ok().map(Network::of),
            resource: event.resource.clone(),
        };
        if let Some(run) = self.runs.get_mut(&kind) {
            run.more += 1;
            return false;
        }
        if self.runs.len() >= KINDS {
            let others = self.others.get_or_insert_with(|| Run::others(event));
            others.more += 1;
            return false;
        }
        let first = event.clone();
        self.runs.insert(kind, Run { first, more: 0 });
        true
    }

    /// Takes what was gathered for long enough; the events to tell of it, some at a time.
    pub(super) fn take(&mut self, now_ms: u64, most: usize) -> Vec<Event> {
        self.take_older(GATHERED_MS, now_ms, most)
    }

    /// Takes what was gathered so far, some at a time.
    pub(super) fn take_all(&mut self, now_ms: u64, most: usize) -> Vec<Event> {
        self.take_older(0, now_ms, most)
    }

    fn take_older(&mut self, age_ms: u64, now_ms: u64, most: usize) -> Vec<Event> {
        let mut taken = Vec::new();
        // A clock that was set back makes none older; at the end of the server all go.
        let is_over = |run: &Run| now_ms.saturating_sub(run.first.time_ms) >= age_ms;
        self.runs.retain(|_, run| {
            let goes = is_over(run) && (run.more == 0 || taken.len() < most);
            if goes && run.more > 0 {
                taken.push(run.told(now_ms));
            }
            !goes
        });
        if let Some(others) = self
            .others
            .take_if(|run| is_over(run) && taken.len() < most)
        {
            taken.push(others.told(now_ms));
        }
        taken
    }
}

impl Run {
    fn others(event: &Event) -> Self {
        let first = Event {
            time_ms: event.time_ms,
            actor: "".into(),
            source: String::new(),
            action: event.action,
            resource: String::new(),
            outcome: Outcome::Refused,
            reason: "by too many to be told apart".into(),
        };
        Self { first, more: 0 }
    }

    fn told(&self, now_ms: u64) -> Event {
        let Self { first, more } = self;
        let passed_s = now_ms.saturating_sub(first.time_ms) / 1_000;
        Event {
            time_ms: now_ms,
            reason: format!("{more} more in {passed_s} s: {}", first.reason),
            ..first.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn denied(source: &str, resource: &str, time_ms: u64) -> Event {
        Event {
            time_ms,
            actor: "alice".into(),
            source: source.into(),
            action: "denied",
            resource: resource.into(),
            outcome: Outcome::Refused,
            reason: "that takes the role admin".into(),
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_by_one_event() {
        let mut repeats = Repeats::default();
        let told = (0..5_000)
            .filter(|i| repeats.count(&denied("10.0.0.1", "A", NOW + i)))
            .count();
        assert_eq!(told, 1);
        assert!(repeats.take(NOW + GATHERED_MS - 1, 10).is_empty());
        let rest = repeats.take(NOW + GATHERED_MS, 10);
        let reason = "4999 more in 60 s: that takes the role admin".to_owned();
        let expected = Event {
            reason,
            ..denied("10.0.0.1", "A", NOW + GATHERED_MS)
        };
        assert_eq!(rest, [expected]);
        assert!(repeats.count(&denied("10.0.0.1", "A", NOW + GATHERED_MS)));
    }

    #[test]
    fn one_that_was_not_repeated_is_told_once() {
        let mut repeats = Repeats::default();
        assert!(repeats.count(&denied("10.0.0.1", "A", NOW)));
        assert!(repeats.take_all(NOW, 10).is_empty());
        assert!(repeats.runs.is_empty());
    }

    #[test]
    fn another_actor_resource_or_network_is_another_kind_and_a_neighbour_is_not() {
        let mut repeats = Repeats::default();
        let of_bob = Event {
            actor: "bob".into(),
            ..denied("2001:db8::1", "A", NOW)
        };
        for event in [
            denied("2001:db8::1", "A", NOW),
            denied("2001:db8::1", "B", NOW),
            denied("2001:db8:0:1::1", "A", NOW),
            of_bob,
        ] {
            assert!(repeats.count(&event), "{event:?}");
        }
        assert!(!repeats.count(&denied("2001:db8::2", "A", NOW)));
    }

    #[test]
    fn more_kinds_than_there_is_room_for_are_counted_together() {
        let mut repeats = Repeats::default();
        let told = (0..KINDS + 1_000)
            .filter(|i| repeats.count(&denied("10.0.0.1", &format!("{i}"), NOW)))
            .count();
        assert_eq!(told, KINDS);
        let rest = repeats.take(NOW + GATHERED_MS, 10);
        assert_eq!(rest.len(), 1);
        assert!(rest[0].reason.starts_with("1000 more"), "{rest:?}");
        assert!(rest[0].resource.is_empty());
    }

    #[test]
    fn what_is_gathered_is_taken_some_at_a_time_and_all_of_it() {
        let mut repeats = Repeats::default();
        for i in 0..2_000 {
            repeats.count(&denied("10.0.0.1", &format!("{}", i % 1_000), NOW));
        }
        let mut taken = 0;
        while taken < 1_000 {
            let some = repeats.take_all(NOW, 64).len();
            assert!((1..=64).contains(&some));
            taken += some;
        }
        assert!(repeats.take_all(NOW, 64).is_empty());
    }
}
