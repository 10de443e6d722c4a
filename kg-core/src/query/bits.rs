//! A set of ids as bits: that of 68,000 entities fits into the innermost cache.

/// A set of ids below a bound.
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// The empty set of ids below `bound`.
    pub(super) fn new(bound: u32) -> Self {
        Self(vec![0; bound.div_ceil(64) as usize])
    }

    /// Adds an id; false if it was there.
    #[inline]
    pub(super) fn insert(&mut self, id: u32) -> bool {
        let (word, bit) = (&mut self.0[(id / 64) as usize], 1 << (id % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Takes an id away.
    pub(super) fn remove(&mut self, id: u32) {
        self.0[(id / 64) as usize] &= !(1 << (id % 64));
    }

    /// Whether an id is in it; nothing at or beyond the bound is.
    #[inline]
    pub(super) fn contains(&self, id: u32) -> bool {
        self.0
            .get((id / 64) as usize)
            .is_some_and(|word| word & (1 << (id % 64)) != 0)
    }
}
