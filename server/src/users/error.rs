//! What can go wrong with users, told to whoever must act.

/// Why something was not done. Nothing of it was, unless it says that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// There is no such user, session or key.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Somebody else has it.
    #[error("the {field} {value:?} is taken")]
    AlreadyExists {
        /// Of what two are not allowed: `username`, `email`, `name`.
        field: &'static str,
        /// What was wanted.
        value: String,
    },
    /// It was changed since it was read.
    #[error("the version is {actual}, not {expected}: read it again and retry")]
    VersionMismatch {
        /// The version that was to be changed.
        expected: u64,
        /// The one that stands.
        actual: u64,
    },
    /// Nobody would be left who may do everything.
    #[error("this is the last active administrator: make another one first")]
    LastAdmin,
    /// The token is not the one that was shown, or there is an administrator by now.
    #[error("the setup token is not good: the server shows one while there is no administrator")]
    SetupToken,
    /// A bound was reached.
    #[error("{0}")]
    TooMany(String),
    /// The rows were not reached, or did not answer in time: a change may have been made or not.
    #[error("users cannot be reached: {0}")]
    Unavailable(String),
    /// There is no room; nothing was changed.
    #[error("there is no room for users: {0}")]
    Full(String),
    /// The rows are not what they should be, and asking again does not help.
    #[error("the rows of users are broken: {0}")]
    Broken(String),
}

/// Why the store of users could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum UserStoreError {
    /// A newer program has written it.
    #[error("{path} was written by a newer program, with schema {version}")]
    Newer {
        /// The file.
        path: String,
        /// The schema's number.
        version: i64,
    },
    /// It is no file of ours, or is damaged.
    #[error("{path} cannot be read: {what}. It is left as it is")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// It cannot be reached.
    #[error("the store of users cannot be opened: {0}")]
    Unavailable(String),
}
