//! `Block`: the neighbours of sixteen entities whose numbers follow each other, in both directions, side by side.
//!
//! A small CSR: one array of ids, and for each of the thirty-two lists where it ends. So sixteen entities cost one
//! allocation and a line of ends, where a set for each of them costs a pointer, a block and two cache misses. A write
//! copies the array, which is plain words: 550 bytes on a graph with four relations for each entity, 8 KiB at worst.
//!
//! A list of more than `LISTED` ids stands by itself, as a [`Hub`], and comes back when three quarters of them are left.

use super::super::hub::Hub;
use super::super::neighbours::Neighbours;
use super::super::radix::ARC_HEADER_BYTES;
use std::mem::size_of;
use std::sync::Arc;

/// Entities of one block.
pub(super) const ENTITIES: u32 = 16;

const LISTS: usize = 2 * ENTITIES as usize;

/// The longest list that shares a block.
const LISTED: usize = 64;

/// At how many ids or fewer a hub comes back.
const RETURNS_AT: usize = LISTED * 3 / 4;

/// The neighbours of sixteen entities.
#[derive(Clone, Default)]
pub(super) struct Block {
    /// Where each list ends and the next one begins: those of outgoing relations, then those of incoming ones.
    ends: [u16; LISTS],
    ids: Option<Arc<[u32]>>,
    /// Lists that stand by themselves, by their place. Their own place in `ends` is empty.
    hubs: Option<Arc<Vec<(u8, Hub)>>>,
}

/// Which way the relations of a list lead.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Out = 0,
    In = ENTITIES as isize,
}

impl Block {
    /// The neighbours of the entity with this number.
    #[inline]
    pub(super) fn list(&self, way: Way, entity: u32) -> Neighbours<'_> {
        let place = place(way, entity);
        let (from, to) = self.range(place);
        match &self.ids {
            Some(ids) if from < to => Neighbours::list(&ids[from..to]),
            _ if self.hubs.is_none() => Neighbours::NONE,
            _ => self.apart(place),
        }
    }

    /// A list that has nothing in `ids`, in a block with hubs: one of them, or nothing at all.
    #[cold]
    fn apart(&self, place: usize) -> Neighbours<'_> {
        let hubs = self.hubs.as_deref().map_or(&[][..], |hubs| hubs);
        let hub = hubs.iter().find(|(at, _)| usize::from(*at) == place);
        hub.map_or(Neighbours::NONE, |(_, hub)| hub.ids())
    }

    #[inline]
    fn range(&self, place: usize) -> (usize, usize) {
        let from = if place == 0 { 0 } else { self.ends[place - 1] };
        (usize::from(from), usize::from(self.ends[place]))
    }

    /// Adds a neighbour that is not there.
    pub(super) fn insert(&mut self, way: Way, entity: u32, id: u32) {
        let place = place(way, entity);
        if let Some(at) = self.hub_at(place) {
            self.hub_mut(at).insert(id);
            return;
        }
        let (from, to) = self.range(place);
        let ids = self.ids.as_deref().unwrap_or_default();
        let at = from + ids[from..to].partition_point(|&other| other < id);
        if to - from < LISTED {
            self.ids = Some([&ids[..at], &[id], &ids[at..]].concat().into());
            self.move_ends(place, 1);
            return;
        }
        let hub = Hub::of(&[&ids[from..at], &[id], &ids[at..to]].concat());
        self.ids = joined(&ids[..from], &[], &ids[to..]);
        self.move_ends(place, -(LISTED as i16));
        Arc::make_mut(self.hubs.get_or_insert_default()).push((place as u8, hub));
    }

    /// Takes away a neighbour that is there.
    pub(super) fn remove(&mut self, way: Way, entity: u32, id: u32) {
        let place = place(way, entity);
        let (from, to) = self.range(place);
        if let Some(at) = self.hub_at(place) {
            let hub = self.hub_mut(at);
            hub.remove(id);
            if hub.ids().len() <= RETURNS_AT {
                let list: Vec<u32> = hub.ids().iter().collect();
                let ids = self.ids.as_deref().unwrap_or_default();
                self.ids = joined(&ids[..from], &list, &ids[from..]);
                self.move_ends(place, list.len() as i16);
                self.drop_hub(at);
            }
            return;
        }
        let ids = self.ids.as_deref().unwrap_or_default();
        let at = from + ids[from..to].partition_point(|&other| other < id);
        self.ids = joined(&ids[..at], &[], &ids[at + 1..]);
        self.move_ends(place, -1);
    }

    /// A list has grown by so many ids: it and what stands behind it end later.
    fn move_ends(&mut self, place: usize, by: i16) {
        for end in &mut self.ends[place..] {
            *end = end.wrapping_add_signed(by);
        }
    }

    fn hub_at(&self, place: usize) -> Option<usize> {
        let hubs = self.hubs.as_deref()?;
        hubs.iter().position(|(at, _)| usize::from(*at) == place)
    }

    fn hub_mut(&mut self, at: usize) -> &mut Hub {
        &mut Arc::make_mut(self.hubs.get_or_insert_default())[at].1
    }

    fn drop_hub(&mut self, at: usize) {
        let hubs = Arc::make_mut(self.hubs.get_or_insert_default());
        hubs.swap_remove(at);
        if hubs.is_empty() {
            self.hubs = None;
        }
    }

    /// Bytes on the heap, as if it shared none of them.
    pub(super) fn heap_bytes(&self) -> usize {
        let ids = self
            .ids
            .as_deref()
            .map_or(0, |ids| ARC_HEADER_BYTES + size_of_val(ids));
        let hubs = self.hubs.as_deref().map_or(0, |hubs| {
            let own =
                ARC_HEADER_BYTES + size_of_val(hubs) + hubs.capacity() * size_of::<(u8, Hub)>();
            own + hubs.iter().map(|(_, hub)| hub.heap_bytes()).sum::<usize>()
        });
        ids + hubs
    }
}

/// The place of one entity's list among those of its block.
#[inline]
fn place(way: Way, entity: u32) -> usize {
    way as usize + (entity % ENTITIES) as usize
}

fn joined(left: &[u32], middle: &[u32], right: &[u32]) -> Option<Arc<[u32]>> {
    let ids = [left, middle, right].concat();
    (!ids.is_empty()).then(|| ids.into())
}
