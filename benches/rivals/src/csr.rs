//! A static CSR: all edges in two flat arrays. The fastest form there is, which nothing can be added to.

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
        let mut met = vec![false; self.first.len()];
        let mut found = vec![root];
        met[root as usize] = true;
        let (mut next, mut hop) = (0, 0);
        while next < found.len() && hops.is_none_or(|most| hop < most) {
            let layer = found.len();
            while next < layer {
                let at = found[next] as usize;
                next += 1;
                let (from, to) = (self.first[at] as usize, self.first[at + 1] as usize);
                for &ahead in &self.to[from..to] {
                    if !std::mem::replace(&mut met[ahead as usize], true) {
                        found.push(ahead);
                    }
                }
            }
            hop += 1;
        }
        found.len() - 1
    }
}
