//! An allocator that counts the bytes that are in use, for the programs here that measure memory.
//!
//! It counts what was asked for, not what the allocator below rounds it up to: that differs from one to the next.

#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; each method passes its arguments on as they came"
)]
#![allow(dead_code, reason = "each program here uses a part of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

// Relaxed: a count that orders nothing; it is read by the thread that did the work, or after the others have ended.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use now.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// What `make` makes, and the bytes that it holds.
pub fn weigh<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = live();
    let made = make();
    (made, live().saturating_sub(before))
}

/// The bytes that are free once this is gone.
pub fn freed_by<T>(last: T) -> usize {
    let before = live();
    drop(last);
    before.saturating_sub(live())
}

// SAFETY: every call goes to `System` with the arguments that the caller vouches for; the count changes no memory.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}
