//! A layer of a walk while it grows, without a branch: whether an id is new cannot be foretold, and a wrong guess costs more
//! than a write that is not needed.

use super::bits::Bits;

/// A layer that grows.
#[derive(Default)]
pub(super) struct Layer {
    ids: Vec<u32>,
    /// How many of these count.
    len: usize,
}

impl Layer {
    /// Makes room for so many ids more.
    pub(super) fn make_room(&mut self, more: usize) {
        let needed = self.len + more;
        if needed > self.ids.len() {
            self.ids.resize(needed, 0);
        }
    }

    /// Adds those of `ids` that are not met yet, and meets them. There is room for all.
    #[inline]
    pub(super) fn add_new(&mut self, ids: &[u32], met: &mut Bits) {
        let room = &mut self.ids[self.len..];
        // Kept in a register: as a field it would be read and written anew for each id.
        let mut added = 0;
        for &id in ids {
            room[added] = id;
            added += usize::from(met.insert(id));
        }
        self.len += added;
    }
}

impl From<Layer> for Vec<u32> {
    fn from(mut layer: Layer) -> Self {
        layer.ids.truncate(layer.len);
        layer.ids
    }
}
