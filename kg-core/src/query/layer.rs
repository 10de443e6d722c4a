//! A layer of a walk while it grows, without a branch: whether an id is new cannot be foretold, and a wrong guess costs more
//! than a write that is not needed.

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

    /// Writes the id where the next one comes, and counts it if it is new.
    #[inline]
    pub(super) fn add_if(&mut self, is_new: bool, id: u32) {
        self.ids[self.len] = id;
        self.len += usize::from(is_new);
    }
}

impl From<Layer> for Vec<u32> {
    fn from(mut layer: Layer) -> Self {
        layer.ids.truncate(layer.len);
        layer.ids
    }
}
