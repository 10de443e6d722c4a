//! `Branch`: the sorted chunks of a set that is too large for one chunk, as a persistent B+ tree.
//!
//! Ids stand in leaves, chunks of up to 507; branches have up to 32 children. A set of 100,000 ids is two branches deep,
//! so that an insert into a shared set copies one chunk (2 KiB) and two branches: some 50 reference counts are touched,
//! where a flat array of chunks would touch 260. An insert or a remove costs O(log n) whatever the order of ids.
//!
//! Nodes other than the root stay at least a quarter full: one that falls below is joined with its neighbour, and split
//! evenly where the two do not fit into one. A full node that is appended to is split three to one, since new entities
//! have the highest ids and hubs are mostly filled in ascending order.

use super::chunk::Chunk;
use super::{ARC_HEADER_BYTES, visit_chunk};
use std::mem::size_of;
use std::sync::Arc;

const LEAF: usize = 507;
const FANOUT: usize = 32;

/// An inner node, and as the root the whole set.
#[derive(Clone)]
pub(in crate::snapshot) struct Branch {
    /// How many ids stand below.
    len: usize,
    children: Vec<Child>,
}

#[derive(Clone)]
struct Child {
    /// No id below is smaller, unless this is the leftmost path; every id of the child to the left is.
    first: u32,
    node: Node,
}

#[derive(Clone)]
enum Node {
    Leaf(Arc<Chunk<LEAF>>),
    Branch(Arc<Branch>),
}

impl Branch {
    /// A set of these ids, which are ascending and fit into one leaf.
    pub(super) fn of(ids: &[u32]) -> Self {
        Self::above(vec![Child {
            first: 0,
            node: Node::Leaf(Arc::new(Chunk::of(ids))),
        }])
    }

    fn above(children: Vec<Child>) -> Self {
        Self {
            len: children.iter().map(|child| child.node.len()).sum(),
            children,
        }
    }

    pub(in crate::snapshot) fn len(&self) -> usize {
        self.len
    }

    pub(in crate::snapshot) fn contains(&self, id: u32) -> bool {
        let mut branch = self;
        loop {
            match &branch.children[branch.position(id)].node {
                Node::Leaf(chunk) => return chunk.ids().binary_search(&id).is_ok(),
                Node::Branch(below) => branch = below,
            }
        }
    }

    fn position(&self, id: u32) -> usize {
        self.children
            .partition_point(|child| child.first <= id)
            .saturating_sub(1)
    }

    /// Adds an id that is not in the set; `self` is the root.
    pub(super) fn insert(&mut self, id: u32) {
        if let Some(right) = self.insert_below(id) {
            let left = std::mem::replace(
                self,
                Self {
                    len: 0,
                    children: Vec::new(),
                },
            );
            let left = Child {
                first: left.children[0].first,
                node: Node::Branch(Arc::new(left)),
            };
            *self = Self::above(vec![left, right]);
        }
    }

    /// Adds an id; where this node had to be split, returns the new one to its right.
    fn insert_below(&mut self, id: u32) -> Option<Child> {
        self.len += 1;
        let at = self.position(id);
        let split = match &mut self.children[at].node {
            Node::Leaf(chunk) => insert_into_leaf(Arc::make_mut(chunk), id),
            Node::Branch(branch) => Arc::make_mut(branch).insert_below(id),
        };
        self.children.insert(at + 1, split?);
        if self.children.len() <= FANOUT {
            return None;
        }
        let is_append = at + 2 == self.children.len();
        let right = Self::above(self.children.split_off(cut(self.children.len(), is_append)));
        self.len -= right.len;
        Some(Child {
            first: right.children[0].first,
            node: Node::Branch(Arc::new(right)),
        })
    }

    /// Takes away an id that is in the set; `self` is the root.
    pub(super) fn remove(&mut self, id: u32) {
        self.remove_below(id);
        while let [
            Child {
                node: Node::Branch(only),
                ..
            },
        ] = self.children.as_slice()
        {
            *self = Branch::clone(only);
        }
    }

    fn remove_below(&mut self, id: u32) {
        self.len -= 1;
        let at = self.position(id);
        match &mut self.children[at].node {
            Node::Leaf(chunk) => Arc::make_mut(chunk).remove(id),
            Node::Branch(branch) => Arc::make_mut(branch).remove_below(id),
        }
        if self.children[at].node.is_sparse() && self.children.len() > 1 {
            self.join(at.saturating_sub(1));
        }
    }

    /// Joins the child at `left` with the next, into one where they fit and into two equal ones where they do not.
    fn join(&mut self, left: usize) {
        let right = self.children.remove(left + 1);
        let split = match (&mut self.children[left].node, right.node) {
            (Node::Leaf(left), Node::Leaf(right)) => join_leaves(left, &right),
            (Node::Branch(left), Node::Branch(right)) => join_branches(left, &right),
            _ => unreachable!("all leaves of a tree are equally deep"),
        };
        if let Some(split) = split {
            self.children.insert(left + 1, split);
        }
    }

    /// Calls `visit` with each chunk's ids, in order.
    pub(in crate::snapshot) fn for_each_chunk(&self, visit: &mut impl FnMut(&[u32])) {
        for child in &self.children {
            match &child.node {
                Node::Leaf(chunk) => visit(chunk.ids()),
                Node::Branch(branch) => branch.for_each_chunk(visit),
            }
        }
    }

    /// The chunks' ids, in order.
    pub(in crate::snapshot) fn chunks(&self) -> Chunks<'_> {
        Chunks {
            path: vec![self.children.iter()],
        }
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(chunk) => chunk.ids().len(),
            Node::Branch(branch) => branch.len,
        }
    }

    /// Whether it is less than a quarter full.
    fn is_sparse(&self) -> bool {
        match self {
            Node::Leaf(chunk) => chunk.ids().len() < LEAF / 4,
            Node::Branch(branch) => branch.children.len() < FANOUT / 4,
        }
    }
}

/// Calls `visit` with the address and the size of each block on the heap, `root` included.
pub(super) fn for_each_block(root: &Arc<Branch>, visit: &mut impl FnMut(*const u8, usize)) {
    let own =
        ARC_HEADER_BYTES + size_of::<Branch>() + root.children.capacity() * size_of::<Child>();
    visit(Arc::as_ptr(root).cast(), own);
    for child in &root.children {
        match &child.node {
            Node::Leaf(chunk) => visit_chunk(chunk, visit),
            Node::Branch(branch) => for_each_block(branch, visit),
        }
    }
}

/// Where to split a full node.
fn cut(len: usize, is_append: bool) -> usize {
    if is_append { len * 3 / 4 } else { len / 2 }
}

fn insert_into_leaf(chunk: &mut Chunk<LEAF>, id: u32) -> Option<Child> {
    if !chunk.is_full() {
        chunk.insert(id);
        return None;
    }
    let at = chunk.place_of(id);
    let cut = cut(LEAF, at == LEAF);
    let mut right = chunk.split_off(cut);
    if at > cut {
        right.insert(id)
    } else {
        chunk.insert(id)
    }
    Some(Child {
        first: right.ids()[0],
        node: Node::Leaf(Arc::new(right)),
    })
}

fn join_leaves(left: &mut Arc<Chunk<LEAF>>, right: &Chunk<LEAF>) -> Option<Child> {
    let total = left.ids().len() + right.ids().len();
    if total <= LEAF {
        Arc::make_mut(left).append(right);
        return None;
    }
    let all = [left.ids(), right.ids()].concat();
    let (low, high) = all.split_at(total / 2);
    *left = Arc::new(Chunk::of(low));
    Some(Child {
        first: high[0],
        node: Node::Leaf(Arc::new(Chunk::of(high))),
    })
}

fn join_branches(left: &mut Arc<Branch>, right: &Branch) -> Option<Child> {
    let left = Arc::make_mut(left);
    left.len += right.len;
    left.children.extend_from_slice(&right.children);
    if left.children.len() <= FANOUT {
        return None;
    }
    let right = Branch::above(left.children.split_off(left.children.len() / 2));
    left.len -= right.len;
    Some(Child {
        first: right.children[0].first,
        node: Node::Branch(Arc::new(right)),
    })
}

/// Iterates over the chunks of a set, in order.
pub(in crate::snapshot) struct Chunks<'a> {
    path: Vec<std::slice::Iter<'a, Child>>,
}

impl Chunks<'_> {
    pub(in crate::snapshot) fn none() -> Self {
        Self { path: Vec::new() }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u32];

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.path.last_mut()?.next() {
                None => drop(self.path.pop()),
                Some(Child {
                    node: Node::Leaf(chunk),
                    ..
                }) => return Some(chunk.ids()),
                Some(Child {
                    node: Node::Branch(branch),
                    ..
                }) => self.path.push(branch.children.iter()),
            }
        }
    }
}

#[cfg(test)]
impl Branch {
    /// Fails where the tree breaks one of its rules; returns its height.
    pub(super) fn check(&self) -> usize {
        assert!(!self.children.is_empty() && self.children.len() <= FANOUT);
        assert_eq!(
            self.len,
            self.children
                .iter()
                .map(|child| child.node.len())
                .sum::<usize>()
        );
        assert!(self.children.is_sorted_by_key(|child| child.first));
        let heights: Vec<_> = self
            .children
            .iter()
            .map(|child| child.node.check())
            .collect();
        assert!(
            heights.windows(2).all(|pair| pair[0] == pair[1]),
            "leaves are equally deep"
        );
        let is_root_of_one_leaf = self.children.len() == 1;
        assert!(is_root_of_one_leaf || self.children.iter().all(|child| !child.node.is_sparse()));
        heights[0] + 1
    }
}

#[cfg(test)]
impl Node {
    fn check(&self) -> usize {
        match self {
            Node::Leaf(chunk) => {
                assert!(chunk.ids().is_sorted_by(|low, high| low < high));
                0
            }
            Node::Branch(branch) => {
                assert!(branch.children.len() > 1, "only a root has one child");
                branch.check()
            }
        }
    }
}
