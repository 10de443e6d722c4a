//! The leases of all servers, as their rows say, and what follows from them for each service.
//!
//! A service is as healthy as the best of its leases: of three instances one that lives is enough to serve. What is said in
//! the graph is that, damped: a service that goes up and down again and again stays where it is worse until it is steady.
//! The damping is of the service and not of a lease, because a service that crashes takes a new lease whenever it starts.

use crate::storage::{LeaseRow, ServerId};
use kg_core::lease::{Damping, LeaseId};
use kg_core::model::{Health, Name};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How long the past of a service without leases is remembered, in milliseconds: as long as its damping counts.
const REMEMBERED_MS: u64 = 600_000;

/// All leases.
#[derive(Debug, Default)]
pub struct Roster {
    rows: BTreeMap<LeaseId, LeaseRow>,
    services: HashMap<Name, Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    leases: BTreeSet<LeaseId>,
    damping: Damping,
    /// The longest of its leases, or of the last that there were.
    ttl_ms: u32,
    /// When something about it changed last.
    changed: u64,
}

impl Roster {
    /// Takes note of a row as it is now.
    pub fn note(&mut self, row: LeaseRow, now: u64) {
        let service = row.service.clone();
        let standing = self.services.entry(service.clone()).or_default();
        standing.changed = now;
        if row.gone {
            standing.leases.remove(&row.id);
            self.rows.remove(&row.id);
        } else {
            standing.leases.insert(row.id);
            self.rows.insert(row.id, row);
        }
        // Every server sees every row, so that all hold back alike, whichever of them tells.
        self.judge(&service, now);
    }

    /// Forgets all rows; what is remembered of the services stays.
    pub fn clear(&mut self) {
        self.rows.clear();
        for standing in self.services.values_mut() {
            standing.leases.clear();
        }
    }

    /// The row of a lease.
    #[must_use]
    pub fn row(&self, id: LeaseId) -> Option<&LeaseRow> {
        self.rows.get(&id)
    }

    /// Rows behind an id, by their ids.
    pub fn after(&self, id: Option<LeaseId>) -> impl Iterator<Item = &LeaseRow> {
        use std::ops::Bound;
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows
            .range((from, Bound::Unbounded))
            .map(|(_, row)| row)
    }

    /// How a service is to be shown: what its leases say, damped. `None` where none of them has said anything yet.
    pub fn judge(&mut self, service: &Name, now: u64) -> Option<Health> {
        let standing = self.services.get_mut(service)?;
        let rows = standing.leases.iter().filter_map(|id| self.rows.get(id));
        let mut said: Option<Health> = None;
        let mut ttl_ms = 0;
        for row in rows {
            ttl_ms = ttl_ms.max(row.ttl_ms);
            if row.health != Health::Unknown {
                said = Some(said.map_or(row.health, |best| best.min(row.health)));
            }
        }
        // The last lease was given back, or forgotten.
        if standing.leases.is_empty() {
            said = Some(Health::Down);
        } else {
            standing.ttl_ms = ttl_ms;
        }
        Some(standing.damping.step(now, said?, standing.ttl_ms))
    }

    /// How a service that has leases is shown; `None` for one without, and before the first has said anything.
    #[must_use]
    pub fn shown(&self, service: &str) -> Option<Health> {
        let standing = self.services.get(service)?;
        let said = standing.damping.shown();
        (!standing.leases.is_empty() && said != Health::Unknown).then_some(said)
    }

    /// As it is shown, for one that would be held back if it came up now.
    #[must_use]
    pub fn would_show(&self, service: &str, now: u64) -> Option<Health> {
        let standing = self.services.get(service)?;
        let is_flapping = standing.damping.is_flapping(now);
        is_flapping.then(|| standing.damping.shown())
    }

    /// Until when an improvement of a service is held back.
    #[must_use]
    pub fn held_back(&self, service: &Name, now: u64) -> Option<u64> {
        self.services.get(service)?.damping.held_back(now)
    }

    /// The services of which this server tells: those whose first lease is its own. Every server knows all rows, so that of
    /// each service one server tells.
    #[must_use]
    pub fn told_by(&self, me: ServerId) -> Vec<Name> {
        let first = |standing: &Standing| standing.leases.first().and_then(|id| self.rows.get(id));
        self.services
            .iter()
            .filter(|(_, standing)| first(standing).is_some_and(|row| row.owner == me))
            .map(|(service, _)| service.clone())
            .collect()
    }

    /// Forgets services that have had no lease for as long as their past would matter.
    pub fn forget(&mut self, now: u64) {
        self.services.retain(|_, standing| {
            !standing.leases.is_empty() || now.saturating_sub(standing.changed) < REMEMBERED_MS
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ServerId = ServerId(1);

    fn row(id: u64, health: Health) -> LeaseRow {
        LeaseRow {
            id: LeaseId(id),
            service: name(),
            ttl_ms: 1_000,
            owner: if id % 2 == 1 { ME } else { ServerId(2) },
            health,
            gone: false,
            seq: 1,
        }
    }

    fn name() -> Name {
        Name::parse("name", "checkout").expect("a name")
    }

    #[test]
    fn a_service_is_as_healthy_as_the_best_of_its_leases() {
        let mut roster = Roster::default();
        assert_eq!(roster.judge(&name(), 0), None);
        roster.note(row(1, Health::Unknown), 0);
        assert_eq!(roster.judge(&name(), 0), None, "it has not said anything");
        roster.note(row(1, Health::Up), 1);
        roster.note(row(2, Health::Degraded), 1);
        assert_eq!(roster.judge(&name(), 1), Some(Health::Up));
        roster.note(row(1, Health::Down), 2);
        assert_eq!(roster.judge(&name(), 2), Some(Health::Degraded));
        roster.note(
            LeaseRow {
                gone: true,
                ..row(2, Health::Degraded)
            },
            3,
        );
        assert_eq!(roster.judge(&name(), 3), Some(Health::Down));
        roster.note(
            LeaseRow {
                gone: true,
                ..row(1, Health::Down)
            },
            4,
        );
        assert_eq!(
            (roster.judge(&name(), 4), roster.after(None).count()),
            (Some(Health::Down), 0)
        );
    }

    #[test]
    fn a_service_that_takes_a_new_lease_at_each_start_is_damped() {
        let mut roster = Roster::default();
        let mut told = Vec::new();
        for start in 0..20 {
            let now = start * 2_000;
            for health in [Health::Up, Health::Down] {
                roster.note(row(start + 1, health), now);
                told.extend(roster.judge(&name(), now));
            }
            roster.note(
                LeaseRow {
                    gone: true,
                    ..row(start + 1, Health::Down)
                },
                now + 1_000,
            );
        }
        told.dedup();
        assert!(told.len() <= 6, "{told:?}");
        assert_eq!(roster.shown("checkout"), None, "it has no lease now");
        assert_eq!(roster.would_show("checkout", 40_000), Some(Health::Down));
    }

    #[test]
    fn one_server_tells_of_a_service() {
        let mut roster = Roster::default();
        roster.note(row(2, Health::Up), 0);
        roster.note(row(3, Health::Up), 0);
        assert_eq!(
            (roster.told_by(ME).len(), roster.told_by(ServerId(2)).len()),
            (0, 1)
        );
        roster.note(
            LeaseRow {
                gone: true,
                ..row(2, Health::Up)
            },
            0,
        );
        assert_eq!(roster.told_by(ME), [name()]);
    }

    #[test]
    fn a_service_without_leases_is_forgotten_in_the_end() {
        let mut roster = Roster::default();
        roster.note(
            LeaseRow {
                gone: true,
                ..row(1, Health::Up)
            },
            0,
        );
        roster.forget(REMEMBERED_MS - 1);
        assert!(roster.judge(&name(), 1).is_some());
        roster.forget(REMEMBERED_MS);
        assert_eq!(roster.judge(&name(), 1), None);
    }
}
