//! Strongly connected components: groups of entities that reach each other.
//!
//! Tarjan's algorithm with stacks of its own instead of recursion: a chain of a million dependencies must not overflow
//! anything. Components come out in reverse topological order, so that whatever one leads to has come before it.

use super::budget::Meter;
use crate::model::EntityId;
use crate::snapshot::Adjacency;

/// Of what was not visited yet.
const NEW: u32 = u32::MAX;
/// Of what belongs to a component that has come out.
const DONE: u32 = u32::MAX - 1;

struct Search<'a> {
    adjacency: &'a Adjacency,
    inside: Option<&'a [bool]>,
    /// By id: when it was visited, then the earliest visit that it is known to reach.
    low: Vec<u32>,
    visits: u32,
    /// Visited, and in no component yet.
    open: Vec<u32>,
    /// The way down: an id, when it was visited, and where its waiting targets begin.
    way: Vec<(u32, u32, usize)>,
    /// Targets that wait, of everything on the way.
    targets: Vec<u32>,
}

/// Calls `each` with every component that `starts` lead to; false if the budget ended it. Components that came out
/// before are whole and right. Relations to what is not `inside` are not there for it.
pub(super) fn components(
    adjacency: &Adjacency,
    id_bound: u32,
    inside: Option<&[bool]>,
    starts: impl IntoIterator<Item = u32>,
    meter: &mut Meter<'_>,
    mut each: impl FnMut(&[u32]),
) -> bool {
    let mut search = Search {
        adjacency,
        inside,
        low: vec![NEW; id_bound as usize],
        visits: 0,
        open: Vec::new(),
        way: Vec::new(),
        targets: Vec::new(),
    };
    for start in starts {
        if search.low[start as usize] == NEW && !search.descend(start, meter, &mut each) {
            return false;
        }
    }
    true
}

impl Search<'_> {
    fn descend(
        &mut self,
        start: u32,
        meter: &mut Meter<'_>,
        each: &mut impl FnMut(&[u32]),
    ) -> bool {
        if !self.enter(start, meter) {
            return false;
        }
        while let Some(&(id, visit, first)) = self.way.last() {
            if self.targets.len() > first {
                let Some(target) = self.targets.pop() else {
                    continue;
                };
                let reached = self.low[target as usize];
                match reached {
                    NEW if !self.enter(target, meter) => return false,
                    NEW | DONE => {}
                    _ => self.lower(id, reached),
                }
                continue;
            }
            self.way.pop();
            let reached = self.low[id as usize];
            if reached == visit {
                self.close(id, each);
            } else if let Some(&(parent, ..)) = self.way.last() {
                self.lower(parent, reached);
            }
        }
        true
    }

    fn enter(&mut self, id: u32, meter: &mut Meter<'_>) -> bool {
        if !meter.visit() {
            return false;
        }
        self.low[id as usize] = self.visits;
        self.way.push((id, self.visits, self.targets.len()));
        self.visits += 1;
        self.open.push(id);
        let (targets, inside) = (&mut self.targets, self.inside);
        self.adjacency
            .outgoing(EntityId::new(id))
            .for_each(|target| {
                if inside.is_none_or(|inside| inside[target as usize]) {
                    targets.push(target);
                }
            });
        true
    }

    fn lower(&mut self, id: u32, reached: u32) {
        let low = &mut self.low[id as usize];
        *low = (*low).min(reached);
    }

    fn close(&mut self, id: u32, each: &mut impl FnMut(&[u32])) {
        let first = self.open.iter().rposition(|open| *open == id).unwrap_or(0);
        let members = self.open.split_off(first);
        for member in &members {
            self.low[*member as usize] = DONE;
        }
        each(&members);
    }
}
