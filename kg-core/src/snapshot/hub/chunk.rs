//! `Chunk`: a sorted run of ids in a block of fixed size.
//!
//! The capacity is part of the type, so that the pointer to a chunk is one word, and an insert into a chunk that nobody
//! shares moves a few words and allocates nothing. Capacities are chosen so that a chunk, with its length and the two
//! reference counts before it, fills a power of two: 11 ids make one cache line, 507 make 2 KiB.

/// Up to `N` ids, ascending, none twice.
#[derive(Clone)]
pub(super) struct Chunk<const N: usize> {
    len: u32,
    /// What stands beyond `len` is left over and means nothing.
    ids: [u32; N],
}

impl<const N: usize> Chunk<N> {
    /// A chunk of these ids, which are ascending and no more than `N`.
    pub(super) fn of(ids: &[u32]) -> Self {
        let mut chunk = Self {
            len: ids.len() as u32,
            ids: [0; N],
        };
        chunk.ids[..ids.len()].copy_from_slice(ids);
        chunk
    }

    #[inline]
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids[..self.len as usize]
    }

    pub(super) fn is_full(&self) -> bool {
        self.len as usize == N
    }

    /// How many of its ids are below `id`: where it stands, or belongs.
    pub(super) fn place_of(&self, id: u32) -> usize {
        self.ids().partition_point(|&other| other < id)
    }

    /// Adds an id that is not in the chunk, which is not full.
    pub(super) fn insert(&mut self, id: u32) {
        let (at, len) = (self.place_of(id), self.len as usize);
        self.ids.copy_within(at..len, at + 1);
        self.ids[at] = id;
        self.len += 1;
    }

    /// Takes away an id that is in the chunk.
    pub(super) fn remove(&mut self, id: u32) {
        let (at, len) = (self.place_of(id), self.len as usize);
        self.ids.copy_within(at + 1..len, at);
        self.len -= 1;
    }

    /// Keeps the first `len` ids and returns the rest.
    pub(super) fn split_off(&mut self, len: usize) -> Self {
        let rest = Self::of(&self.ids()[len..]);
        self.len = len as u32;
        rest
    }

    /// Adds the ids of `right`, all above its own; together they are no more than `N`.
    pub(super) fn append(&mut self, right: &Self) {
        let len = self.len as usize;
        self.ids[len..len + right.ids().len()].copy_from_slice(right.ids());
        self.len += right.len;
    }
}
