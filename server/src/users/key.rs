//! API keys, and the keys that servers of one database sign with.

use std::fmt;
use std::sync::Arc;

use super::secret::SecretHash;
use crate::auth::{Grant, UserId};

/// Names a key for ever. No secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub Arc<str>);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    /// What it is good for; none for all that its user may do.
    pub grants: Vec<Grant>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// When it was revoked, in milliseconds since 1970.
    pub revoked_ms: Option<u64>,
}

impl Key {
    /// Whether it is good, as far as itself goes.
    #[must_use]
    pub fn is_live(&self, now_ms: u64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expires| now_ms < expires)
    }
}

/// A key to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Which.
    pub id: KeyId,
    /// What it is for; unique among the live keys of its user, whatever the case.
    pub name: String,
    /// Whose.
    pub user: UserId,
    /// What it is good for; none for all that its user may do.
    pub grants: Vec<Grant>,
    /// What is kept of its secret.
    pub secret: SecretHash,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// A key that tokens are signed with. Only stores that many servers share keep any: see [`super::UserStore::signing_keys`].
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Which; stands in the tokens that it signed.
    pub id: String,
    /// The key itself.
    pub secret: Vec<u8>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ..)", self.id)
    }
}
