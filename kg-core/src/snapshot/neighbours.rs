//! `Neighbours`: the ids at the other end of one entity's relations, ascending, wherever they stand.

use super::hub::{Branch, Chunks};
use std::iter::Copied;
use std::slice;

/// The ids at the other end of one entity's relations.
#[derive(Clone, Copy)]
pub struct Neighbours<'a>(Ids<'a>);

#[derive(Clone, Copy)]
enum Ids<'a> {
    /// All in one place: most entities have a few.
    List(&'a [u32]),
    /// In the chunks of a hub.
    Tree(&'a Branch),
}

impl<'a> Neighbours<'a> {
    /// Of an entity that has none.
    pub(super) const NONE: Self = Self::list(&[]);

    #[inline]
    pub(super) const fn list(ids: &'a [u32]) -> Self {
        Self(Ids::List(ids))
    }

    pub(super) const fn tree(root: &'a Branch) -> Self {
        Self(Ids::Tree(root))
    }

    /// How many there are.
    #[inline]
    pub fn len(self) -> usize {
        match self.0 {
            Ids::List(ids) => ids.len(),
            Ids::Tree(root) => root.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        matches!(self.0, Ids::List([]))
    }

    /// The lowest of them, where they stand in one place: a look that brings them nearer.
    #[inline]
    pub(crate) fn peek(self) -> u32 {
        match self.0 {
            Ids::List([first, ..]) => *first,
            Ids::List([]) | Ids::Tree(_) => 0,
        }
    }

    /// Whether `id` is among them. O(log n).
    pub fn contains(self, id: u32) -> bool {
        match self.0 {
            Ids::List(ids) => ids.binary_search(&id).is_ok(),
            Ids::Tree(root) => root.contains(id),
        }
    }

    /// The ids, ascending.
    pub fn iter(self) -> Iter<'a> {
        match self.0 {
            Ids::List(ids) => Iter {
                ids: ids.iter().copied(),
                rest: Chunks::none(),
            },
            Ids::Tree(root) => Iter {
                ids: [].iter().copied(),
                rest: root.chunks(),
            },
        }
    }

    /// Calls `visit` with each id, ascending: what `iter` does, without its bookkeeping.
    #[inline]
    pub fn for_each(self, mut visit: impl FnMut(u32)) {
        self.for_each_slice(|ids| ids.iter().copied().for_each(&mut visit));
    }

    /// Calls `visit` with the ids, ascending, as they stand together.
    #[inline]
    pub(crate) fn for_each_slice(self, mut visit: impl FnMut(&[u32])) {
        match self.0 {
            Ids::List(ids) => visit(ids),
            Ids::Tree(root) => root.for_each_chunk(&mut visit),
        }
    }
}

/// The ids of a set, ascending.
pub struct Iter<'a> {
    ids: Copied<slice::Iter<'a, u32>>,
    rest: Chunks<'a>,
}

impl Iterator for Iter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            match self.ids.next() {
                None => self.ids = self.rest.next()?.iter().copied(),
                id => return id,
            }
        }
    }
}

impl<'a> IntoIterator for Neighbours<'a> {
    type Item = u32;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
