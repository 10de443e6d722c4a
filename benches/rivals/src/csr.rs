//! A static CSR: all edges in two flat arrays. The fastest form there is, which nothing can be added to. Whom a walk met is a
//! set of bits, as in ours and in petgraph's: it stays in the first cache.

use crate::Network;

/// Where the edges of each node begin, and where they lead.
pub struct Csr {
    first: Vec<u32>,
    to: Vec<u32>,
}

impl Network for Csr {
    const NAME: &'static str = "static CSR";

    fn of(nodes: u32, edges: &[(u32, u32)]) -> Self {
        let mut edges = edges.to_vec();
        edges.sort_unstable();
        let first = (0..=nodes)
            .map(|node| edges.partition_point(|(from, _)| *from < node) as u32)
            .collect();
        Self {
            first,
            to: edges.into_iter().map(|(_, to)| to).collect(),
        }
    }

    fn reach(&self, root: u32, hops: Option<u32>) -> usize {
        let mut met = Met::of(self.first.len());
        let mut found = vec![root];
        met.insert(root);
        let (mut next, mut hop) = (0, 0);
        while next < found.len() && hops.is_none_or(|most| hop < most) {
            let layer = found.len();
            while next < layer {
                let at = found[next] as usize;
                next += 1;
                let (from, to) = (self.first[at] as usize, self.first[at + 1] as usize);
                for &ahead in &self.to[from..to] {
                    if met.insert(ahead) {
                        found.push(ahead);
                    }
                }
            }
            hop += 1;
        }
        found.len() - 1
    }
}

/// A set of numbers, a bit for each.
pub struct Met(Vec<u64>);

impl Met {
    /// For the numbers below `bound`.
    #[must_use]
    pub fn of(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)])
    }

    /// Whether it was not in it before.
    #[inline]
    pub fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (&mut self.0[number as usize / 64], 1 << (number % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
