//! Secrets that the server makes: refresh tokens, API keys, the token of the first administrator.
//!
//! Each is 32 random bytes behind a few letters that say what it is, so that one that leaked is told by its looks. The
//! store keeps its SHA-256: of 256 random bits nobody tries them all, so a slow hash would protect nothing.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::users::SecretHash;

/// Random bytes of a secret.
const BYTES: usize = 32;

/// How refresh tokens begin.
pub const REFRESH: &str = "amr_";

/// How API keys begin; the key's id follows, and an underscore.
pub const API_KEY: &str = "amk_";

/// How the token of the first administrator begins.
pub const SETUP: &str = "ams_";

/// A secret in the clear, on its way to the only one who is shown it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Letters of one with a short prefix.
    pub const LENGTH: usize = 4 + 43;

    /// A new one.
    #[must_use]
    pub fn generate(prefix: &str) -> Self {
        let bytes = Zeroizing::new(random::<BYTES>());
        let encoded = Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes));
        Self(Zeroizing::new(format!("{prefix}{}", &*encoded)))
    }

    /// What the store keeps of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }

    /// The text to show, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Bytes that nobody can guess.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Linux cannot fail to give them once it has started; a server without them must not go on and guess.
    assert!(
        SystemRandom::new().fill(&mut bytes).is_ok(),
        "the system gives no random bytes"
    );
    bytes
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_say_what_they_are_but_not_in_debug() {
        let (one, other) = (Secret::generate(REFRESH), Secret::generate(REFRESH));
        assert!(one.expose().starts_with("amr_") && one.expose().len() == Secret::LENGTH);
        assert_ne!(one.expose(), other.expose());
        assert!(!format!("{one:?}").contains(one.expose()));
        assert_ne!(one.hash(), other.hash());
        assert_eq!(one.hash(), SecretHash::of(one.expose().as_bytes()));
    }
}
