//! The walk behind every traversal: breadth first, layer by layer, on ids.
//!
//! A set of bits says which ids were met; each layer is the list of those met at its depth. A table of depths is made only
//! once paths are asked for.

use super::bits::Bits;
use super::budget::{Budget, Meter};
use super::direction::Ways;
use super::layer::Layer;
use super::order::Order;
use crate::snapshot::Snapshot;

/// Entities whose neighbours are looked up together.
const AT_ONCE: usize = 64;

/// The depth of what was not met.
pub(super) const UNSEEN: u32 = u32::MAX;

/// What a walk met.
pub(super) struct Walk<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) ways: Ways<'a>,
    met: Bits,
    /// Ids by depth; the first layer are the roots.
    pub(super) layers: Vec<Vec<u32>>,
    /// Whether the budget ended it.
    pub(super) truncated: bool,
}

/// Where a walk ends, apart from its budget.
#[derive(Clone, Copy, Default)]
pub(super) struct End {
    /// After this many relations; that is the question and no cut.
    pub(super) hops: Option<u32>,
    /// With the layer in which this id is met.
    pub(super) met: Option<u32>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        ways: Ways<'a>,
        roots: Vec<u32>,
        end: End,
        budget: &Budget<'_>,
    ) -> Self {
        let mut walk = Self {
            snapshot,
            ways,
            met: Bits::new(snapshot.id_bound()),
            layers: Vec::new(),
            truncated: false,
        };
        for root in &roots {
            walk.met.insert(*root);
        }
        walk.layers.push(roots);
        walk.go(end, budget);
        walk
    }

    fn go(&mut self, end: End, budget: &Budget<'_>) {
        let mut meter = budget.meter();
        let hops = end.hops.unwrap_or(u32::MAX);
        for depth in 1..u32::MAX {
            if depth > hops || end.met.is_some_and(|id| self.met(id)) {
                return;
            }
            if meter.entities == 0 || budget.max_depth.is_some_and(|most| depth > most) {
                self.truncated = self.goes_on();
                return;
            }
            let (mut layer, late) = self.next_layer(&mut meter);
            let found = end.met.is_some_and(|id| self.met(id));
            if layer.len() > meter.entities && !found {
                self.cut(&mut layer, meter.entities);
                self.truncated = true;
            }
            meter.entities = meter.entities.saturating_sub(layer.len());
            let over = layer.is_empty();
            if !over {
                self.layers.push(layer);
            }
            self.truncated |= late && !found;
            if over || self.truncated {
                return;
            }
        }
    }

    fn next_layer(&mut self, meter: &mut Meter<'_>) -> (Vec<u32>, bool) {
        let (mut layer, mut near) = (Layer::default(), Vec::with_capacity(2 * AT_ONCE));
        let Self {
            ways, met, layers, ..
        } = self;
        for some in layers.last().map_or(&[][..], |last| last).chunks(AT_ONCE) {
            let mut spent = some.len();
            for side in ways.ahead() {
                let visits = side.look_up(some, &mut near);
                spent += visits;
                layer.make_room(visits);
                for neighbours in &near {
                    neighbours.for_each_slice(|ids| layer.add_new(ids, met));
                }
            }
            if meter.spend(spent) {
                return (layer.into(), true);
            }
        }
        (layer.into(), false)
    }

    /// Keeps the first `most` of a layer by kind and name.
    fn cut(&mut self, layer: &mut Vec<u32>, most: usize) {
        let kept = Order::new(self.snapshot).slice(layer, 0, most);
        layer.iter().for_each(|id| self.met.remove(*id));
        for id in &kept {
            self.met.insert(*id);
        }
        *layer = kept;
    }

    /// Whether the last layer leads to anything new.
    fn goes_on(&self) -> bool {
        let last = self.layers.last().map_or(&[][..], |last| last);
        let is_new = |next| !self.met.contains(next);
        let mut near = Vec::new();
        last.chunks(AT_ONCE).any(|some| {
            self.ways.ahead().iter().any(|side| {
                side.look_up(some, &mut near);
                near.iter().any(|neighbours| neighbours.iter().any(is_new))
            })
        })
    }

    /// Whether it met this id, roots included.
    pub(super) fn met(&self, id: u32) -> bool {
        self.met.contains(id)
    }

    /// Everything it met, roots first.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.layers.iter().flatten().copied()
    }

    /// By id: at which depth it was met.
    pub(super) fn depths(&self) -> Vec<u32> {
        let mut depths = vec![UNSEEN; self.snapshot.id_bound() as usize];
        for (depth, layer) in (0..).zip(&self.layers) {
            for id in layer {
                depths[*id as usize] = depth;
            }
        }
        depths
    }
}
