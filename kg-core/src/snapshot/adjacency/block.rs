//! `Block`: the neighbours of sixteen entities whose numbers follow each other, in both directions.
//!
//! For each direction a small CSR: one array of ids, and for each of the sixteen lists where it ends. So sixteen entities
//! cost two allocations and two lines, where a set for each of them costs a pointer, a block and two cache misses. A walk in
//! one direction reads nothing of the other. A write copies an array, which is plain words: 275 bytes on a graph with four
//! relations for each entity, 4 KiB at worst.
//!
//! A list of more than `LISTED` ids stands by itself, as a [`Hub`], and comes back when three quarters of them are left.

use super::super::hub::Hub;
use super::super::neighbours::Neighbours;
use super::super::radix::ARC_HEADER_BYTES;
use std::mem::size_of;
use std::sync::Arc;

/// Entities of one block.
pub(super) const ENTITIES: u32 = 16;

/// The longest list that shares a block.
const LISTED: usize = 64;

/// At how many ids or fewer a hub comes back.
const RETURNS_AT: usize = LISTED * 3 / 4;

/// The neighbours of sixteen entities.
#[derive(Clone, Default)]
pub(super) struct Block {
    out: Lists,
    into: Lists,
}

/// Which way the relations of a list lead.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Out,
    In,
}

impl Block {
    /// The neighbours of the entity with this number.
    #[inline]
    pub(super) fn list(&self, way: Way, entity: u32) -> Neighbours<'_> {
        let lists = match way {
            Way::Out => &self.out,
            Way::In => &self.into,
        };
        lists.get(place(entity))
    }

    /// Adds a neighbour that is not there.
    pub(super) fn insert(&mut self, way: Way, entity: u32, id: u32) {
        self.lists_mut(way).insert(place(entity), id);
    }

    /// Takes away a neighbour that is there.
    pub(super) fn remove(&mut self, way: Way, entity: u32, id: u32) {
        self.lists_mut(way).remove(place(entity), id);
    }

    fn lists_mut(&mut self, way: Way) -> &mut Lists {
        match way {
            Way::Out => &mut self.out,
            Way::In => &mut self.into,
        }
    }

    /// Bytes on the heap, as if it shared none of them.
    pub(super) fn heap_bytes(&self) -> usize {
        self.out.heap_bytes() + self.into.heap_bytes()
    }
}

/// The place of one entity's list among those of its block.
#[inline]
fn place(entity: u32) -> usize {
    (entity % ENTITIES) as usize
}

/// The lists of one direction: a cache line, and what it points to.
#[derive(Clone, Default)]
#[repr(align(64))]
struct Lists {
    /// Where each list begins; the next one's begin is its end.
    begins: [u16; ENTITIES as usize + 1],
    ids: Option<Arc<[u32]>>,
    /// Lists that stand by themselves, by their place. Their own place in `begins` is empty.
    hubs: Option<Arc<Vec<(u8, Hub)>>>,
}

impl Lists {
    #[inline]
    fn get(&self, place: usize) -> Neighbours<'_> {
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
        let [from, to] = [self.begins[place], self.begins[place + 1]];
        (usize::from(from), usize::from(to))
    }

    fn insert(&mut self, place: usize, id: u32) {
        if let Some(at) = self.hub_at(place) {
            self.hub_mut(at).insert(id);
            return;
        }
        let (from, to) = self.range(place);
        let ids = self.ids.as_deref().unwrap_or_default();
        let at = from + ids[from..to].partition_point(|&other| other < id);
        if to - from < LISTED {
            self.ids = Some([&ids[..at], &[id], &ids[at..]].concat().into());
            self.move_end(place, 1);
            return;
        }
        let hub = Hub::of(&[&ids[from..at], &[id], &ids[at..to]].concat());
        self.ids = joined(&ids[..from], &[], &ids[to..]);
        self.move_end(place, -(LISTED as i16));
        Arc::make_mut(self.hubs.get_or_insert_default()).push((place as u8, hub));
    }

    fn remove(&mut self, place: usize, id: u32) {
        let (from, to) = self.range(place);
        if let Some(at) = self.hub_at(place) {
            let hub = self.hub_mut(at);
            hub.remove(id);
            if hub.ids().len() <= RETURNS_AT {
                let list: Vec<u32> = hub.ids().iter().collect();
                let ids = self.ids.as_deref().unwrap_or_default();
                self.ids = joined(&ids[..from], &list, &ids[from..]);
                self.move_end(place, list.len() as i16);
                self.drop_hub(at);
            }
            return;
        }
        let ids = self.ids.as_deref().unwrap_or_default();
        let at = from + ids[from..to].partition_point(|&other| other < id);
        self.ids = joined(&ids[..at], &[], &ids[at + 1..]);
        self.move_end(place, -1);
    }

    /// A list has grown by so many ids: it ends later, and what stands behind it begins later.
    fn move_end(&mut self, place: usize, by: i16) {
        for end in &mut self.begins[place + 1..] {
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

    fn heap_bytes(&self) -> usize {
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

fn joined(left: &[u32], middle: &[u32], right: &[u32]) -> Option<Arc<[u32]>> {
    let ids = [left, middle, right].concat();
    (!ids.is_empty()).then(|| ids.into())
}
