//! `cargo xtask fuzz 60 log_records`; what has to hold is in `laws/src/log_records.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_laws::log_records::check(bytes));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    amadeus_fuzz::mutate(data, size, max_size, seed, fuzz_laws::mutate::message)
});
