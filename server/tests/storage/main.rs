//! Stores on real files: what they owe as a log, and what becomes of them when something goes wrong.

mod backups;
mod conformance;
mod damage;
mod full_disk;
mod leases;
mod place;
mod postgres;
mod restart;
mod small_disk;
