//! The real binary on a real store, with faults: a disk that cannot sync, and under `--cfg faults` (`cargo xtask chaos`) death,
//! panics and bad disks at every failpoint.

mod failed_sync;
mod process;

#[cfg(faults)]
mod chaos;
#[cfg(faults)]
mod clients;
#[cfg(faults)]
mod ledger;
#[cfg(faults)]
mod random;
#[cfg(faults)]
mod round;
#[cfg(faults)]
mod tally;
