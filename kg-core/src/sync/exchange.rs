//! Ownership that moves between threads through one atomic word. All `unsafe` of the crate is in this file.
//!
//! [`Chain`] is a list that many threads push to and that is taken as a whole; [`Slot`] holds one value that is swapped for
//! another. Both keep a box's address in an `AtomicUsize`: while the address stands there, the box belongs to the word;
//! the thread whose read-modify-write removes the address owns the box from then on. Nobody ever looks into a box that it
//! does not own, which is why neither needs hazard pointers, epochs or a lock, and why the usual trap of such lists does not
//! exist here: a push that finds the same address again, though the list was taken and refilled meanwhile, still links to
//! what is on top now.
//!
//! The word is an integer and not a pointer for that same case: the box now at the address is another than the one whose
//! address was read, and a pointer read earlier would carry the right to the dead one. Addresses are exposed when a box goes
//! in and the box is found by its address when it comes out, so the right is that of the box that is there.
//!
//! A push costs one allocation and one compare-exchange; a take one compare-exchange, whatever it finds.
//!
//! # Orderings
//!
//! - The thread that gives a box away does so with Release; the one that gets it does so with Acquire. Between them other
//!   threads may push on top: each of those is a read-modify-write, so it continues the release sequence, and one Acquire
//!   of the topmost address covers every box below.
//! - Closing is Release and a refused push is Acquire: whoever is refused sees what the closer did before it closed.

#![expect(
    unsafe_code,
    reason = "boxes travel as addresses; each one taken out is owned by the operation that removed it"
)]

use std::marker::PhantomData;
use std::ptr;

use super::control::{Control, is_on, unless};
use super::tracked::Tracked;
use super::{AtomicUsize, Mutex, Ordering};

/// No box has this address, nor address plus this: a [`Link`] holds a `usize` and is aligned like one.
const CLOSED: usize = 1;
const NOTHING: usize = 0;

/// A list that many threads push to, one value at a time, and that is taken as a whole.
pub struct Chain<T> {
    /// The address of the topmost link or [`NOTHING`], plus [`CLOSED`] once it is closed.
    top: AtomicUsize,
    /// Shared, this moves values between threads, and lends none: like a mutex, it is `Sync` when `T` is `Send`.
    owns: PhantomData<Mutex<T>>,
}

struct Link<T> {
    value: Tracked<T>,
    below: usize,
}

impl<T> Default for Chain<T> {
    fn default() -> Self {
        Self {
            top: AtomicUsize::new(NOTHING),
            owns: PhantomData,
        }
    }
}

impl<T> Chain<T> {
    /// Puts a value on top, or hands it back if the chain is closed.
    pub fn push(&self, value: T) -> Result<(), T> {
        // Acquire: pairs with the Release in `close`, for the case that we are refused.
        let mut top = self.top.load(Ordering::Acquire);
        if top & CLOSED != 0 {
            return Err(value);
        }
        let mut link = Box::new(Link {
            value: Tracked::new(value),
            below: top,
        });
        loop {
            let address = seal(link);
            // Release: pairs with the Acquire in `take`. Acquire, on failure: as above.
            let order = unless(Control::RelaxedPush, Ordering::Release);
            match self
                .top
                .compare_exchange_weak(top, address, order, Ordering::Acquire)
            {
                Ok(_) => return Ok(()),
                Err(now) => top = now,
            }
            // SAFETY: sealed as a `Link<T>` above, and the exchange failed, so that nobody else has seen the address.
            link = unsafe { open::<Link<T>>(address) };
            if top & CLOSED != 0 {
                return Err(link.value.into_inner());
            }
            link.below = top;
        }
    }

    /// Takes everything, in the order in which it was pushed.
    pub fn take(&self) -> Vec<T> {
        // Relaxed: the value is only compared; what it leads to is acquired below.
        let mut top = self.top.load(Ordering::Relaxed);
        while top & !CLOSED != NOTHING {
            if is_on(Control::BlindTake) {
                let top = self.top.load(Ordering::Acquire);
                self.top.swap(top & CLOSED, Ordering::AcqRel);
                // SAFETY: as below, while only one thread takes; what is lost is never freed. Only in a model.
                return unsafe { unlink(top & !CLOSED) };
            }
            // Acquire: pairs with the Release in `push`. The closed mark stays.
            let order = unless(Control::RelaxedTake, Ordering::Acquire);
            match self
                .top
                .compare_exchange_weak(top, top & CLOSED, order, Ordering::Relaxed)
            {
                // SAFETY: `top` without its mark was put here by `push` as a sealed `Link<T>`, and our exchange removed it:
                // no other take can have got it, and no push looks into it.
                Ok(_) => return unsafe { unlink(top & !CLOSED) },
                Err(now) => top = now,
            }
        }
        Vec::new()
    }

    /// Refuses every push from now on. What was pushed before stays and can be taken.
    pub fn close(&self) {
        if is_on(Control::TornClose) {
            let top = self.top.load(Ordering::Acquire);
            self.top.swap(top | CLOSED, Ordering::AcqRel);
            return;
        }
        // Release: pairs with the Acquire loads in `push`, `is_closed` and `is_spent`. As a read-modify-write it also
        // continues the release sequences of the pushes before it.
        self.top
            .fetch_or(CLOSED, unless(Control::RelaxedClose, Ordering::Release));
    }

    /// Whether pushes are refused.
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.top.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Whether there is nothing to take, at this moment.
    pub fn is_empty(&self) -> bool {
        // Relaxed: a caller who must not miss a push has a happens-before edge from it (see `Role`, `Bell`), and then
        // coherence alone forbids an older value.
        self.top.load(Ordering::Relaxed) & !CLOSED == NOTHING
    }

    /// Whether it is closed and there is nothing to take, so that there never will be. One load, so that no push fits
    /// between the two answers.
    pub fn is_spent(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.top.load(Ordering::Acquire) == NOTHING | CLOSED
    }
}

impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// A place for one value, which is swapped for another in one step.
pub struct Slot<T> {
    /// The address of the value's box or [`NOTHING`].
    held: AtomicUsize,
    /// As in [`Chain`].
    owns: PhantomData<Mutex<T>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            held: AtomicUsize::new(NOTHING),
            owns: PhantomData,
        }
    }
}

impl<T> Slot<T> {
    /// Leaves `value` and takes what was there.
    pub fn swap(&self, value: T) -> Option<T> {
        self.swap_box(seal(Box::new(Tracked::new(value))))
    }

    /// Takes what is there.
    pub fn take(&self) -> Option<T> {
        self.swap_box(NOTHING)
    }

    fn swap_box(&self, address: usize) -> Option<T> {
        // Release gives ours away, Acquire gets theirs: pairs with the other swaps of this slot.
        let before = self
            .held
            .swap(address, unless(Control::RelaxedSlot, Ordering::AcqRel));
        if before == NOTHING {
            return None;
        }
        // SAFETY: `before` was put here by `swap` as a sealed `Tracked<T>`, and our swap removed it.
        Some(unsafe { open::<Tracked<T>>(before) }.into_inner())
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Gives a box up and returns where it is.
fn seal<B>(sealed: Box<B>) -> usize {
    Box::into_raw(sealed).expose_provenance()
}

/// Owns a sealed box again.
///
/// # Safety
///
/// `address` came from [`seal`] of a `Box<B>` and has not been opened since.
unsafe fn open<B>(address: usize) -> Box<B> {
    // SAFETY: by the contract above, a box of this type is there, its address was exposed, and nobody owns it.
    unsafe { Box::from_raw(ptr::with_exposed_provenance_mut(address)) }
}

/// Opens a run of links, topmost first, and returns their values, lowest first.
///
/// # Safety
///
/// `address` is [`NOTHING`] or a sealed `Link<T>` that the caller has removed from its chain.
unsafe fn unlink<T>(mut address: usize) -> Vec<T> {
    let mut values = Vec::new();
    while address != NOTHING {
        // SAFETY: the first by the contract above; each further one was the top when the link above it was pushed, so it
        // is a sealed `Link<T>` (or nothing), and since then only the link above leads to it.
        let link = unsafe { open::<Link<T>>(address) };
        address = link.below;
        values.push(link.value.into_inner());
    }
    values.reverse();
    values
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_chain_gives_back_in_order_and_once() {
        let chain = Chain::default();
        for n in 0..5 {
            assert_eq!(chain.push(n), Ok(()));
        }
        assert_eq!(chain.take(), [0, 1, 2, 3, 4]);
        assert!(chain.take().is_empty());
    }

    #[test]
    fn a_closed_chain_refuses_and_still_gives_what_it_had() {
        let chain = Chain::default();
        assert_eq!(chain.push("kept"), Ok(()));
        chain.close();
        assert_eq!(chain.push("late"), Err("late"));
        assert!(chain.is_closed() && !chain.is_spent());
        assert_eq!(chain.take(), ["kept"]);
        assert!(chain.is_spent());
        chain.close();
        assert!(chain.is_spent());
    }

    #[test]
    fn what_nobody_took_is_dropped_once() {
        let counted = Arc::new(());
        let chain = Chain::default();
        let slot = Slot::default();
        for _ in 0..3 {
            chain.push(Arc::clone(&counted)).expect("it is open");
            drop(slot.swap(Arc::clone(&counted)));
        }
        assert_eq!(Arc::strong_count(&counted), 5);
        drop((chain, slot));
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn a_slot_gives_what_was_there() {
        let slot = Slot::default();
        assert_eq!(slot.take(), None);
        assert_eq!(slot.swap(1), None);
        assert_eq!(slot.swap(2), Some(1));
        assert_eq!(slot.take(), Some(2));
        assert_eq!(slot.take(), None);
    }

    #[test]
    fn what_is_shared_follows_what_is_inside() {
        fn is_sync<T: Sync + Send>() {}
        // A cell may be sent and not shared; a chain of them may be both, for it lends none.
        is_sync::<Chain<std::cell::Cell<u8>>>();
        is_sync::<Slot<std::cell::Cell<u8>>>();
    }
}
