//! Sessions: each has one refresh token that is good, and remembers those that were.

use std::fmt;
use std::sync::Arc;

use super::user::User;
use crate::auth::UserId;

/// Names a session for ever. No secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub Arc<str>);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Whose it is, as they are now.
    pub user: User,
    /// Until when its refresh token is good, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Whether it was ended.
    pub ended: bool,
}

/// What became of a refresh token that somebody presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// It was the good one; the next one is from now on.
    Done {
        /// The session.
        session: SessionId,
        /// Whose it is.
        user: User,
    },
    /// It was exchanged before, so somebody has a copy. The session is ended.
    Reused {
        /// The session.
        session: SessionId,
        /// Whose it was.
        user_id: UserId,
    },
    /// Its session was ended, or its user may not sign in.
    Ended,
    /// Its time is over.
    Expired,
    /// There is none like it.
    Unknown,
}
