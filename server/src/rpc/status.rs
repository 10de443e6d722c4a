//! What went wrong, as gRPC says it. The only file that names a gRPC code.
//!
//! Messages and details travel in headers, which clients bound at about 8 KiB: both are cut with a count of what was left
//! out, never silently. A bug is logged with its cause, and the client is told no more than that there was one.

use std::time::Duration;

use kg_core::commit::ticket::Abandoned;
use kg_core::commit::{CommitError, NotKept};
use kg_core::error::{Fault, Refusal};
use kg_core::limits::MESSAGE_BYTES;
use kg_core::log::ReadError;
use kg_core::model::path::Lost;
use kg_core::nexus::Failure;
use kg_core::query::QueryError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

use super::context::StoreError;
use super::from_proto::Rejected;
use crate::auth::{NotSignedIn, Refused};
use crate::events::{EventError, GroupError};
use crate::layer::in_call;
use crate::liveness::LeaseError;
use crate::nexus::failure::code_name;
use crate::nexus::rows::RunRowsError;
use crate::picture::NotDrawn;
use crate::users::UserError;

/// Bytes of a message before it is cut.
const TEXT_BYTES: usize = 2 * 1024;

/// Bytes of all details before the rest is left out.
const DETAILS_BYTES: usize = 2 * 1024;

/// When to come again, if too many callers are being looked up.
const LOOKED_UP: Duration = Duration::from_secs(1);

/// One field is wrong.
#[must_use]
pub fn fault(fault: Fault) -> Status {
    faults(vec![fault])
}

/// Fields are wrong.
#[must_use]
pub fn faults(faults: Vec<Fault>) -> Status {
    let message = Refusal::Invalid(faults.clone()).to_string();
    let mut room = DETAILS_BYTES;
    let fits = |fault: &Fault| {
        let bytes = fault.field.len() + fault.reason.len() + 8;
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    };
    let violations: Vec<FieldViolation> = faults
        .into_iter()
        .map(|mut fault| {
            fault.reason = cut(fault.reason, TEXT_BYTES / 2);
            fault.field = cut(fault.field, TEXT_BYTES / 4);
            fault
        })
        .take_while(fits)
        .map(|fault| FieldViolation::new(fault.field, fault.reason))
        .collect();
    let details = ErrorDetails::with_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, cut(message, TEXT_BYTES), details)
}

/// A field of one message is wrong, in words.
#[must_use]
pub fn invalid(field: &str, reason: impl Into<String>) -> Status {
    fault(Fault::new(field, reason))
}

/// A message was not let in.
#[must_use]
pub fn rejected(rejected: Rejected) -> Status {
    match rejected {
        Rejected::Field(wrong) => fault(wrong),
        Rejected::NotBuilt(what) => Status::unimplemented(what),
    }
}

/// A transaction was refused.
#[must_use]
pub fn refusal(refusal: Refusal) -> Status {
    let message = cut(refusal.to_string(), TEXT_BYTES);
    match refusal {
        Refusal::Invalid(list) => faults(list),
        Refusal::NotFound(_) => Status::not_found(message),
        // The only way to want absence is to expect revision 0; trying again would not help, so it is not ABORTED.
        Refusal::AlreadyExists(_) => {
            Status::already_exists(format!("{message}: revision 0 was expected"))
        }
        Refusal::RevisionMismatch { .. } => Status::aborted(message),
        Refusal::Precondition { reason, blockers } => {
            let violation = |who: &String| {
                PreconditionViolation::new(
                    "IN_THE_WAY",
                    cut(who.clone(), 256),
                    cut(reason.clone(), 128),
                )
            };
            let named = kg_core::limits::NAMED_IN_ERRORS.min(DETAILS_BYTES / 400);
            let violations: Vec<_> = blockers.iter().take(named).map(violation).collect();
            let details = ErrorDetails::with_precondition_failure(violations);
            Status::with_error_details(Code::FailedPrecondition, message, details)
        }
        Refusal::Denied(_) => Status::permission_denied(message),
        Refusal::Exhausted(_) => Status::resource_exhausted(message),
        Refusal::Internal(cause) => internal("planning a transaction", &cause),
    }
}

/// A transaction was not carried out, or nobody knows.
#[must_use]
pub fn commit(error: CommitError) -> Status {
    match error {
        CommitError::Refused(refused) => refusal(refused),
        CommitError::QueueFull(_) | CommitError::QueueBytes(_) | CommitError::StoreFull(_) => {
            Status::resource_exhausted(cut(error.to_string(), TEXT_BYTES))
        }
        CommitError::Unavailable(why) => Status::unavailable(cut(
            format!("{why}: retry with the same request_id"),
            TEXT_BYTES,
        )),
    }
}

/// The committer went away with a transaction.
#[must_use]
pub fn abandoned(error: Abandoned) -> Status {
    Status::unavailable(format!("{error}: retry with the same request_id"))
}

/// A revision cannot be read.
#[must_use]
pub fn not_kept(error: NotKept) -> Status {
    Status::out_of_range(error.to_string())
}

/// The place at which a watch stood is gone.
#[must_use]
pub fn fell_behind(oldest: u64) -> Status {
    Status::out_of_range(format!(
        "this place in the history is no longer kept: the oldest revision is {oldest}; read the state again and go on from there"
    ))
}

/// A path led nowhere.
#[must_use]
pub fn lost(lost: Lost) -> Status {
    match lost {
        Lost::Missing(at) => {
            Status::not_found(cut(format!("path {at} does not exist"), TEXT_BYTES))
        }
        Lost::WrongType(at, wanted, found) => invalid(
            "path",
            format!("{at} is {found}, where the path needs {wanted}"),
        ),
    }
}

/// What was asked for does not exist.
#[must_use]
pub fn not_found(what: impl std::fmt::Display) -> Status {
    Status::not_found(cut(format!("{what} does not exist"), TEXT_BYTES))
}

/// A question that has no answer.
#[must_use]
pub fn no_answer(what: impl Into<String>) -> Status {
    Status::not_found(cut(what.into(), TEXT_BYTES))
}

/// A question has no answer.
#[must_use]
pub fn query(error: QueryError) -> Status {
    match error {
        QueryError::Invalid(wrong) => fault(wrong),
        QueryError::NotFound(key) => not_found(key),
        QueryError::PictureTooLarge(_) => exhausted(error.to_string()),
    }
}

/// Time ran out while waiting for a revision.
#[must_use]
pub fn too_late(wanted: u64, head: u64) -> Status {
    Status::deadline_exceeded(format!(
        "revision {wanted} was not reached in time: the head is {head}"
    ))
}

/// Time ran out during work.
#[must_use]
pub fn deadline(doing: &str) -> Status {
    Status::deadline_exceeded(format!("the deadline passed while {doing}"))
}

/// A bound was passed.
#[must_use]
pub fn exhausted(what: impl Into<String>) -> Status {
    Status::resource_exhausted(cut(what.into(), TEXT_BYTES))
}

/// A reply would be too large.
#[must_use]
pub fn too_large(bytes: usize) -> Status {
    Status::resource_exhausted(format!(
        "the reply would have {bytes} bytes, at most {MESSAGE_BYTES} are allowed: ask for less"
    ))
}

/// A picture was not drawn.
#[must_use]
pub fn not_drawn(error: NotDrawn) -> Status {
    match error {
        NotDrawn::Entities(_) | NotDrawn::Shapes(_) | NotDrawn::Bytes(_) => {
            exhausted(error.to_string())
        }
        NotDrawn::Layout => internal("laying out a picture", &error),
    }
}

/// The state of things does not allow it.
#[must_use]
pub fn state(what: impl Into<String>) -> Status {
    Status::failed_precondition(cut(what.into(), TEXT_BYTES))
}

/// Something is not built yet.
#[must_use]
pub fn not_built(what: impl Into<String>) -> Status {
    Status::unimplemented(what)
}

/// Whoever calls may not do that.
#[must_use]
pub fn denied(what: impl Into<String>) -> Status {
    Status::permission_denied(cut(what.into(), TEXT_BYTES))
}

/// The policy says no.
#[must_use]
pub fn refused(why: Refused) -> Status {
    match why {
        Refused::NotSignedIn => not_signed_in(NotSignedIn::Absent),
        Refused::NotAllowed { role } => denied(format!("that takes the role {}", role.name())),
    }
}

/// The server is going away.
#[must_use]
pub fn stopping() -> Status {
    Status::unavailable(
        "the server is shutting down: connect again and resume from the last bookmark",
    )
}

/// A lease could not be had or changed.
#[must_use]
pub fn lease(error: LeaseError) -> Status {
    let message = cut(error.to_string(), TEXT_BYTES);
    match error {
        LeaseError::Gone(_) => Status::not_found(message),
        LeaseError::Reused => invalid("request_id", message),
        LeaseError::Full(_) => Status::resource_exhausted(message),
        LeaseError::Unavailable(_) => {
            Status::unavailable(format!("{message}: retry with the same request_id"))
        }
    }
}

/// The log could not be read.
#[must_use]
pub fn read(error: ReadError) -> Status {
    let message = cut(error.to_string(), TEXT_BYTES);
    match error {
        ReadError::Compacted { oldest } => fell_behind(oldest),
        ReadError::Record { .. } => {
            in_call(|| tracing::error!(error = %message, "a record cannot be read"));
            Status::data_loss(message)
        }
        ReadError::Io(_) => Status::unavailable(message),
    }
}

/// The store could not do what it was asked.
#[must_use]
pub fn store(error: StoreError) -> Status {
    let message = cut(error.to_string(), TEXT_BYTES);
    match error {
        StoreError::NotFound(_) => Status::not_found(message),
        StoreError::Invalid(wrong) => fault(wrong),
        StoreError::Corrupt(_) => {
            in_call(|| tracing::error!(error = %message, "the store is damaged"));
            Status::data_loss(message)
        }
        StoreError::Full(_) => Status::resource_exhausted(message),
        StoreError::NotSupported(_) => Status::failed_precondition(message),
        StoreError::Io(_) => Status::unavailable(message),
        StoreError::Commit(error) => commit(error),
    }
}

/// Events could not be appended or read.
#[must_use]
pub fn events(error: EventError) -> Status {
    let message = cut(error.to_string(), TEXT_BYTES);
    match error {
        EventError::Invalid { index, reason } => invalid(&format!("events[{index}]"), reason),
        EventError::Exhausted(_) => Status::resource_exhausted(message),
        EventError::Unavailable(_) => {
            Status::unavailable(format!("{message}: retry with the same ids"))
        }
        EventError::Broken(_) => {
            in_call(|| tracing::error!(error = %message, "the events are broken"));
            Status::data_loss(message)
        }
    }
}

/// Something about a consumer group was not done.
#[must_use]
pub fn group(error: GroupError) -> Status {
    let message = cut(error.to_string(), TEXT_BYTES);
    match error {
        GroupError::NotFound(_) => Status::not_found(message),
        GroupError::Stale(_) => Status::aborted(message),
        GroupError::Invalid(reason) => invalid("offset", reason),
        GroupError::Exhausted(_) => Status::resource_exhausted(message),
        GroupError::Events(error) => events(error),
    }
}

/// Something about users was not done.
#[must_use]
pub fn users(error: UserError) -> Status {
    let message = cut(error.to_string(), TEXT_BYTES);
    match error {
        UserError::NotFound(_) => Status::not_found(message),
        UserError::AlreadyExists { .. } => Status::already_exists(message),
        UserError::VersionMismatch { .. } => Status::aborted(message),
        UserError::LastAdmin => Status::failed_precondition(message),
        UserError::SetupToken => Status::permission_denied(message),
        UserError::TooMany(_) | UserError::Full(_) => Status::resource_exhausted(message),
        UserError::Unavailable(_) => {
            // Where the rows are is no stranger's business.
            in_call(|| tracing::warn!(error = %message, "users cannot be reached"));
            Status::unavailable("users cannot be reached now: try again")
        }
        UserError::Broken(_) => {
            in_call(|| tracing::error!(error = %message, "the rows of users are broken"));
            Status::data_loss("the rows of users are broken; the server's log tells more")
        }
    }
}

/// The rows of runs could not be read or written.
#[must_use]
pub fn runs(error: RunRowsError) -> Status {
    let message = cut(error.to_string(), TEXT_BYTES);
    match error {
        RunRowsError::Unavailable(_) => {
            in_call(|| tracing::warn!(error = %message, "runs cannot be reached"));
            Status::unavailable("runs cannot be reached now: try again with the same request_id")
        }
        RunRowsError::Full(_) => Status::resource_exhausted(message),
        RunRowsError::Broken(_) => {
            in_call(|| tracing::error!(error = %message, "the rows of runs are broken"));
            Status::data_loss("the rows of runs are broken; the server's log tells more")
        }
    }
}

/// What a step would be told, told to whoever calls.
#[must_use]
pub fn failed(failure: &Failure) -> Status {
    let codes = (1..=16).map(Code::from_i32);
    let code = codes
        .into_iter()
        .find(|code| code_name(*code) == &*failure.code);
    Status::new(
        code.unwrap_or(Code::Unknown),
        cut(failure.message.to_string(), TEXT_BYTES),
    )
}

/// Nobody is signed in.
#[must_use]
pub fn not_signed_in(why: NotSignedIn) -> Status {
    let message = why.to_string();
    match why {
        NotSignedIn::Absent | NotSignedIn::Bad | NotSignedIn::Expired | NotSignedIn::Revoked => {
            Status::unauthenticated(message)
        }
        NotSignedIn::Busy => retry_after(message, LOOKED_UP),
        NotSignedIn::Unavailable(_) => Status::unavailable(message),
    }
}

/// What whoever is told who could not sign in.
pub const WRONG_PASSWORD: &str = "the name or the password is wrong";

/// A sign-in failed. There is one answer, so that it tells nothing.
#[must_use]
pub fn wrong_password() -> Status {
    Status::unauthenticated(WRONG_PASSWORD)
}

/// Somebody else has it.
#[must_use]
pub fn taken(what: &str) -> Status {
    Status::already_exists(format!("{what} is taken"))
}

/// It is too early, or too much: try again after so long.
#[must_use]
pub fn retry_after(what: impl std::fmt::Display, delay: std::time::Duration) -> Status {
    let message = format!(
        "{what}; try again in {} s",
        delay.as_millis().div_ceil(1_000)
    );
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(Code::ResourceExhausted, cut(message, TEXT_BYTES), details)
}

/// A bug: logged with its cause; the client is told nothing more.
#[must_use]
pub fn internal(doing: &str, cause: &dyn std::fmt::Display) -> Status {
    in_call(|| tracing::error!(%cause, doing, "internal error"));
    Status::internal("internal error; the server's log tells more")
}

fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let left_out = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("... ({left_out} bytes more)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_faults_fits_into_headers() {
        let many = (0..10_000).map(|i| Fault::new(format!("entities[{i}].name"), "x".repeat(300)));
        let status = faults(many.collect());
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().len() + status.details().len() < 6 * 1024);
        assert!(status.message().contains("bytes more"));
    }

    #[test]
    fn who_is_in_the_way_is_named() {
        let status = refusal(Refusal::Precondition {
            reason: "service/a cannot be deleted".into(),
            blockers: vec!["service/b depends_on service/a".into()],
        });
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains("service/b"), "{status}");
        let details = status.get_details_precondition_failure().expect("details");
        assert_eq!(details.violations.len(), 1);
    }

    #[test]
    fn a_bug_tells_the_client_nothing() {
        let status = refusal(Refusal::Internal("index out of bounds at secret.rs".into()));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
    }
}
