//! What every failpoint did, added up over all rounds.

use std::collections::BTreeMap;
use std::fmt;

use kg_core::faults::Point;

use crate::round::{Ended, Order};

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    kills: u64,
    others: u64,
    missed: u64,
    hits: u64,
}

/// Counts by failpoint.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<Point, Count>);

impl Tally {
    pub fn add(&mut self, order: Order, ended: Ended) {
        let count = self.0.entry(order.point).or_default();
        match ended {
            Ended::At(hit) => {
                count.hits += hit;
                if order.action == "kill" {
                    count.kills += 1;
                } else {
                    count.others += 1;
                }
            }
            Ended::Elsewhere => count.missed += 1,
        }
    }

    pub fn kills(&self) -> u64 {
        self.0.values().map(|count| count.kills).sum()
    }

    /// Points at which nothing was killed.
    pub fn spared(&self) -> Vec<&'static str> {
        let spared = |point: &&Point| self.0.get(point).is_none_or(|count| count.kills == 0);
        Point::ALL
            .iter()
            .filter(spared)
            .map(|point| point.name())
            .collect()
    }

    pub fn all(&mut self, other: &Self) {
        for (point, more) in &other.0 {
            let count = self.0.entry(*point).or_default();
            count.kills += more.kills;
            count.others += more.others;
            count.missed += more.missed;
            count.hits += more.hits;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20} {:>6} {:>16} {:>10} {:>8}",
            "failpoint", "kills", "panics, errors", "not met", "hits"
        )?;
        for point in Point::ALL {
            let Count {
                kills,
                others,
                missed,
                hits,
            } = self.0.get(point).copied().unwrap_or_default();
            writeln!(
                f,
                "{:<20} {kills:>6} {others:>16} {missed:>10} {hits:>8}",
                point.name()
            )?;
        }
        Ok(())
    }
}
