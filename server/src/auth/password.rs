//! Passwords: made and compared by whoever has the time for it, which is never the thread of a call.

use futures::future::BoxFuture;

use crate::users::PasswordHash;

/// Too many wait for their turn already: try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being looked at: try again later")]
pub struct Busy;

/// Makes and compares what is kept of passwords, on threads of its own.
pub trait Passwords: Send + Sync {
    /// What is kept of a password.
    fn hash(&self, password: String) -> BoxFuture<'_, Result<PasswordHash, Busy>>;

    /// Whether it is the password of which that is kept.
    fn verify(&self, password: String, kept: PasswordHash) -> BoxFuture<'_, Result<bool, Busy>>;
}
