//! What can go wrong on the client's side, told to people: what happened, where, what to do. Owns the exit codes.

use std::{error::Error, fmt, io, path::PathBuf, process::ExitCode};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::table;

/// For the end of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  not found
  4  refused: not signed in, not allowed, it exists already, somebody else changed it, or something stands in the way
  5  the server cannot be reached, is closing, or took too long";

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum CliError {
    /// The command line, or something that it names, makes no sense.
    Usage(String),
    /// Nobody answers at that address.
    Connect {
        addr: String,
        cause: tonic::transport::Error,
    },
    /// The server refused, or was lost. `request_id` names the write, if it was one.
    Call {
        status: Box<Status>,
        request_id: Option<String>,
    },
    /// A file could not be read or written.
    File { path: PathBuf, cause: io::Error },
    /// Standard output could not be written.
    Output(io::Error),
    /// Whoever read our standard output has gone; nothing is wrong.
    Closed,
    /// The reply is not one that this client understands.
    Reply(String),
    /// What was asked for here, without a server, does not fit what is there.
    Refused(String),
    /// It was stopped, or fell short of what was asked.
    Stopped(String),
}

impl CliError {
    /// A refused call that was no write.
    pub fn call(status: Status) -> Self {
        Self::Call {
            status: Box::new(status),
            request_id: None,
        }
    }

    /// A refused write.
    pub fn write(status: Status, request_id: &str) -> Self {
        let request_id = (!request_id.is_empty()).then(|| request_id.to_owned());
        Self::Call {
            status: Box::new(status),
            request_id,
        }
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_number())
    }

    fn exit_number(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::File { .. } | Self::Output(_) | Self::Reply(_) | Self::Stopped(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 4,
            Self::Connect { .. } => 5,
            Self::Call { status, .. } if was_lost(status) || was_garbled(status) => 5,
            Self::Call { status, .. } => match status.code() {
                Code::NotFound => 3,
                Code::AlreadyExists
                | Code::Aborted
                | Code::FailedPrecondition
                | Code::Unauthenticated
                | Code::PermissionDenied => 4,
                Code::Unavailable | Code::DeadlineExceeded => 5,
                _ => 1,
            },
        }
    }

    /// What to do about it, if there is something.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { cause, .. } => Some(
                match tls_error(cause) {
                    Some(error) => tls_hint(error),
                    None => {
                        "start a server with `amadeus serve`, or name another with --addr or AMADEUS_ADDR"
                    }
                }
                .to_owned(),
            ),
            Self::Call { status, request_id } => call_hint(status, request_id.as_deref()),
            Self::Usage(_) => Some("see `amadeus --help`, or the same behind a command".to_owned()),
            Self::File { .. }
            | Self::Output(_)
            | Self::Closed
            | Self::Reply(_)
            | Self::Refused(_)
            | Self::Stopped(_) => None,
        }
    }
}

/// Whether the connection broke instead of the server answering: what became of the call is not known.
pub fn was_lost(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Cancelled) && status.source().is_some()
}

/// Whether what came back was no gRPC, as it is where one side speaks TLS and the other does not.
fn was_garbled(status: &Status) -> bool {
    status.code() == Code::Internal && status.source().is_some()
}

/// What TLS found wrong, somewhere below.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An error of IO is no source of what it wraps: it passes for it.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(|error| error.get_ref())
            .and_then(|wrapped| wrapped.downcast_ref());
        if let Some(found) = error.downcast_ref().or(wrapped) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn tls_hint(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "the server's certificate is not trusted: give the authority that signed it with --ca"
        }
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => {
            "the server's certificate is for another name: call the server by a name that is in it"
        }
        rustls::Error::InvalidCertificate(_) => {
            "the server's certificate is not good: the server needs another"
        }
        rustls::Error::InvalidMessage(_) => {
            "what answers there speaks no TLS: if it is the server, call it by http://"
        }
        rustls::Error::AlertReceived(_) => {
            "the server did not accept what it was shown: it may want another --client-cert"
        }
        _ => "no TLS could be agreed on",
    }
}

fn call_hint(status: &Status, request_id: Option<&str>) -> Option<String> {
    let unknown =
        was_lost(status) || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
    if let (true, Some(id)) = (unknown, request_id) {
        return Some(format!(
            "whether it was done is not known; repeat the command with `--request-id {id}` and it is done once"
        ));
    }
    if was_garbled(status) || was_lost(status) {
        return Some("try again; or, if the server speaks TLS, call it by https://".to_owned());
    }
    // The server has said what to do.
    let told = status.get_details_retry_info().is_some()
        || status.message() == crate::rpc::status::WRONG_PASSWORD
        || status.message().contains("setup token");
    if told {
        return None;
    }
    let hint = match status.code() {
        Code::Aborted => "somebody changed it meanwhile; read it again and repeat",
        Code::AlreadyExists => "change the one that exists, or use another name",
        Code::OutOfRange => "that revision is not kept; `amadeus status` shows the oldest that is",
        Code::ResourceExhausted => {
            "ask for less at a time, or try again when the server has less to do"
        }
        Code::Unavailable => {
            "the server is starting, closing, or cannot reach its store; try again"
        }
        Code::DeadlineExceeded => "give it longer with --timeout, or ask for less",
        Code::Unimplemented => {
            "this server does not offer that; compare versions with `amadeus status`"
        }
        Code::Unauthenticated => {
            "sign in with `amadeus login`, or give a token with --token or AMADEUS_TOKEN"
        }
        Code::PermissionDenied => "`amadeus whoami` shows what you may do",
        Code::DataLoss => "the store is damaged; restore a backup with `amadeus restore`",
        Code::Internal => "this is a bug in the server; its log has the cause",
        _ => return None,
    };
    Some(hint.to_owned())
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message)
            | Self::Reply(message)
            | Self::Refused(message)
            | Self::Stopped(message) => f.write_str(message)?,
            Self::Connect { addr, cause } => match tls_error(cause) {
                Some(error) => write!(f, "no connection to {addr}: {error}")?,
                None => write!(f, "nobody answers at {addr}: {}", innermost(cause))?,
            },
            Self::Call { status, .. } => write_status(f, status)?,
            Self::File { path, cause } => write!(f, "{}: {cause}", path.display())?,
            Self::Output(cause) => write!(f, "standard output: {cause}")?,
            Self::Closed => f.write_str("standard output was closed")?,
        }
        match self.hint() {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect { cause, .. } => Some(cause),
            Self::Call { status, .. } => Some(status),
            Self::File { cause, .. } | Self::Output(cause) => Some(cause),
            Self::Usage(_)
            | Self::Closed
            | Self::Reply(_)
            | Self::Refused(_)
            | Self::Stopped(_) => None,
        }
    }
}

/// The code in words, the message, and whatever the details add to it.
fn write_status(f: &mut fmt::Formatter<'_>, status: &Status) -> fmt::Result {
    let message = if was_lost(status) {
        "the connection broke"
    } else {
        &table::visible(status.message())
    };
    let words = if was_garbled(status) {
        "what answers there speaks no gRPC"
    } else {
        in_words(status.code())
    };
    match (words, message) {
        (words, "") => write!(f, "{words}")?,
        (words, message) => write!(f, "{words}: {message}")?,
    }
    let details = status.get_error_details();
    let fields = details
        .bad_request()
        .into_iter()
        .flat_map(|b| &b.field_violations);
    for violation in fields.filter(|v| !message.contains(&v.description)) {
        write!(f, "\n  {}: {}", violation.field, violation.description)?;
    }
    let obstacles = details
        .precondition_failure()
        .into_iter()
        .flat_map(|p| &p.violations);
    for violation in obstacles.filter(|v| !message.contains(&v.description)) {
        write!(f, "\n  {}: {}", violation.subject, violation.description)?;
    }
    Ok(())
}

fn in_words(code: Code) -> &'static str {
    match code {
        Code::Ok => "done",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown failure",
        Code::InvalidArgument => "invalid argument",
        Code::DeadlineExceeded => "took too long",
        Code::NotFound => "not found",
        Code::AlreadyExists => "exists already",
        Code::PermissionDenied => "not allowed",
        Code::ResourceExhausted => "too much",
        Code::FailedPrecondition => "refused",
        Code::Aborted => "changed meanwhile",
        Code::OutOfRange => "out of range",
        Code::Unimplemented => "not offered",
        Code::Internal => "internal error",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "damaged",
        Code::Unauthenticated => "not signed in",
    }
}

/// The transport's own words are only "transport error"; the reason is at the bottom.
pub fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn each_code_of_the_contract_has_its_exit_code() {
        for (code, exit) in [
            (Code::InvalidArgument, 1),
            (Code::NotFound, 3),
            (Code::AlreadyExists, 4),
            (Code::Aborted, 4),
            (Code::FailedPrecondition, 4),
            (Code::ResourceExhausted, 1),
            (Code::Unavailable, 5),
            (Code::DeadlineExceeded, 5),
            (Code::OutOfRange, 1),
            (Code::Internal, 1),
            (Code::Unauthenticated, 4),
            (Code::PermissionDenied, 4),
        ] {
            let error = CliError::call(Status::new(code, "because"));
            assert_eq!(error.exit_number(), exit, "{code:?}");
        }
        assert_eq!(CliError::Usage("no".into()).exit_number(), 2);
        assert_eq!(CliError::Closed.exit_number(), 0);
    }

    #[test]
    fn a_lost_write_names_the_id_to_repeat_it_with() {
        let error = CliError::write(Status::unavailable("closing"), "cli-7");
        assert!(error.to_string().contains("--request-id cli-7"), "{error}");
    }

    #[test]
    fn a_refused_write_is_not_said_to_be_unknown() {
        let error = CliError::write(Status::aborted("at revision 8"), "cli-7");
        assert!(!error.to_string().contains("--request-id"), "{error}");
    }

    #[test]
    fn fields_that_the_message_does_not_name_are_listed() {
        let details = ErrorDetails::with_bad_request_violation("service.name", "must not be empty");
        let status = Status::with_error_details(Code::InvalidArgument, "1 fault", details);
        let shown = CliError::call(status).to_string();
        assert_eq!(
            shown,
            "invalid argument: 1 fault\n  service.name: must not be empty"
        );
    }

    #[test]
    fn a_field_that_the_message_names_is_not_repeated() {
        let details = ErrorDetails::with_bad_request_violation("name", "must not be empty");
        let status = Status::with_error_details(
            Code::InvalidArgument,
            "field name: must not be empty",
            details,
        );
        assert_eq!(
            CliError::call(status).to_string(),
            "invalid argument: field name: must not be empty"
        );
    }
}
