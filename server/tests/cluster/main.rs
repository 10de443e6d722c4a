//! Many servers on one PostgreSQL, with and without Redis: one order, whichever of them is asked.

#[path = "../faults/process.rs"]
#[expect(dead_code, reason = "what dies on cue is told of in the other tests")]
mod process;

#[path = "../faults/random.rs"]
#[expect(dead_code, reason = "other tests choose in more ways")]
mod random;

mod cluster;
mod degraded;
mod encrypted;
mod leases;
mod order;
mod patterns;
mod siege;
mod strained;
