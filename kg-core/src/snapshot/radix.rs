//! `Radix`: a persistent vector, indexed by dense `u32`.

use std::array;
use std::sync::Arc;

const FANOUT_BITS: u32 = 6;
const FANOUT: usize = 1 << FANOUT_BITS;

/// A persistent vector of `T`, in leaves of `WIDTH` (a power of two).
pub struct Radix<T, const WIDTH: usize> {
    root: Node<T, WIDTH>,
    /// How far an index is shifted to choose a child of the root; below zero levels, the root is a leaf.
    height: u32,
    len: u32,
}

enum Node<T, const WIDTH: usize> {
    Branch(Arc<[Node<T, WIDTH>; FANOUT]>),
    Leaf(Arc<[T; WIDTH]>),
}

impl<T, const WIDTH: usize> Clone for Node<T, WIDTH> {
    fn clone(&self) -> Self {
        match self {
            Node::Branch(children) => Node::Branch(Arc::clone(children)),
            Node::Leaf(items) => Node::Leaf(Arc::clone(items)),
        }
    }
}

impl<T, const WIDTH: usize> Clone for Radix<T, WIDTH> {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
            height: self.height,
            len: self.len,
        }
    }
}

impl<T: Clone + Default, const WIDTH: usize> Default for Radix<T, WIDTH> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone + Default, const WIDTH: usize> Radix<T, WIDTH> {
    const WIDTH_BITS: u32 = {
        assert!(WIDTH.is_power_of_two(), "a leaf's width is a power of two");
        WIDTH.trailing_zeros()
    };

    /// An empty vector.
    pub fn new() -> Self {
        Self {
            root: Node::Leaf(Arc::new(array::from_fn(|_| T::default()))),
            height: 0,
            len: 0,
        }
    }

    /// How many items it has.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at `index`, or nothing past the end.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        self.leaf(index).get(index as usize % WIDTH)
    }

    #[inline]
    fn leaf(&self, index: u32) -> &[T; WIDTH] {
        let mut shift = Self::WIDTH_BITS + self.height * FANOUT_BITS;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items,
                Node::Branch(children) => {
                    shift -= FANOUT_BITS;
                    node = &children[(index >> shift) as usize % FANOUT];
                }
            }
        }
    }

    /// The item at `index`, to be changed.
    pub fn get_mut(&mut self, index: u32) -> &mut T {
        self.grow_to(index);
        let mut shift = Self::WIDTH_BITS + self.height * FANOUT_BITS;
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(items) => return &mut Arc::make_mut(items)[index as usize % WIDTH],
                Node::Branch(children) => {
                    shift -= FANOUT_BITS;
                    node = &mut Arc::make_mut(children)[(index >> shift) as usize % FANOUT];
                }
            }
        }
    }

    /// Puts `item` at `index`.
    pub fn set(&mut self, index: u32, item: T) {
        *self.get_mut(index) = item;
    }

    fn grow_to(&mut self, index: u32) {
        while u64::from(index) >> (Self::WIDTH_BITS + self.height * FANOUT_BITS) != 0 {
            let mut blank = Node::Leaf(Arc::new(array::from_fn(|_| T::default())));
            for _ in 0..self.height {
                blank = Node::Branch(Arc::new(array::from_fn(|_| blank.clone())));
            }
            let old = std::mem::replace(&mut self.root, blank.clone());
            let mut children = array::from_fn(|_| blank.clone());
            children[0] = old;
            self.root = Node::Branch(Arc::new(children));
            self.height += 1;
        }
        self.len = self.len.max(index + 1);
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len)
            .step_by(WIDTH)
            .flat_map(|start| self.leaf(start))
            .take(self.len as usize)
    }
}
