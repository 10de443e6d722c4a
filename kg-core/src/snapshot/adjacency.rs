//! `Adjacency`: all relations of one label, seen from both ends.
//!
//! A persistent vector of blocks, each with the neighbours of sixteen entities whose numbers follow each other: whom they
//! point to, and who points to them. Following a relation backwards costs what following it forwards does. Both ends of
//! every relation are always there: an edge is added in both places or in neither.
//!
//! | operation | cost |
//! |---|---|
//! | `clone` | a reference count |
//! | `outgoing`, `incoming` | four loads, of which two miss a cold cache |
//! | `insert`, `remove` | a path copy for each end, also at a hub |
//! | `insert`, `remove` that change nothing | a lookup |
//!
//! **Why blocks.** A static CSR is the fastest form that a traversal can have, and its two arrays are what no version could
//! share with the next. Cut into blocks of sixteen entities they can be, and a traversal hardly notices. A set for each
//! entity, as was here before, took three times the memory and, once that was more than the cache, twice the time.
//!
//! Ids are dense over the whole graph, and a label may be used by few of its entities. That is cheap: parts of a vector
//! that were never written are one shared blank.

mod block;
#[cfg(test)]
mod tests;

use super::neighbours::Neighbours;
use super::radix::Radix;
use crate::model::EntityId;
use block::{Block, ENTITIES, Way};
use std::fmt;

/// All relations of one label.
#[derive(Clone, Default)]
pub struct Adjacency {
    blocks: Radix<Block, 4>,
    count: u64,
}

impl Adjacency {
    /// No relation at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many relations there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `from` points to `to`.
    pub fn contains(&self, from: EntityId, to: EntityId) -> bool {
        self.outgoing(from).contains(to.get())
    }

    /// Whom `from` points to.
    #[inline]
    pub fn outgoing(&self, from: EntityId) -> Neighbours<'_> {
        self.list(Way::Out, from.get())
    }

    /// Who points to `to`.
    #[inline]
    pub fn incoming(&self, to: EntityId) -> Neighbours<'_> {
        self.list(Way::In, to.get())
    }

    /// Whom `entity` points to, and who points to it. Both stand in one block: this costs hardly more than one of them.
    #[inline]
    pub fn both(&self, entity: EntityId) -> [Neighbours<'_>; 2] {
        let entity = entity.get();
        match self.blocks.get(entity / ENTITIES) {
            Some(block) => [Way::Out, Way::In].map(|way| block.list(way, entity)),
            None => [Neighbours::NONE; 2],
        }
    }

    #[inline]
    fn list(&self, way: Way, entity: u32) -> Neighbours<'_> {
        match self.blocks.get(entity / ENTITIES) {
            Some(block) => block.list(way, entity),
            None => Neighbours::NONE,
        }
    }

    /// Lets `from` point to `to`; false if it did.
    pub fn insert(&mut self, from: EntityId, to: EntityId) -> bool {
        if self.contains(from, to) {
            return false;
        }
        let (from, to) = (from.get(), to.get());
        self.block_mut(from).insert(Way::Out, from, to);
        self.block_mut(to).insert(Way::In, to, from);
        self.count += 1;
        true
    }

    /// Lets `from` no longer point to `to`; false if it did not.
    pub fn remove(&mut self, from: EntityId, to: EntityId) -> bool {
        if !self.contains(from, to) {
            return false;
        }
        let (from, to) = (from.get(), to.get());
        self.block_mut(from).remove(Way::Out, from, to);
        self.block_mut(to).remove(Way::In, to, from);
        self.count -= 1;
        true
    }

    fn block_mut(&mut self, entity: u32) -> &mut Block {
        self.blocks.get_mut(entity / ENTITIES)
    }

    /// All relations, by the id of the one that points and then of the one that it points to.
    pub fn edges(&self) -> impl Iterator<Item = (EntityId, EntityId)> {
        self.lists(Way::Out).flat_map(|(from, neighbours)| {
            neighbours
                .iter()
                .map(move |to| (EntityId::new(from), EntityId::new(to)))
        })
    }

    /// The lists of all entities, by number.
    fn lists(&self, way: Way) -> impl Iterator<Item = (u32, Neighbours<'_>)> {
        (0..)
            .zip(self.blocks.iter())
            .flat_map(move |(block, lists)| {
                let first = block * ENTITIES;
                (first..first + ENTITIES).map(move |entity| (entity, lists.list(way, entity)))
            })
    }

    /// Bytes on the heap, as if it shared none of them with other versions. Walks all entities.
    pub fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes() + self.blocks.iter().map(Block::heap_bytes).sum::<usize>()
    }
}

impl fmt::Debug for Adjacency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adjacency({} relations)", self.count)
    }
}
