//! What is kept of secrets: enough to recognise one, and too little to use it.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

/// A password as argon2 leaves it, in the text form that names its parameters and its salt.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Arc<str>);

impl PasswordHash {
    /// One that argon2 has made.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Its text, for argon2 alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The SHA-256 of a secret that cannot be guessed: a refresh token, an API key, a setup token. One that can be guessed, as
/// passwords can, must not be kept like this.
#[derive(Clone, Copy, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// That of a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(bytes)
    }

    /// One that was kept; `None` for bytes that are none.
    pub(super) fn kept(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl PartialEq for SecretHash {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        let differ = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differ) == 0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_secret_does_not_show_it() {
        let password = PasswordHash::new("$argon2id$v=19$abc");
        let secret = SecretHash::of(b"abc");
        let shown = format!("{password:?} {secret:?}");
        assert_eq!(shown, "PasswordHash(..) SecretHash(..)");
    }

    #[test]
    fn a_hash_is_that_of_its_secret_alone() {
        assert_eq!(SecretHash::of(b"abc"), SecretHash::of(b"abc"));
        assert_ne!(SecretHash::of(b"abc"), SecretHash::of(b"abd"));
        // From the standard.
        assert_eq!(SecretHash::of(b"abc").0[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(SecretHash::kept(&[0; 31]), None);
    }
}
