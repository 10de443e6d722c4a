//! `cargo xtask fuzz 60 checkpoints`; what has to hold is in `laws/src/checkpoints.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_laws::checkpoints::check(bytes));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    amadeus_fuzz::mutate(data, size, max_size, seed, fuzz_laws::checkpoints::mutate)
});
