//! The real binary on a real store, with faults: kills and lost replies under clients whose answers must have one order,
//! cut watches, a crowd of them, a process that stands still, a disk that cannot sync; and under `--cfg faults`
//! (`cargo xtask chaos`) death, panics and bad disks at every failpoint.

mod crowd;
mod failed_sync;
mod line;
mod linear;
mod process;
mod random;
mod stopped;
mod watching;

#[cfg(faults)]
mod chaos;
#[cfg(faults)]
mod clients;
#[cfg(faults)]
mod ledger;
#[cfg(faults)]
mod round;
#[cfg(faults)]
mod tally;
