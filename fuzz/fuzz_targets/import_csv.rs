//! `cargo xtask fuzz 60 import_csv`; what has to hold is in `laws/src/import_csv.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_laws::import_csv::check(bytes));
