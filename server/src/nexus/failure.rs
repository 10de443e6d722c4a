//! Failures of steps, from what went wrong below them. A failure's code is the name of a gRPC code.

use kg_core::error::Fault;
use kg_core::nexus::Failure;
use tonic::{Code, Status};

/// Bytes of a message that a failure keeps: it stands in the run's journal, and in every list of its steps.
const MESSAGE_BYTES: usize = 2 * 1024;

/// The name of a code, as definitions and failures write it.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What a call would fail with, as a fault of its definition: of `what`, which stands at `at` within it.
#[must_use]
pub fn fault(at: &str, what: &str, failure: &Failure) -> Fault {
    let said = failure.message.strip_prefix(what);
    let reason = said.and_then(|said| said.strip_prefix(' '));
    Fault::new(at, reason.unwrap_or(&failure.message))
}

/// A code as a metric may be labelled with: one of a few words, whatever a peer says.
#[must_use]
pub fn known(code: &str) -> &'static str {
    let mut all = (0..=16).map(|number| code_name(Code::from_i32(number)));
    all.find(|known| *known == code).unwrap_or("OTHER")
}

/// A failure of this code. What is too long is cut.
#[must_use]
pub fn of(code: Code, message: impl AsRef<str>) -> Failure {
    let message = message.as_ref();
    if message.len() <= MESSAGE_BYTES {
        return Failure::new(code_name(code), message);
    }
    let end = (0..=MESSAGE_BYTES)
        .rev()
        .find(|&at| message.is_char_boundary(at));
    let kept = &message[..end.unwrap_or_default()];
    let left_out = message.len() - kept.len();
    Failure::new(
        code_name(code),
        format!("{kept}... ({left_out} bytes more)"),
    )
}

/// What a server of ours or of others answered, or that it did not.
#[must_use]
pub fn of_status(status: &Status) -> Failure {
    of(told(status), status.message())
}

/// The code that a status tells. One that the transport made of a lost connection is worth another attempt, whatever tonic calls it; the
/// status of a peer has no source.
fn told(status: &Status) -> Code {
    let lost = std::error::Error::source(status).is_some();
    match status.code() {
        // What tonic, on either side, says of a deadline that has passed.
        Code::Cancelled if status.message() == "Timeout expired" => Code::DeadlineExceeded,
        Code::Unknown | Code::Internal | Code::Cancelled if lost => Code::Unavailable,
        // What tonic says of a message over its limit; the contract says RESOURCE_EXHAUSTED.
        Code::OutOfRange if status.message().contains("message length too large") => {
            Code::ResourceExhausted
        }
        code => code,
    }
}

/// A parameter, target or action is wrong.
#[must_use]
pub fn invalid(field: &str, reason: impl AsRef<str>) -> Failure {
    of(
        Code::InvalidArgument,
        format!("{field} {}", reason.as_ref()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_between_letters() {
        let failure = of(Code::Aborted, "ä".repeat(MESSAGE_BYTES));
        assert_eq!(&*failure.code, "ABORTED");
        assert!(failure.message.len() < MESSAGE_BYTES + 64);
        assert!(failure.message.ends_with("bytes more)"));
    }

    #[test]
    fn a_lost_connection_is_unavailable_and_a_peers_word_stays() {
        let mut lost = Status::unknown("transport error");
        lost.set_source(std::sync::Arc::new(std::io::Error::other("reset")));
        assert_eq!(&*of_status(&lost).code, "UNAVAILABLE");
        assert_eq!(&*of_status(&Status::unknown("said so")).code, "UNKNOWN");
    }
}
