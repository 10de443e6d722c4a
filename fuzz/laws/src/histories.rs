//! Whatever clients do, in whatever order: the graph, its log and its past agree with the oracle after every step. The bytes
//! are the dice that random histories are thrown with, so that a fuzzer chooses them where a seed would.

use kg_core::testing::generate::Rng;
use kg_core::testing::histories;

/// Steps of one history: each looks at everything, and long ones find what a chain of short ones finds too.
const STEPS: usize = 12;

/// Each byte is one throw.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    let history = histories::random(&mut Rng::of_bytes(bytes), STEPS);
    histories::check(&history);
}
