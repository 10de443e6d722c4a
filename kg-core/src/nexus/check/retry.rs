//! What is wrong with how something is tried again.

use super::fault::Found;
use crate::limits::STEP_ATTEMPTS;
use crate::model::Retry;

/// The names of gRPC's codes, without OK: what a failure may be called.
pub(super) const CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(super) fn check(at: &str, retry: &Retry, found: &mut Found) {
    if !(1..=STEP_ATTEMPTS).contains(&retry.max_attempts) {
        found.fault(
            format!("{at}.max_attempts"),
            format!(
                "is {}: between 1 and {STEP_ATTEMPTS} are allowed",
                retry.max_attempts
            ),
        );
    }
    if !(retry.multiplier.is_finite() && retry.multiplier >= 1.0) {
        found.fault(
            format!("{at}.multiplier"),
            format!("is {}: must be a number of at least 1", retry.multiplier),
        );
    }
    if retry.max_backoff_ms < retry.backoff_ms {
        found.fault(
            format!("{at}.max_backoff_ms"),
            format!(
                "is {}, less than the first pause of {} ms",
                retry.max_backoff_ms, retry.backoff_ms
            ),
        );
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        found.fault(
            format!("{at}.jitter"),
            format!("is {}: must be between 0 and 1", retry.jitter),
        );
    }
    for (i, code) in retry.codes.iter().enumerate() {
        if !CODES.contains(&code.as_str()) {
            found.fault(
                format!("{at}.codes[{i}]"),
                format!("is {code:?}, which is none of {}", CODES.join(", ")),
            );
        }
    }
}
