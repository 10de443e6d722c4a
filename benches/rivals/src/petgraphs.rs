//! petgraph's `DiGraph`, walked by its own `Bfs`; for a bounded number of hops, by the same queue and map of visits with the
//! distance beside each node, for `Bfs` has no bound.

use std::collections::VecDeque;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Bfs, VisitMap, Visitable};

use crate::Network;

/// A graph without weights.
pub struct Petgraph(DiGraph<(), (), u32>);

impl Network for Petgraph {
    const NAME: &'static str = "petgraph Bfs";

    fn of(nodes: u32, edges: &[(u32, u32)]) -> Self {
        let mut graph = DiGraph::with_capacity(nodes as usize, edges.len());
        for _ in 0..nodes {
            graph.add_node(());
        }
        for &(from, to) in edges {
            graph.add_edge(from.into(), to.into(), ());
        }
        Self(graph)
    }

    fn reach(&self, root: u32, hops: Option<u32>) -> usize {
        let Some(most) = hops else {
            let mut walk = Bfs::new(&self.0, root.into());
            let mut count = 0;
            while walk.next(&self.0).is_some() {
                count += 1;
            }
            return count - 1;
        };
        let root = NodeIndex::<u32>::from(root);
        let mut met = self.0.visit_map();
        met.visit(root);
        let mut waiting = VecDeque::from([(root, 0)]);
        let mut count = 0;
        while let Some((at, hop)) = waiting.pop_front() {
            if hop == most {
                break;
            }
            for ahead in self.0.neighbors(at) {
                if met.visit(ahead) {
                    count += 1;
                    waiting.push_back((ahead, hop + 1));
                }
            }
        }
        count
    }
}
