//! `cargo xtask fuzz 60 page_tokens`; what has to hold is in `laws/src/page_tokens.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_laws::page_tokens::check(bytes));
