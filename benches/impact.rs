//! What does "who breaks if the most-used entity goes down?" cost, when about 50,000 of 68,000 entities do?
//!
//! The count alone, the first page of 1,000 hits with their paths, and all pages, each page by a walk of its own as the
//! server does it. The baselines count only: a static CSR, and petgraph's breadth-first search over a plain graph.
//!
//! ```text
//! cargo bench --package benches --bench impact
//! ```

mod scale;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kg_core::query::{Along, Budget, Direction, Question, reach};
use kg_core::testing::generate::hub;
use petgraph::visit::Bfs;

const PAGE: usize = 1_000;

fn impact(criterion: &mut Criterion) {
    let snapshot = scale::snapshot();
    let roots = [hub()];
    let id = snapshot
        .entity(&roots[0])
        .expect("the hub is there")
        .id
        .get();
    let question = Question {
        roots: &roots,
        along: Along::or_dependencies(Vec::new()),
        direction: Direction::In,
        hops: None,
    };
    let walk = || reach(&snapshot, &question, &Budget::unlimited()).expect("the hub is there");
    let csr = scale::Csr::incoming(&snapshot);
    let total = walk().total();
    assert_eq!(total, csr.reach(id), "both count the same");
    eprintln!("impact of the hub: {total} entities");

    let mut edges = petgraph::graph::DiGraph::<(), (), u32>::from_edges(
        snapshot
            .relations("depends_on")
            .into_iter()
            .flat_map(|r| r.edges().map(|(from, to, _)| (to.get(), from.get()))),
    );
    edges.shrink_to_fit();
    let petgraph = || {
        let mut walk = Bfs::new(&edges, id.into());
        let mut count = 0;
        while walk.next(&edges).is_some() {
            count += 1;
        }
        count - 1
    };
    assert_eq!(total, petgraph(), "all count the same");

    let mut group = criterion.benchmark_group("impact");
    group.sample_size(30);
    group.bench_function("count", |b| b.iter(|| black_box(walk().total())));
    group.bench_function("count/csr", |b| b.iter(|| black_box(csr.reach(id))));
    group.bench_function("count/petgraph", |b| b.iter(|| black_box(petgraph())));
    group.bench_function("first_page", |b| b.iter(|| walk().page(0, PAGE)));
    group.bench_function("page_in_the_middle", |b| {
        b.iter(|| walk().page(total / 2, PAGE));
    });
    group.sample_size(10);
    group.bench_function("all_pages", |b| {
        b.iter(|| {
            (0..total)
                .step_by(PAGE)
                .map(|first| walk().page(first, PAGE).len())
                .sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, impact);
criterion_main!(benches);
