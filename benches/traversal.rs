//! What does a traversal cost, beside a static CSR, which is the fastest there is, and beside petgraph?
//!
//! On a scale-free graph of 70,000 entities and 300,000 relations: everything that needs the most-used entity, directly or
//! transitively; and what lies within two and three relations, in either direction, of 64 entities drawn from a seed, one
//! after the other. All count what they meet, and must count the same. Ours goes the way that a client's question goes (names
//! to numbers, budget, layers), and once more as a bare loop over the adjacency. The rivals begin at a number, and hold their
//! edges sorted and in the direction that the question asks for.
//!
//! ```text
//! cargo bench --package benches --bench traversal
//! ```

mod ask;
mod scale;

use ask::Ask;
use benches::contest::{Contest, Unit, each};
use kg_core::model::{EntityId, EntityRef};
use kg_core::query::{Along, Budget, Direction, Question, reach};
use kg_core::snapshot::Snapshot;
use kg_core::testing::generate::{Rng, hub, scale_free};
use rivals::{Csr, Met, Network, Petgraph};

const PAGE: usize = 1_000;
const ROOTS: usize = 64;

fn main() {
    let mut ask = Ask::new(
        "traversal",
        "What does a traversal cost, beside a static CSR and beside petgraph?",
    );
    let snapshot = ask
        .mode
        .size(scale::snapshot as fn() -> _, || scale_free(1, 700, 3_000))();
    let nodes = snapshot.id_bound();
    let mut incoming: Vec<_> = scale::edges(&snapshot)
        .into_iter()
        .map(|(from, to)| (to, from))
        .collect();
    incoming.sort_unstable();
    let walks = Walks::of(
        &snapshot,
        vec![hub()],
        Direction::In,
        None,
        &incoming,
        nodes,
    );
    let total = walks.query(0);
    eprintln!(
        "{total} need the hub; its first page has {} hits",
        page(&snapshot)
    );
    walks.run(&mut ask, "transitive dependents of the most-used");
    ask.of(Contest::of(
        "first page of them: 1,000 hits, sorted, with paths",
        Unit::Time,
        "page",
        each(|| page(&snapshot)),
    )
    .rival("the count alone", None, each(|| walks.query(0))));

    let mut both = incoming.clone();
    both.extend(incoming.iter().map(|&(to, from)| (from, to)));
    both.sort_unstable();
    both.dedup();
    let mut rng = Rng::new(64);
    let roots: Vec<EntityRef> = (0..ROOTS)
        .map(|_| {
            let id = EntityId::new(rng.below(nodes as usize) as u32);
            snapshot
                .by_id(id)
                .expect("every number is taken")
                .key
                .clone()
        })
        .collect();
    for (hops, case) in [
        (2, "two-hop neighbourhoods"),
        (3, "three-hop neighbourhoods"),
    ] {
        let roots = roots.clone();
        Walks::of(&snapshot, roots, Direction::Both, Some(hops), &both, nodes).run(&mut ask, case);
    }
}

/// The hub's dependents, as a client gets the first of them.
fn page(snapshot: &Snapshot) -> usize {
    let roots = [hub()];
    let question = Question {
        roots: &roots,
        along: Along::or_dependencies(Vec::new()),
        direction: Direction::In,
        hops: None,
    };
    let reached = reach(snapshot, &question, &Budget::unlimited()).expect("the hub is there");
    reached.page(0, PAGE).len()
}

/// The same walks in ours and in the rivals.
struct Walks<'a> {
    snapshot: &'a Snapshot,
    direction: Direction,
    hops: Option<u32>,
    roots: Vec<EntityRef>,
    ids: Vec<u32>,
    csr: Csr,
    petgraph: Petgraph,
}

impl<'a> Walks<'a> {
    fn of(
        snapshot: &'a Snapshot,
        roots: Vec<EntityRef>,
        direction: Direction,
        hops: Option<u32>,
        edges: &[(u32, u32)],
        nodes: u32,
    ) -> Self {
        let ids = roots
            .iter()
            .map(|key| snapshot.entity(key).expect("it is there").id.get())
            .collect();
        let walks = Self {
            snapshot,
            direction,
            hops,
            roots,
            ids,
            csr: Csr::of(nodes, edges),
            petgraph: Petgraph::of(nodes, edges),
        };
        for at in 0..walks.roots.len() {
            let ours = walks.query(at);
            assert_eq!(
                ours,
                walks.adjacency(at),
                "the bare loop, from {}",
                walks.roots[at]
            );
            assert_eq!(ours, walks.csr.reach(walks.ids[at], hops), "{}", Csr::NAME);
            assert_eq!(
                ours,
                walks.petgraph.reach(walks.ids[at], hops),
                "{}",
                Petgraph::NAME
            );
        }
        walks
    }

    fn run(&self, ask: &mut Ask, case: &str) {
        let csr = || {
            each(turns(self.roots.len(), |at| {
                self.csr.reach(self.ids[at], self.hops)
            }))
        };
        let petgraph = || {
            each(turns(self.roots.len(), |at| {
                self.petgraph.reach(self.ids[at], self.hops)
            }))
        };
        let query = each(turns(self.roots.len(), |at| self.query(at)));
        let adjacency = each(turns(self.roots.len(), |at| self.adjacency(at)));
        ask.of(Contest::of(case, Unit::Time, "query", query)
            .rival(Csr::NAME, Some(1.5), csr())
            .rival(Petgraph::NAME, Some(1.0), petgraph())
            .rival("a bare loop over the adjacency", None, adjacency));
    }

    /// As a client asks.
    fn query(&self, at: usize) -> usize {
        let question = Question {
            roots: &self.roots[at..=at],
            along: Along::or_dependencies(Vec::new()),
            direction: self.direction,
            hops: self.hops,
        };
        reach(self.snapshot, &question, &Budget::unlimited())
            .expect("the root is there")
            .total()
    }

    /// A bare loop, as the one in the static CSR.
    fn adjacency(&self, at: usize) -> usize {
        let relations = self.snapshot.relations("depends_on").expect("it has some");
        let ends = relations.adjacency();
        let mut met = Met::of(self.snapshot.id_bound() as usize);
        let mut found = vec![self.ids[at]];
        met.insert(self.ids[at]);
        let (mut next, mut hop) = (0, 0);
        while next < found.len() && self.hops.is_none_or(|most| hop < most) {
            let layer = found.len();
            while next < layer {
                let id = EntityId::new(found[next]);
                next += 1;
                let mut meet = |ahead: u32| {
                    if met.insert(ahead) {
                        found.push(ahead);
                    }
                };
                ends.incoming(id).for_each(&mut meet);
                if self.direction == Direction::Both {
                    ends.outgoing(id).for_each(&mut meet);
                }
            }
            hop += 1;
        }
        found.len() - 1
    }
}

/// One after the other, over and over.
fn turns<T>(count: usize, walk: impl Fn(usize) -> T) -> impl FnMut() -> T {
    let mut turn = 0;
    move || {
        turn = (turn + 1) % count;
        walk(turn)
    }
}
