//! Why a question has no answer.

use crate::error::Fault;
use crate::limits::PICTURE_ENTITIES;
use crate::model::EntityRef;

/// Why a question has no answer. The variants differ where the caller would act differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The question itself is wrong.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// It names something that does not exist.
    #[error("{0} does not exist")]
    NotFound(EntityRef),
    /// The picture would be too large to be of use to anybody.
    #[error(
        "the picture would show {0} entities, at most {PICTURE_ENTITIES} are drawn: choose a root and a depth"
    )]
    PictureTooLarge(usize),
}
