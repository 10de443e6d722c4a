//! What does a reader notice of a writer?
//!
//! One reader reads a field of one of 2,400 entities after the other, each read by a look of its own at the newest state: a
//! guard of ours, the lock or guard of a rival. Beside it there is nobody; or one writer that changes one entity after the other
//! without pause, ours by whole commits on a log in memory; or, for ours, a writer that waits in its log's append until the
//! round is over.
//!
//! The rivals are two. In the design that Amadeus replaces the writer holds the lock for the whole commit: what is checked,
//! changed and logged is the same as in ours. And a bare map, under a lock or made for many threads, in which a value that was
//! made before is put and nothing else is done: no check, no log, no revision, no past. A lock cannot be asked the last
//! setting: what is durable before it is visible would have to be appended under it, and its reader would read nothing.
//!
//! Reads in a second are counted in runs in which nothing else is timed; the time of a single read is taken in runs of their
//! own, one clock call a read, which is part of what is reported.
//!
//! ```text
//! cargo bench --package benches --bench reader_beside_writer
//! ```

mod gate;
mod live;
mod names;
mod whole;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use benches::figure::{Better, Figure, Line, Point, Question};
use benches::mode::Mode;
use gate::Gate;
use kg_core::commit::Graph;
use kg_core::model::{Entity, EntityRef, Object, Value};
use kg_core::mutation::Transaction;
use kg_core::snapshot::Snapshot;
use names::{graph_of, update, walk};
use rivals::{Dash, ParkingLot, Std, Table};
use whole::{State, Whole};

const QUESTION: &str = "reader_beside_writer";
const SERVICES: usize = 2_400;

/// The highest time of a read that has a count of its own.
const LONGEST_NS: usize = 1 << 20;

/// Of so many reads the slowest one is drawn.
const ONE_IN: [f64; 6] = [2.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];

fn main() {
    let mode = Mode::from_args();
    Line::Question(Question {
        question: QUESTION.into(),
        text: "What does a reader notice of a writer?".into(),
    })
    .print();
    let names = names::names(SERVICES);
    let graph = graph_of(&names);
    let std: Of<Std<_, _>> = table(&graph);
    let parking_lot: Of<ParkingLot<_, _>> = table(&graph);
    let dash: Of<Dash<_, _>> = table(&graph);
    let state = || State::of(Snapshot::clone(&graph.snapshot()));
    let whole_std = Whole(RwLock::new(state()));
    let whole_parking_lot = Whole(parking_lot::RwLock::new(state()));
    let gate = Gate::default();
    let stuck = live::graph(Snapshot::clone(&graph.snapshot()), gate.clone());
    let bench = Bench {
        names: &names,
        window: Duration::from_millis(mode.size(250, 2)),
    };
    for round in 1..=mode.rounds() {
        let alone = bench.alone(&graph);
        let ours = bench.beside_writer(&graph);
        let rivals = [
            bench.beside_writer(&whole_std),
            bench.beside_writer(&whole_parking_lot),
            bench.beside_writer(&std),
            bench.beside_writer(&parking_lot),
            bench.beside_writer(&dash),
        ];
        // Another value in each round: what changes nothing is not appended, and the gate would wait for it for ever.
        let change = update(&names[0], round.into());
        let commit = || drop(stuck.commit(Transaction::of(vec![change])));
        let waiting = gate.while_shut(commit, || bench.alone(&stuck));

        let bounds = [Some(5.0), Some(5.0), None, None, None];
        for (rival, bound) in rivals.iter().zip(bounds) {
            rate("reads beside a writer without pause", &ours, rival, bound);
        }
        rate("reads beside a writer without pause", &ours, &alone, None);
        rate(
            "reads beside a writer that waits in its append",
            &waiting,
            &alone,
            Some(0.9),
        );
        slowest(
            "p99.9 of a read beside a writer without pause",
            &ours,
            &alone,
            Some(3.0),
        );
        slowest(
            "p99.9 of a read beside a writer that waits in its append",
            &waiting,
            &alone,
            None,
        );
        for rival in &rivals {
            slowest(
                "p99.9 of a read beside a writer without pause",
                &ours,
                rival,
                None,
            );
            writes(&ours, rival);
        }
        for seen in rivals.iter().chain([&alone, &ours]) {
            plot(seen);
        }
    }
}

/// What is read by one and changed by another.
trait Shared: Sync {
    const NAME: &'static str;

    fn read(&self, key: &EntityRef) -> u64;

    fn write(&self, key: &EntityRef, turn: u64);
}

impl Shared for Arc<Graph> {
    const NAME: &'static str = "Amadeus";

    fn read(&self, key: &EntityRef) -> u64 {
        Graph::read(self, |s| s.entity(key).map(|e| e.modified_revision)).expect("it was put")
    }

    fn write(&self, key: &EntityRef, turn: u64) {
        let written = self.commit(Transaction::of(vec![update(key, turn)]));
        written.expect("the update is valid");
    }
}

/// A rival in the same setting.
struct Of<T>(T);

impl<T: Table<EntityRef, Entity>> Shared for Of<T> {
    const NAME: &'static str = T::NAME;

    fn read(&self, key: &EntityRef) -> u64 {
        self.0
            .look(key, |e| e.modified_revision)
            .expect("it was put")
    }

    /// The new value is made before the lock is taken.
    fn write(&self, key: &EntityRef, turn: u64) {
        let found = self.0.look(key, Entity::clone);
        let mut entity = found.expect("it was put");
        entity.properties = Object::unit(Arc::from("build"), Value::Number(turn as f64));
        entity.modified_revision += 1;
        self.0.put(key.clone(), entity);
    }
}

fn table<T: Table<EntityRef, Entity>>(graph: &Graph) -> Of<T> {
    let snapshot = graph.snapshot();
    Of(T::of(
        snapshot
            .entities()
            .map(|e| (e.key.clone(), Entity::clone(e))),
    ))
}

struct Bench<'a> {
    names: &'a [EntityRef],
    window: Duration,
}

/// What a reader saw in one setting.
struct Seen {
    name: String,
    reads_per_s: f64,
    writes_per_s: f64,
    /// How many reads took so many nanoseconds.
    times: Vec<u32>,
}

impl Bench<'_> {
    fn alone<S: Shared>(&self, shared: &S) -> Seen {
        Seen {
            name: format!("{}, nobody else at work", S::NAME),
            reads_per_s: self.count(shared),
            writes_per_s: 0.0,
            times: self.times(shared),
        }
    }

    fn beside_writer<S: Shared>(&self, shared: &S) -> Seen {
        // Relaxed: the flag orders nothing; the thread is joined before its count is read.
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let (since, mut next, mut turn) = (Instant::now(), walk(self.names, 1), 0);
                while !stop.load(Relaxed) {
                    turn += 1;
                    shared.write(next(), turn);
                }
                turn as f64 / since.elapsed().as_secs_f64()
            });
            let (reads_per_s, times) = (self.count(shared), self.times(shared));
            stop.store(true, Relaxed);
            Seen {
                name: format!("{}, beside a writer", S::NAME),
                reads_per_s,
                writes_per_s: writer.join().expect("the writer does not panic"),
                times,
            }
        })
    }

    /// Reads in a second; the clock is looked at once in 64.
    fn count<S: Shared>(&self, shared: &S) -> f64 {
        let (mut next, mut count) = (walk(self.names, 0), 0);
        let since = Instant::now();
        while since.elapsed() < self.window {
            for _ in 0..64 {
                black_box(shared.read(next()));
            }
            count += 64;
        }
        f64::from(count) / since.elapsed().as_secs_f64()
    }

    fn times<S: Shared>(&self, shared: &S) -> Vec<u32> {
        let (mut next, mut times) = (walk(self.names, 0), vec![0; LONGEST_NS]);
        let since = Instant::now();
        let mut before = since;
        while before - since < self.window {
            black_box(shared.read(next()));
            let now = Instant::now();
            let took = (now - before).as_nanos() as usize;
            times[took.min(LONGEST_NS - 1)] += 1;
            before = now;
        }
        times
    }
}

impl Seen {
    /// The time of the slowest of so many reads: 1,000 for p99.9.
    fn slowest_of(&self, reads: f64) -> f64 {
        let total: u64 = self.times.iter().copied().map(u64::from).sum();
        let mut left = (total as f64 / reads) as u64;
        for (ns, &count) in self.times.iter().enumerate().rev() {
            match left.checked_sub(u64::from(count)) {
                Some(rest) if rest > 0 => left = rest,
                _ => return ns as f64,
            }
        }
        0.0
    }
}

fn figure(case: &str, unit: &str, ours: (&Seen, f64), rival: (&Seen, f64), bound: Option<f64>) {
    Line::Figure(Figure {
        question: QUESTION.into(),
        case: case.into(),
        unit: unit.into(),
        better: if unit == "ns" {
            Better::Lower
        } else {
            Better::Higher
        },
        ours_name: ours.0.name.clone(),
        ours: ours.1,
        rival: rival.0.name.clone(),
        rival_value: Some(rival.1),
        bound,
    })
    .print();
}

fn rate(case: &str, ours: &Seen, rival: &Seen, bound: Option<f64>) {
    let rates = ((ours, ours.reads_per_s), (rival, rival.reads_per_s));
    figure(case, "reads/s", rates.0, rates.1, bound);
}

fn writes(ours: &Seen, rival: &Seen) {
    let rates = ((ours, ours.writes_per_s), (rival, rival.writes_per_s));
    figure("writes of that writer", "writes/s", rates.0, rates.1, None);
}

fn slowest(case: &str, ours: &Seen, rival: &Seen, bound: Option<f64>) {
    let times = (ours.slowest_of(1_000.0), rival.slowest_of(1_000.0));
    figure(case, "ns", (ours, times.0), (rival, times.1), bound);
}

fn plot(seen: &Seen) {
    for one_in in ONE_IN {
        Line::Point(Point {
            question: QUESTION.into(),
            plot: "The slowest of so many reads".into(),
            series: seen.name.clone(),
            axes: ("reads".into(), "time of the slowest, ns".into()),
            x: one_in,
            y: seen.slowest_of(one_in),
        })
        .print();
    }
}
