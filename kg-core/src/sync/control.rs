//! Seeded bugs, for models and for the race detector: each control breaks one line of the production code, and a model has
//! to notice.
//!
//! A model that never failed proves little. So every ordering and every second look that a model vouches for can be switched
//! off by name, and `loom-tests` runs the model again with it off, in a child process, and expects it to fail.
//!
//! In a build the functions here are constants, so that the switches leave nothing behind in the machine code. Under
//! `--cfg loom`, and under `--cfg race` (`cargo xtask race`), `AMADEUS_CONTROL` names the one control that is on in this process.

use super::Ordering;

macro_rules! controls {
    ($($(#[$doc:meta])* $control:ident,)*) => {
        /// The lines that can be broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Control {
            $($(#[$doc])* $control,)*
        }

        impl Control {
            /// Every control, so that a test can see that none goes without a model.
            pub const ALL: &'static [Self] = &[$(Self::$control,)*];

            /// The name by which the environment switches it on.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$control => stringify!($control),)*
                }
            }
        }
    };
}

controls! {
    /// A chain's push does not release what it links.
    RelaxedPush,
    /// A chain's take does not acquire what it unlinks.
    RelaxedTake,
    /// A chain's take stores "empty" over whatever arrived since it looked.
    BlindTake,
    /// A chain's close does not release what its caller did before.
    RelaxedClose,
    /// A chain's close looks what is there and puts it back with the mark in a second step.
    TornClose,
    /// A queue admits by looking at its length and adding to it in two steps.
    TornAdmission,
    /// A slot does not order what it hands over.
    RelaxedSlot,
    /// A ticket looks whether it is complete, and leaves its waker in a second step.
    DeafTicket,
    /// A dropped completer tells nobody.
    SilentDrop,
    /// A bell reads its epoch before it leaves its waker, and does not look again.
    DeafBell,
    /// A ring does not release what its caller did before.
    RelaxedRing,
    /// A head is stored without releasing what it points to.
    RelaxedStore,
    /// A revision is announced before its head is stored.
    AnnouncedFirst,
    /// A head is shown before the history that belongs to it.
    BareHead,
    /// One answer about the published state is put together from two looks at it.
    TornLook,
    /// A value that is set once is set without releasing what its setter wrote.
    RelaxedSet,
    /// A batch is shown before it is in the log.
    VisibleFirst,
    /// A watcher looks at the head first, and reads the epoch that it listens from afterwards.
    LateEpoch,
    /// The role is taken without acquiring what its last holder did.
    RelaxedRole,
    /// The role is given up with a store, which learns nothing of those who asked for it meanwhile.
    DeafRole,
    /// Whoever gives the role up does not look at the queue again.
    NoSecondLook,
    /// The committer plans and appends what arrives after the store has failed.
    ForgottenPoison,
    /// Whoever waited for another's chain does not look again whether the part is there now.
    ForgottenPart,
    /// A factory is used up by its first run, whatever came of it.
    SpentFactory,
    /// A provider does not know the thread that builds.
    ForgottenBuilder,
    /// A lease is lapsed over whatever call arrived since the steward looked.
    BlindLapse,
    /// A call for a lease looks whether the lease has lapsed, and is noted in a second step.
    TornBeat,
    /// A call for a lease that says nothing new leaves its word as it was.
    UncountedBeat,
}

/// Whether this control is on.
#[cfg(not(any(loom, race)))]
#[inline(always)]
pub(crate) const fn is_on(_: Control) -> bool {
    false
}

/// Whether this control is on.
#[cfg(any(loom, race))]
pub(crate) fn is_on(control: Control) -> bool {
    // std's, which loom does not see. No lazy cell: its slow path is compiled into std, where the race detector sees nothing.
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    const UNKNOWN: usize = usize::MAX;
    /// The place in `ALL` of the one that is on.
    static ON: AtomicUsize = AtomicUsize::new(UNKNOWN);
    // Relaxed: whoever looks first finds the same in the environment.
    let mut on = ON.load(Relaxed);
    if on == UNKNOWN {
        let name = std::env::var("AMADEUS_CONTROL").unwrap_or_default();
        let place = Control::ALL.iter().position(|known| known.name() == name);
        on = place.unwrap_or(Control::ALL.len());
        ON.store(on, Relaxed);
    }
    on == control as usize
}

/// The ordering, or `Relaxed` while the control is on.
#[inline(always)]
pub(crate) fn unless(control: Control, ordering: Ordering) -> Ordering {
    if is_on(control) {
        Ordering::Relaxed
    } else {
        ordering
    }
}
