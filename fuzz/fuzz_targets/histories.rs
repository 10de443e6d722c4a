//! `cargo xtask fuzz 60 histories`; what has to hold is in `laws/src/histories.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_laws::histories::check(bytes));
