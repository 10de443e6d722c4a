//! `cargo xtask fuzz 60 dot_paths`; what has to hold is in `laws/src/dot_paths.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_laws::dot_paths::check(bytes));
