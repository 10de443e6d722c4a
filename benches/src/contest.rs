//! One case of a question: ours and its rivals, timed in turns, so that a ratio compares what ran next to each other.
//!
//! A round is a number of slices. In each slice every contender runs for some milliseconds, one after the other, each after a
//! short run that is not timed and that fills the caches again; the value of the round is the median of its slices. Nothing
//! is pinned, and who begins moves on from slice to slice. On a machine where others work this shakes all of them alike.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::figure::{Better, Figure, Line};

const SLICES: usize = 9;
const SLICE: Duration = Duration::from_millis(20);
const WARM_UP: Duration = Duration::from_millis(5);

/// Runs so many iterations and tells what they took.
type Time<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// Ours and its rivals in one case.
pub struct Contest<'a> {
    case: String,
    unit: Unit,
    entries: Vec<Entry<'a>>,
}

/// One of them.
pub struct Entry<'a> {
    /// What it is called in tables.
    pub name: &'static str,
    bound: Option<f64>,
    time: Time<'a>,
}

/// What is told of the time of an iteration.
#[derive(Clone, Copy)]
pub enum Unit {
    /// The time itself, in nanoseconds.
    Time,
    /// How many there are in a second: `"reads"`.
    Rate(&'static str),
}

/// A loop around `look`, for [`Contest::ours`] and [`Contest::rival`].
pub fn each<'a, T>(look: impl FnMut() -> T + 'a) -> impl FnMut(u64) -> Duration + 'a {
    each_then(look, || {})
}

/// The same, and what has to be done after many iterations and is not timed.
pub fn each_then<'a, T>(
    mut look: impl FnMut() -> T + 'a,
    mut then: impl FnMut() + 'a,
) -> impl FnMut(u64) -> Duration + 'a {
    move |iterations| {
        let since = Instant::now();
        for _ in 0..iterations {
            black_box(look());
        }
        let elapsed = since.elapsed();
        then();
        elapsed
    }
}

/// The same in several threads at once, each with a look of its own: `look(thread)`. Told is what one of all the iterations
/// took, as if they had come one after the other: from the first start to the last end, by the number of threads.
pub fn each_in_threads<'a, T, L: FnMut() -> T>(
    threads: u32,
    look: impl Fn(u32) -> L + Sync + 'a,
) -> impl FnMut(u64) -> Duration + 'a {
    move |iterations| {
        let together = Barrier::new(threads as usize);
        let run = |thread| {
            let mut look = look(thread);
            together.wait();
            let since = Instant::now();
            for _ in 0..iterations {
                black_box(look());
            }
            (since, Instant::now())
        };
        let times: Vec<_> = thread::scope(|scope| {
            let run = &run;
            let running: Vec<_> = (0..threads).map(|t| scope.spawn(move || run(t))).collect();
            let ended = running.into_iter().map(|thread| thread.join());
            ended
                .map(|times| times.expect("a reader does not panic"))
                .collect()
        });
        let first = times.iter().map(|(since, _)| *since).min();
        let last = times.iter().map(|(_, until)| *until).max();
        last.zip(first)
            .map_or(Duration::ZERO, |(last, first)| (last - first) / threads)
    }
}

impl<'a> Contest<'a> {
    /// A case, and ours in it.
    pub fn of(
        case: impl Into<String>,
        unit: Unit,
        name: &'static str,
        time: impl FnMut(u64) -> Duration + 'a,
    ) -> Self {
        let ours = Entry {
            name,
            bound: None,
            time: Box::new(time),
        };
        Self {
            case: case.into(),
            unit,
            entries: vec![ours],
        }
    }

    /// A rival, and what is asked of ours beside it, if anything is.
    #[must_use]
    pub fn rival(
        mut self,
        name: &'static str,
        bound: Option<f64>,
        time: impl FnMut(u64) -> Duration + 'a,
    ) -> Self {
        self.entries.push(Entry {
            name,
            bound,
            time: Box::new(time),
        });
        self
    }

    /// For ours without a rival: the most that it may be.
    #[must_use]
    pub fn at_most(mut self, bound: f64) -> Self {
        self.entries[0].bound = Some(bound);
        self
    }

    /// What it is called in tables.
    #[must_use]
    pub fn case(&self) -> &str {
        &self.case
    }

    /// Ours and the rivals, for another way to time them.
    pub fn entries(&mut self) -> impl Iterator<Item = &mut Entry<'a>> {
        self.entries.iter_mut()
    }

    /// One iteration of each, to see that it works.
    pub fn smoke(&mut self) {
        for entry in &mut self.entries {
            entry.time(1);
        }
    }

    /// Runs the rounds and prints their figures.
    pub fn run(&mut self, question: &str, rounds: u32) {
        let iterations: Vec<u64> = self.entries.iter_mut().map(Entry::calibrate).collect();
        for _ in 0..rounds {
            for figure in self.round(question, &iterations) {
                Line::Figure(figure).print();
            }
        }
    }

    fn round(&mut self, question: &str, iterations: &[u64]) -> Vec<Figure> {
        let count = self.entries.len();
        let mut slices = vec![Vec::with_capacity(SLICES); count];
        for slice in 0..SLICES {
            for turn in 0..count {
                let at = (slice + turn) % count;
                let (entry, many) = (&mut self.entries[at], iterations[at]);
                let warm_up = SLICE.div_duration_f64(WARM_UP) as u64;
                entry.time(many.div_ceil(warm_up));
                slices[at].push(entry.time(many).as_nanos() as f64 / many as f64);
            }
        }
        let values: Vec<f64> = slices
            .into_iter()
            .map(|mut of_one| {
                of_one.sort_by(f64::total_cmp);
                self.unit.of_ns(of_one[SLICES / 2])
            })
            .collect();
        let figure = |rival: Option<usize>| Figure {
            question: question.to_owned(),
            case: self.case.clone(),
            unit: self.unit.name(),
            better: self.unit.better(),
            ours_name: self.entries[0].name.to_owned(),
            ours: values[0],
            rival: rival.map_or_else(String::new, |at| self.entries[at].name.to_owned()),
            rival_value: rival.map(|at| values[at]),
            bound: self.entries[rival.unwrap_or_default()].bound,
        };
        if count == 1 {
            vec![figure(None)]
        } else {
            (1..count).map(|at| figure(Some(at))).collect()
        }
    }
}

impl Entry<'_> {
    /// Runs so many iterations and tells what they took.
    pub fn time(&mut self, iterations: u64) -> Duration {
        (self.time)(iterations)
    }

    /// How many iterations fill a slice. What others do on the machine makes a try longer, never shorter: the shortest counts.
    fn calibrate(&mut self) -> u64 {
        let mut iterations = 1;
        loop {
            let shortest = (0..3).map(|_| self.time(iterations)).min();
            let took = shortest.unwrap_or_default();
            if took >= SLICE / 2 {
                let fills = iterations as f64 * SLICE.div_duration_f64(took);
                return (fills as u64).max(1);
            }
            iterations *= 2;
        }
    }
}

impl Unit {
    fn of_ns(self, ns: f64) -> f64 {
        match self {
            Self::Time => ns,
            Self::Rate(_) => 1e9 / ns,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Time => "ns".to_owned(),
            Self::Rate(what) => format!("{what}/s"),
        }
    }

    fn better(self) -> Better {
        match self {
            Self::Time => Better::Lower,
            Self::Rate(_) => Better::Higher,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeps_ns(ns: u64) -> impl FnMut(u64) -> Duration {
        move |iterations| Duration::from_nanos(ns * iterations)
    }

    #[test]
    fn a_rate_is_told_of_ours_and_of_each_rival() {
        let mut contest = Contest::of("case", Unit::Rate("reads"), "ours", sleeps_ns(10))
            .rival("slow", Some(0.8), sleeps_ns(20))
            .rival("slower", None, sleeps_ns(40));
        let figures = contest.round("q", &[100, 100, 100]);
        let judged: Vec<_> = figures
            .iter()
            .map(|f| (f.rival.as_str(), f.judged(), f.bound))
            .collect();
        assert_eq!(judged, [("slow", 2.0, Some(0.8)), ("slower", 4.0, None)]);
        assert_eq!(figures[0].unit, "reads/s");
        assert_eq!(figures[0].better, Better::Higher);
    }

    #[test]
    fn ours_alone_is_held_to_its_own_bound() {
        let mut contest = Contest::of("case", Unit::Time, "ours", sleeps_ns(10)).at_most(25.0);
        let figures = contest.round("q", &[100]);
        assert_eq!((figures[0].judged(), figures[0].bound), (10.0, Some(25.0)));
    }

    #[test]
    fn the_iterations_of_several_threads_are_all_counted() {
        let pause = |_| || thread::sleep(Duration::from_millis(2));
        let took = each_in_threads(4, pause)(5);
        // Four threads sleep side by side: a quarter of 10 ms for each of the 5 that the caller asked for.
        assert!(took >= Duration::from_micros(2_500));
    }
}
