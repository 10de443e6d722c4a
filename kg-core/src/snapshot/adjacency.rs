//! x
use super::neighbours::Neighbours;
use super::radix::Radix;
use crate::model::EntityId;

/// x
#[derive(Clone, Default)]
pub struct Adjacency {
    outgoing: Radix<Neighbours, 16>,
    incoming: Radix<Neighbours, 16>,
    count: u64,
}
static EMPTY: Neighbours = Neighbours::EMPTY;
impl Adjacency {
    /// x
    pub fn insert(&mut self, from: EntityId, to: EntityId) -> bool {
        let new = self.outgoing.get_mut(from.get()).insert(to.get());
        if new {
            self.incoming.get_mut(to.get()).insert(from.get());
            self.count += 1;
        }
        new
    }
    /// x
    pub fn remove(&mut self, from: EntityId, to: EntityId) -> bool {
        let gone = self.outgoing.get_mut(from.get()).remove(to.get());
        if gone {
            self.incoming.get_mut(to.get()).remove(from.get());
            self.count -= 1;
        }
        gone
    }
    /// x
    pub fn outgoing(&self, id: EntityId) -> &Neighbours {
        self.outgoing.get(id.get()).unwrap_or(&EMPTY)
    }
    /// x
    pub fn incoming(&self, id: EntityId) -> &Neighbours {
        self.incoming.get(id.get()).unwrap_or(&EMPTY)
    }
}
impl std::fmt::Debug for Adjacency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Adjacency({})", self.count)
    }
}
