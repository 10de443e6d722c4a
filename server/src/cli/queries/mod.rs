//! Questions about the whole graph: deps, impact, path, neighbors, subgraph, find, cycles, order, search.

mod question;
mod traversal;

pub use question::{CyclesArgs, FindArgs, OrderArgs, SearchArgs, cycles, find, order, search};
pub use traversal::{
    NeighborsArgs, PathArgs, SubgraphArgs, TraversalArgs, deps, impact, neighbors, path, subgraph,
};
