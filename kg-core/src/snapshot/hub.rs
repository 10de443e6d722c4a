//! `Hub`: a persistent sorted set of ids, for the other ends of an entity that has many relations.
//!
//! What has a few neighbours shares a [`Block`](super::adjacency) with its own neighbours in number. From 65 on a list stands
//! by itself, so that what it shares a block with need not be copied with it:
//!
//! - in one chunk of 251 places (1 KiB);
//! - from 252 ids on in a tree of chunks of 507.
//!
//! | operation | cost |
//! |---|---|
//! | `clone` | one reference count |
//! | `contains` | a binary search; O(log n) |
//! | `insert`, `remove` on a set of its own | in place; O(log n) and a move within one chunk |
//! | `insert`, `remove` on a shared set | a copy of one chunk and, in a tree, of its path: some 4 KiB, up to 8 where chunks are split or joined |
//!
//! A set moves to the tree when the chunk is full and back when it would fill no more than three quarters of it, so that a
//! relation that comes and goes does not move it each time.
//!
//! **Why a tree of chunks.** A persistent ordered set of the usual kind is about 30 times slower in a traversal than arrays.
//! One slice for a whole hub makes a write to it copy all of it: 400 KiB for 100,000 neighbours.

mod chunk;
#[cfg(test)]
mod tests;
mod tree;

use super::neighbours::Neighbours;
use super::radix::ARC_HEADER_BYTES;
use chunk::Chunk;
use std::mem::size_of;
use std::sync::Arc;
pub(super) use tree::{Branch, Chunks};

const CHUNK: usize = 251;

/// At how many ids or fewer a tree gives way to a chunk.
const SHRINKS_AT: usize = CHUNK * 3 / 4;

/// A persistent sorted set of ids.
#[derive(Clone)]
pub(super) struct Hub(Form);

#[derive(Clone)]
enum Form {
    Chunk(Arc<Chunk<CHUNK>>),
    Tree(Arc<Branch>),
}

impl Hub {
    /// A set of these ids, which are ascending.
    pub(super) fn of(ids: &[u32]) -> Self {
        let first = ids.len().min(CHUNK);
        let mut hub = Self(Form::Chunk(Arc::new(Chunk::of(&ids[..first]))));
        for id in &ids[first..] {
            hub.insert(*id);
        }
        hub
    }

    /// Its ids.
    #[inline]
    pub(super) fn ids(&self) -> Neighbours<'_> {
        match &self.0 {
            Form::Chunk(chunk) => Neighbours::list(chunk.ids()),
            Form::Tree(root) => Neighbours::tree(root),
        }
    }

    /// Adds an id that is not in it.
    pub(super) fn insert(&mut self, id: u32) {
        match &mut self.0 {
            Form::Chunk(chunk) if chunk.is_full() => {
                let mut root = Branch::of(chunk.ids());
                root.insert(id);
                self.0 = Form::Tree(Arc::new(root));
            }
            Form::Chunk(chunk) => Arc::make_mut(chunk).insert(id),
            Form::Tree(root) => Arc::make_mut(root).insert(id),
        }
    }

    /// Takes away an id that is in it.
    pub(super) fn remove(&mut self, id: u32) {
        match &mut self.0 {
            Form::Chunk(chunk) => Arc::make_mut(chunk).remove(id),
            Form::Tree(root) => {
                Arc::make_mut(root).remove(id);
                if root.len() <= SHRINKS_AT {
                    let ids: Vec<u32> = self.ids().iter().collect();
                    self.0 = Form::Chunk(Arc::new(Chunk::of(&ids)));
                }
            }
        }
    }

    /// Bytes on the heap, as if it shared none of them.
    pub(super) fn heap_bytes(&self) -> usize {
        let mut sum = 0;
        self.for_each_block(&mut |_, bytes| sum += bytes);
        sum
    }

    /// Calls `visit` with the address and the size of each block on the heap.
    fn for_each_block(&self, visit: &mut impl FnMut(*const u8, usize)) {
        match &self.0 {
            Form::Chunk(chunk) => visit_chunk(chunk, visit),
            Form::Tree(root) => tree::for_each_block(root, visit),
        }
    }
}

fn visit_chunk<const N: usize>(chunk: &Arc<Chunk<N>>, visit: &mut impl FnMut(*const u8, usize)) {
    visit(
        Arc::as_ptr(chunk).cast(),
        ARC_HEADER_BYTES + size_of::<Chunk<N>>(),
    );
}
