//! `Neighbours`: a persistent sorted set of ids.

mod chunk;
mod tree;

use chunk::Chunk;
use std::mem::size_of;
use std::sync::Arc;
use tree::Branch;

/// What an `Arc` keeps before its value: the strong and the weak count.
const ARC_HEADER_BYTES: usize = 2 * size_of::<usize>();

const INLINE: usize = 3;
const SMALL: usize = 11;
const MEDIUM: usize = 59;
const LARGE: usize = 251;

/// A persistent sorted set of ids.
#[derive(Clone)]
pub struct Neighbours(Form);

#[derive(Clone)]
enum Form {
    Inline { len: u8, ids: [u32; INLINE] },
    Small(Arc<Chunk<SMALL>>),
    Medium(Arc<Chunk<MEDIUM>>),
    Large(Arc<Chunk<LARGE>>),
    Tree(Arc<Branch>),
}

const _: () = assert!(size_of::<Neighbours>() == 16);

impl Default for Neighbours {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Neighbours {
    /// The empty set.
    pub const EMPTY: Self = Self(Form::Inline {
        len: 0,
        ids: [0; INLINE],
    });

    /// How many ids it has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Tree(root) => root.len(),
            flat => flat.ids().len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Form::Inline { len: 0, .. })
    }

    /// Whether `id` is in it.
    pub fn contains(&self, id: u32) -> bool {
        match &self.0 {
            Form::Tree(root) => root.contains(id),
            flat => flat.ids().binary_search(&id).is_ok(),
        }
    }

    /// Adds `id`; false if it was there.
    pub fn insert(&mut self, id: u32) -> bool {
        if let Form::Tree(root) = &mut self.0 {
            let is_new = !root.contains(id);
            if is_new {
                Arc::make_mut(root).insert(id);
            }
            return is_new;
        }
        match self.0.ids().binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert_at(at, id);
                true
            }
        }
    }

    /// Takes `id` away; false if it was not there.
    pub fn remove(&mut self, id: u32) -> bool {
        if !self.contains(id) {
            return false;
        }
        match &mut self.0 {
            Form::Inline { len, ids } => {
                let place = ids[..usize::from(*len)].partition_point(|&other| other < id);
                ids.copy_within(place + 1.., place);
                *len -= 1;
            }
            Form::Small(chunk) => Arc::make_mut(chunk).remove(id),
            Form::Medium(chunk) => Arc::make_mut(chunk).remove(id),
            Form::Large(chunk) => Arc::make_mut(chunk).remove(id),
            Form::Tree(root) => Arc::make_mut(root).remove(id),
        }
        self.0.shrink();
        true
    }

    /// Calls `visit` with each id, ascending.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(u32)) {
        match &self.0 {
            Form::Tree(root) => {
                root.for_each_chunk(&mut |ids| ids.iter().copied().for_each(&mut visit))
            }
            flat => flat.ids().iter().copied().for_each(visit),
        }
    }
}

impl Form {
    #[inline]
    fn ids(&self) -> &[u32] {
        match self {
            Form::Inline { len, ids } => &ids[..usize::from(*len)],
            Form::Small(chunk) => chunk.ids(),
            Form::Medium(chunk) => chunk.ids(),
            Form::Large(chunk) => chunk.ids(),
            Form::Tree(_) => &[],
        }
    }
    fn insert_at(&mut self, at: usize, id: u32) {
        match &mut *self {
            Form::Inline { len, ids } if usize::from(*len) < INLINE => {
                ids.copy_within(at..INLINE - 1, at + 1);
                ids[at] = id;
                *len += 1;
                return;
            }
            Form::Small(chunk) if !chunk.is_full() => {
                return Arc::make_mut(chunk).insert_at(at, id);
            }
            Form::Medium(chunk) if !chunk.is_full() => {
                return Arc::make_mut(chunk).insert_at(at, id);
            }
            Form::Large(chunk) if !chunk.is_full() => {
                return Arc::make_mut(chunk).insert_at(at, id);
            }
            _ => {}
        }
        let mut ids = self.ids().to_vec();
        ids.insert(at, id);
        *self = Form::of(&ids);
    }
    fn of(ids: &[u32]) -> Self {
        match ids.len() {
            len @ 0..=INLINE => {
                let mut inline = [0; INLINE];
                inline[..len].copy_from_slice(ids);
                Form::Inline {
                    len: len as u8,
                    ids: inline,
                }
            }
            ..=SMALL => Form::Small(Arc::new(Chunk::of(ids))),
            ..=MEDIUM => Form::Medium(Arc::new(Chunk::of(ids))),
            ..=LARGE => Form::Large(Arc::new(Chunk::of(ids))),
            _ => Form::Tree(Arc::new(Branch::of(ids))),
        }
    }
    fn shrink(&mut self) {
        let bound = match self {
            Form::Inline { .. } => return,
            Form::Small(_) => INLINE,
            Form::Medium(_) => SMALL,
            Form::Large(_) => MEDIUM,
            Form::Tree(_) => LARGE,
        } * 3
            / 4;
        let len = match &*self {
            Form::Tree(root) => root.len(),
            flat => flat.ids().len(),
        };
        if len <= bound {
            let ids = match &*self {
                Form::Tree(root) => root.chunks().collect::<Vec<_>>().concat(),
                flat => flat.ids().to_vec(),
            };
            *self = Form::of(&ids);
        }
    }
}
