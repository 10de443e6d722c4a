//! Running a model, racing its threads, and expecting a control to be caught.

use std::collections::HashSet;
use std::env;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kg_core::sync::control::Control;
use loom::thread;

/// What one thread of a race does.
pub type Body<R> = Box<dyn FnOnce() -> R>;

/// One order in which the threads of a race are started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Order(usize);

/// Runs a model through its interleavings, with at most `preemptions` of them in one run. For models whose threads are all
/// alike, so that the order of starting makes no difference; else [`check_race`].
pub fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    run(preemptions, model);
}

/// Runs a model that races `threads` bodies ([`Order::race`]), once for each order of starting them.
pub fn check_race(
    threads: usize,
    preemptions: usize,
    model: impl Fn(Order) + Send + Sync + 'static,
) {
    let model = Arc::new(model);
    for order in 0..(1..=threads).product() {
        let model = Arc::clone(&model);
        run(preemptions, move || model(Order(order)));
    }
}

impl Order {
    /// Runs the bodies, each on a thread of its own, and returns their results in the order in which they are given.
    pub fn race<R: 'static, const N: usize>(self, bodies: [Body<R>; N]) -> [R; N] {
        let mut waiting = bodies.map(Some);
        let mut running: [Option<thread::JoinHandle<R>>; N] = [const { None }; N];
        let mut left: Vec<usize> = (0..N).collect();
        let mut order = self.0;
        while !left.is_empty() {
            let next = left.remove(order % left.len());
            order /= left.len() + 1;
            running[next] = waiting[next].take().map(thread::spawn);
        }
        running.map(|thread| {
            let thread = thread.expect("each place was left once");
            thread.join().expect("a body ends")
        })
    }
}

/// A body that works on something shared.
pub fn body<S: 'static, R>(shared: &Arc<S>, work: impl FnOnce(&S) -> R + 'static) -> Body<R> {
    let shared = Arc::clone(shared);
    Box::new(move || work(&shared))
}

/// Passes if the test `model` of the same file fails, with `symptom` in its output, while `control` is on.
pub fn caught(control: Control, model: &str, symptom: &str) {
    let program = env::current_exe().expect("a running test has a file");
    let output = Command::new(program)
        .args(["--exact", model, "--nocapture", "--test-threads=1"])
        .env("AMADEUS_CONTROL", control.name())
        .output()
        .expect("a test can be started again");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let control = control.name();
    assert!(
        said.contains("running 1 test"),
        "there is no model {model}:\n{said}"
    );
    assert!(
        !output.status.success(),
        "{control} was not noticed by {model}"
    );
    assert!(
        said.contains(symptom),
        "{model} failed with {control} on, without {symptom:?}:\n{said}"
    );
}

/// Panics unless these are the numbers below `len`, each once, in any order.
pub fn assert_each_once(numbers: impl IntoIterator<Item = usize>, len: usize) {
    let mut seen = HashSet::new();
    for number in numbers {
        assert!(
            number < len && seen.insert(number),
            "{number} came twice or from nowhere"
        );
    }
    assert_eq!(seen.len(), len, "something was lost");
}

fn run(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    // std's counter: loom neither sees nor reorders it.
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    // The environment can set these; they would end a model before it has seen everything.
    (builder.max_permutations, builder.max_duration) = (None, None);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    assert!(
        runs.load(Ordering::Relaxed) > 1,
        "the model has nothing to interleave"
    );
}
