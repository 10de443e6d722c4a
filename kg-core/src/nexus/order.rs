//! In which order steps can begin: levels, cycles, ancestors. What is no step, and a step of its own, is not followed.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{PatternSpec, Step};

/// Steps by what they depend on, as indexes. A pattern that is faulty has one too.
#[derive(Clone, Debug)]
pub(super) struct Order<'a> {
    steps: &'a [Step],
    /// Of each step, by index: the steps that it depends on, without repetition and without itself.
    pub(super) depends_on: Vec<Vec<usize>>,
}

/// The steps that can begin together, by index, first to last; those of one level in the order of the definition. `None`: there
/// is a cycle.
#[must_use]
pub fn levels(pattern: &PatternSpec) -> Option<Vec<Vec<usize>>> {
    let order = Order::of(&pattern.body.steps);
    let (levels, cyclic) = order.levels();
    cyclic.is_empty().then_some(levels)
}

impl<'a> Order<'a> {
    pub(super) fn of(steps: &'a [Step]) -> Self {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, step) in steps.iter().enumerate() {
            places.entry(&step.id).or_insert(i);
        }
        let of_step = |(i, step): (usize, &Step)| {
            let mut on: Vec<usize> = Vec::with_capacity(step.depends_on.len());
            for id in &step.depends_on {
                match places.get(id.as_str()) {
                    Some(at) if *at != i && !on.contains(at) => on.push(*at),
                    _ => {}
                }
            }
            on
        };
        let depends_on = steps.iter().enumerate().map(of_step).collect();
        Self { steps, depends_on }
    }

    /// The levels, and what is in no level: steps on a cycle, and whatever depends on one.
    pub(super) fn levels(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let mut waits_for: Vec<usize> = self.depends_on.iter().map(Vec::len).collect();
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.steps.len()];
        for (i, on) in self.depends_on.iter().enumerate() {
            for at in on {
                dependents[*at].push(i);
            }
        }
        let mut levels = Vec::new();
        let mut level: Vec<usize> = (0..waits_for.len())
            .filter(|i| waits_for[*i] == 0)
            .collect();
        while !level.is_empty() {
            let mut next = Vec::new();
            for dependent in level.iter().flat_map(|i| &dependents[*i]) {
                waits_for[*dependent] -= 1;
                if waits_for[*dependent] == 0 {
                    next.push(*dependent);
                }
            }
            next.sort_unstable();
            levels.push(std::mem::replace(&mut level, next));
        }
        let cyclic = (0..waits_for.len()).filter(|i| waits_for[*i] > 0).collect();
        (levels, cyclic)
    }

    /// Cycles, so that each step on one is on one of these. Each begins with the step of the smallest id that no cycle before
    /// it holds, and is the shortest through that step, so that the listing order makes no difference.
    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        let (_, mut cyclic) = self.levels();
        cyclic.sort_by(|a, b| self.steps[*a].id.cmp(&self.steps[*b].id));
        let mut told = vec![false; self.steps.len()];
        let mut cycles = Vec::new();
        for start in cyclic {
            if told[start] {
                continue;
            }
            if let Some(cycle) = self.cycle_through(start) {
                for at in &cycle {
                    told[*at] = true;
                }
                cycles.push(cycle);
            }
        }
        cycles
    }

    /// The shortest way from a step back to it, along what it depends on.
    fn cycle_through(&self, start: usize) -> Option<Vec<usize>> {
        let mut came_from: Vec<Option<usize>> = vec![None; self.steps.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(here) = queue.pop_front() {
            let mut next = self.depends_on[here].clone();
            next.sort_by(|a, b| self.steps[*a].id.cmp(&self.steps[*b].id));
            for at in next {
                if at == start {
                    return Some(way(&came_from, start, here));
                }
                if came_from[at].is_none() {
                    came_from[at] = Some(here);
                    queue.push_back(at);
                }
            }
        }
        None
    }

    /// Which steps must have been settled before this one, whether or not there is a cycle. Cost: O(steps + dependencies).
    pub(super) fn ancestors(&self, of: usize) -> Vec<bool> {
        let mut found = vec![false; self.steps.len()];
        let mut left = vec![of];
        while let Some(here) = left.pop() {
            for at in &self.depends_on[here] {
                if !std::mem::replace(&mut found[*at], true) {
                    left.push(*at);
                }
            }
        }
        found
    }
}

fn way(came_from: &[Option<usize>], start: usize, end: usize) -> Vec<usize> {
    let mut way = vec![end];
    let mut here = end;
    while here != start {
        match came_from[here] {
            Some(before) => here = before,
            None => break,
        }
        way.push(here);
    }
    way.reverse();
    way
}
