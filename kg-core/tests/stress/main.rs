//! What threads share, under load on real threads: each type alone, and the whole graph.
//!
//! Small in a usual run. `cargo xtask race` runs it under the race detector. `AMADEUS_STRESS=100000` is a size for an evening;
//! `AMADEUS_TEST_SEED` repeats the choices, not the interleaving, of a run, which prints its seed.
//!
//! What is handed over is boxed, for the detector sees memory and not meaning. All threads are joined, and none are scoped:
//! the end of a scope is ordered by code inside std, which the detector cannot see.

mod graph;
mod parts;

use std::sync::Arc;
use std::thread;

type Body = Box<dyn FnOnce() + Send>;

/// Runs these at once, and ends when all have.
fn at_once(bodies: impl IntoIterator<Item = Body>) {
    let running: Vec<_> = bodies.into_iter().map(thread::spawn).collect();
    for thread in running {
        thread.join().expect("no panic");
    }
}

/// A body that works on something shared.
fn body<S: Send + Sync + 'static>(shared: &Arc<S>, work: impl FnOnce(&S) + Send + 'static) -> Body {
    let shared = Arc::clone(shared);
    Box::new(move || work(&shared))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// How often something is done.
fn times() -> u64 {
    number("AMADEUS_STRESS").unwrap_or(300)
}
