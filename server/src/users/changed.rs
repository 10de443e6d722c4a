//! What a step of the epoch was about: who remembers it has to look at it again.

use std::sync::Arc;

use super::key::KeyId;
use super::session::SessionId;
use crate::auth::UserId;

/// Something that was taken away, or is other than it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Changed {
    /// A user, with all sessions and keys.
    User(UserId),
    /// A session, and nothing else of its user.
    Session(SessionId),
    /// An API key, and nothing else of its user.
    Key(KeyId),
}

impl Changed {
    /// As the rows name it.
    pub(super) fn kept(&self) -> (&'static str, &str) {
        match self {
            Self::User(id) => ("user", &id.0),
            Self::Session(id) => ("session", &id.0),
            Self::Key(id) => ("key", &id.0),
        }
    }

    /// What the rows name so.
    pub(super) fn of_kept(what: &str, id: &str) -> Option<Self> {
        let id: Arc<str> = id.into();
        match what {
            "user" => Some(Self::User(UserId(id))),
            "session" => Some(Self::Session(SessionId(id))),
            "key" => Some(Self::Key(KeyId(id))),
            _ => None,
        }
    }
}

/// What has changed since an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The epoch by now.
    pub epoch: u64,
    /// All of it, in order; `None` where that is not known any more, and everything may have changed.
    pub what: Option<Vec<Changed>>,
}
