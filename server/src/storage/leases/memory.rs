//! The rows as a table in memory: all there is of them for a store in memory, and what is written through to the file of a
//! store on disk.
//!
//! A write is decided first, as a [`Change`] that touches nothing, and taken in after that: so the file can be written in
//! between, and where that fails the table is what it was. Cost: a look goes through all rows, once a second.

use super::super::files::now_ms;
use super::{Applied, Edit, GONE_FOR, LEASE_PAGE, LeaseRow, ServerId, Vouched};
use kg_core::lease::LeaseId;
use kg_core::model::Health;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long rows that were revoked stay, and how much later than that they may be looked for, in milliseconds.
const GONE_FOR_MS: u64 = GONE_FOR.as_millis() as u64;
const PURGE_EVERY_MS: u64 = 60_000;

/// Rows that end with the process. Clones are further handles of the same ones.
#[derive(Clone, Default)]
pub struct MemoryLeases(Arc<Mutex<Table>>);

impl MemoryLeases {
    pub(super) fn join(&self, me: ServerId) {
        let mut table = self.table();
        let change = table.joined(me);
        table.take_in(change);
    }

    pub(super) fn leave(&self, me: ServerId) {
        let mut table = self.table();
        let change = table.left(me);
        table.take_in(change);
    }

    pub(super) fn apply(&self, me: ServerId, edits: &[Edit]) -> Applied {
        let mut table = self.table();
        match table.plan(me, edits, now_ms()) {
            Some(change) => table.take_in(change),
            None => Applied::none_of(edits),
        }
    }

    pub(super) fn vouch(&self, me: ServerId, since: u64) -> Vouched {
        self.table().vouch(me, since)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A change is taken in by steps that do not fail.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The servers and the rows.
#[derive(Default)]
pub(super) struct Table {
    /// The number of the last `apply`.
    seq: u64,
    servers: BTreeMap<ServerId, i64>,
    rows: BTreeMap<LeaseId, Kept>,
    /// Rows that were gone before this time, in milliseconds since 1970, are removed.
    purged_before_ms: u64,
}

/// A row, and since when it is gone.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) row: LeaseRow,
    pub(super) gone_ms: Option<u64>,
}

/// What a write comes to.
#[derive(Default)]
pub(super) struct Change {
    /// The clock, from now on.
    pub(super) seq: u64,
    /// Rows that are put.
    pub(super) rows: BTreeMap<LeaseId, Kept>,
    /// Servers that are put with a beat, or removed.
    pub(super) servers: BTreeMap<ServerId, Option<i64>>,
    /// Rows that were gone before this time are removed.
    pub(super) purge_before_ms: Option<u64>,
    refused: Vec<LeaseId>,
}

impl Table {
    /// What was read from a file.
    pub(super) fn of(
        seq: u64,
        servers: BTreeMap<ServerId, i64>,
        rows: BTreeMap<LeaseId, Kept>,
    ) -> Self {
        Self {
            seq,
            servers,
            rows,
            purged_before_ms: 0,
        }
    }

    pub(super) fn joined(&self, me: ServerId) -> Change {
        self.beats(me, Some(0))
    }

    pub(super) fn left(&self, me: ServerId) -> Change {
        self.beats(me, self.servers.get(&me).map(|_| -1))
    }

    fn beats(&self, server: ServerId, beat: Option<i64>) -> Change {
        Change {
            seq: self.seq,
            servers: BTreeMap::from([(server, beat)]),
            ..Change::default()
        }
    }

    /// What edits come to; `None` for somebody who is no member.
    pub(super) fn plan(&self, me: ServerId, edits: &[Edit], now_ms: u64) -> Option<Change> {
        self.servers.get(&me).filter(|beat| **beat >= 0)?;
        let purge_before_ms = now_ms.saturating_sub(GONE_FOR_MS);
        let due = purge_before_ms >= self.purged_before_ms.saturating_add(PURGE_EVERY_MS);
        let mut change = Change {
            seq: self.seq + 1,
            purge_before_ms: due.then_some(purge_before_ms),
            ..Change::default()
        };
        for edit in edits {
            match *edit {
                Edit::Adopt { server, beat } => self.adopt(&mut change, me, server, beat),
                Edit::Grant { id, .. }
                | Edit::Take { id }
                | Edit::Show { id, .. }
                | Edit::Revoke { id } => match decide(self.kept(&change, id), me, edit, now_ms) {
                    Decided::Put(kept) => change.put(kept),
                    Decided::Refused => change.refused.push(id),
                    Decided::AsItIs => {}
                },
            }
        }
        Some(change)
    }

    /// A row, as the edits before this one left it.
    fn kept<'a>(&'a self, change: &'a Change, id: LeaseId) -> Option<&'a Kept> {
        change.rows.get(&id).or_else(|| self.rows.get(&id))
    }

    fn adopt(&self, change: &mut Change, me: ServerId, server: ServerId, beat: i64) {
        let stands =
            self.servers.get(&server) == Some(&beat) && !change.servers.contains_key(&server);
        if !stands || server == me {
            return;
        }
        change.servers.insert(server, None);
        let orphans: Vec<Kept> = self
            .rows
            .keys()
            .chain(change.rows.keys())
            .filter_map(|id| self.kept(change, *id))
            .filter(|kept| kept.row.owner == server && !kept.row.gone)
            .cloned()
            .collect();
        for mut orphan in orphans {
            orphan.row.owner = me;
            change.put(orphan);
        }
    }

    /// Makes a change that was decided on this table as it is.
    pub(super) fn take_in(&mut self, change: Change) -> Applied {
        let changed = change.rows.values().map(|kept| kept.row.clone()).collect();
        self.seq = change.seq;
        self.rows.extend(change.rows);
        for (server, beat) in change.servers {
            match beat {
                Some(beat) => self.servers.insert(server, beat),
                None => self.servers.remove(&server),
            };
        }
        if let Some(before) = change.purge_before_ms {
            self.rows
                .retain(|_, kept| kept.gone_ms.is_none_or(|gone| gone >= before));
            self.purged_before_ms = before;
        }
        Applied {
            member: true,
            changed,
            refused: change.refused,
            seq: self.seq,
        }
    }

    pub(super) fn vouch(&mut self, me: ServerId, since: u64) -> Vouched {
        let Some(beat) = self.servers.get_mut(&me).filter(|beat| **beat >= 0) else {
            return Vouched::default();
        };
        *beat += 1;
        let mut changed: Vec<&LeaseRow> = self
            .rows
            .values()
            .map(|kept| &kept.row)
            .filter(|row| row.seq > since)
            .collect();
        changed.sort_unstable_by_key(|row| row.seq);
        if let Some(last) = changed.get(LEASE_PAGE - 1).map(|row| row.seq) {
            // Also those that have the number of the last one.
            changed.truncate(changed.partition_point(|row| row.seq <= last));
        }
        let servers = self.servers.iter().map(|(id, beat)| (*id, *beat)).collect();
        Vouched::of(servers, changed.into_iter().cloned().collect(), self.seq)
    }
}

impl Change {
    fn put(&mut self, mut kept: Kept) {
        kept.row.seq = self.seq;
        self.rows.insert(kept.row.id, kept);
    }
}

/// What becomes of an edit of one lease.
enum Decided {
    Put(Kept),
    AsItIs,
    Refused,
}

fn decide(found: Option<&Kept>, me: ServerId, edit: &Edit, now_ms: u64) -> Decided {
    let standing = found.filter(|kept| !kept.row.gone);
    let row = match (edit, standing.map(|kept| kept.row.clone())) {
        (
            Edit::Grant {
                id,
                service,
                ttl_ms,
            },
            None,
        ) if found.is_none() => LeaseRow {
            id: *id,
            service: service.clone(),
            ttl_ms: *ttl_ms,
            owner: me,
            health: Health::Unknown,
            gone: false,
            seq: 0,
        },
        (
            Edit::Grant {
                service, ttl_ms, ..
            },
            Some(row),
        ) if row.service == *service => LeaseRow {
            ttl_ms: *ttl_ms,
            owner: me,
            ..row
        },
        (Edit::Take { .. }, Some(row)) => LeaseRow { owner: me, ..row },
        (Edit::Show { health, .. }, Some(row)) if row.owner == me => LeaseRow {
            health: *health,
            ..row
        },
        (Edit::Revoke { .. }, Some(row)) => LeaseRow { gone: true, ..row },
        (Edit::Revoke { .. }, None) if found.is_some() => return Decided::AsItIs,
        (
            Edit::Grant { .. }
            | Edit::Take { .. }
            | Edit::Show { .. }
            | Edit::Revoke { .. }
            | Edit::Adopt { .. },
            _,
        ) => return Decided::Refused,
    };
    let gone_ms = row.gone.then_some(now_ms);
    Decided::Put(Kept { row, gone_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kg_core::model::Name;

    const ME: ServerId = ServerId(1);

    #[test]
    fn what_is_gone_is_kept_for_an_hour_and_then_removed() {
        let mut table = Table::default();
        let join = table.joined(ME);
        table.take_in(join);
        let mut apply = |edit: Edit, now_ms| {
            let change = table.plan(ME, &[edit], now_ms).expect("a member");
            table.take_in(change);
            table.rows.len()
        };
        let grant = |id| Edit::Grant {
            id: LeaseId(id),
            service: Name::parse("service", "a").expect("a name"),
            ttl_ms: 1_000,
        };
        let revoke = |id| Edit::Revoke { id: LeaseId(id) };
        let now = 1_700_000_000_000;
        apply(grant(1), now);
        apply(grant(2), now);
        assert_eq!(apply(revoke(1), now), 2);
        assert_eq!(apply(grant(3), now + GONE_FOR_MS), 3);
        assert_eq!(apply(grant(3), now + GONE_FOR_MS + PURGE_EVERY_MS), 2);
    }
}
