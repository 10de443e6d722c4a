//! Why runs could not be read or written.

use super::ask::PATIENCE;
use crate::storage::{Fault, SideFileError};

/// Why runs could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunRowsError {
    /// They were not reached, or did not answer in time: what was asked for was done or not. Ask again.
    #[error("the runs cannot be reached: {0}")]
    Unavailable(String),
    /// There is no room.
    #[error("there is no room for runs: {0}")]
    Full(String),
    /// They are not what they should be, or closed; asking again does not help.
    #[error("the rows of runs are broken: {0}")]
    Broken(String),
}

impl From<Fault> for RunRowsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full(said) => Self::Full(said),
            Fault::Away(said) => Self::Unavailable(said),
            Fault::Disk(said) | Fault::Damaged(said) | Fault::Closed(said) | Fault::Wrong(said) => {
                Self::Broken(said)
            }
        }
    }
}

impl From<sqlx::Error> for RunRowsError {
    fn from(error: sqlx::Error) -> Self {
        Fault::of(&error).into()
    }
}

impl From<SideFileError> for RunRowsError {
    fn from(error: SideFileError) -> Self {
        match error {
            SideFileError::Unavailable(what) => Self::Unavailable(what),
            SideFileError::Full(what) => Self::Full(what),
            SideFileError::Damaged { .. } | SideFileError::Newer { .. } => {
                Self::Broken(error.to_string())
            }
        }
    }
}

pub(super) fn no_answer() -> RunRowsError {
    RunRowsError::Unavailable(format!("no answer in {} s", PATIENCE.as_secs()))
}

pub(super) fn closed() -> RunRowsError {
    RunRowsError::Broken("they are closed".into())
}
