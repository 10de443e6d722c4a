//! What the targets share: libFuzzer's own changes of an input, and those of somebody who knows its form, in turns.

use kg_core::testing::generate::Rng;

/// Changes the first `size` bytes of `data`, which has room for `max_size`, and returns how many there are then.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    knowing: fn(&[u8], &mut Rng) -> Vec<u8>,
) -> usize {
    if seed.is_multiple_of(2) {
        // It knows what the program compared its input with, which nobody else does.
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut changed = knowing(&data[..size], &mut Rng::new(seed.into()));
    changed.truncate(max_size);
    data[..changed.len()].copy_from_slice(&changed);
    changed.len()
}
