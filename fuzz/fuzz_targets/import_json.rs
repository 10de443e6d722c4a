//! `cargo xtask fuzz 60 import_json`; what has to hold is in `laws/src/import_json.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_laws::import_json::check(bytes));
