//! What is wrong with how something is tried again.

use super::fault::Found;
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

/// That its numbers are within their bounds is asked of every pattern of a graph.
pub(super) fn check(at: &str, retry: &Retry, found: &mut Found) {
    if retry.max_backoff_ms < retry.backoff_ms {
        found.fault(
            format!("{at}.max_backoff_ms"),
            format!(
                "is {}, less than the first pause of {} ms",
                retry.max_backoff_ms, retry.backoff_ms
            ),
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
