//! Access tokens: what a signed-in caller sends with every call, checked without a look at the store.
//!
//! ```text
//! base64url(header) . base64url(claims) . base64url(HMAC-SHA-256 of what stands before)
//! ```
//!
//! They look like JSON Web Tokens and are less: there is one algorithm and one header for each key, so a header is not read
//! but compared, and there is nothing to be talked into. That is also why no library does it. `jsonwebtoken` 10 needs
//! aws-lc, a second provider beside ring, or the crate `rsa`, which stands under an advisory (RUSTSEC-2023-0071); version 9
//! is left behind.
//!
//! A token is good for a quarter of an hour and only as long as its session is: see `sessions`. Its end has no leeway. The
//! servers that make tokens are those that check them, and a clock that is ahead only asks for a refresh early. A token
//! from more than a minute ahead is refused: its maker's clock is wrong, and it would be good for too long.

use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

use super::principal::UserId;
use super::secret::{hex, random};
use crate::users::SessionId;

/// How long a token is good, in seconds.
pub const LIFETIME_S: u64 = 15 * 60;

/// How far ahead the clock of a token's maker may be, in seconds.
pub const AHEAD_S: u64 = 60;

/// Bytes of a token, at most. Ours have about 500.
pub const TOKEN_BYTES: usize = 4 * 1024;

/// Bytes of a key, at least: those of the hash, as RFC 7518 asks.
pub const KEY_BYTES: usize = 32;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who signed in.
    pub user: UserId,
    /// The session that it is of.
    pub session: SessionId,
    /// Since when it is good, in seconds since 1970.
    pub issued_s: u64,
    /// Until when, in seconds since 1970.
    pub expires_s: u64,
}

impl Claims {
    /// Those of a token that is made now.
    #[must_use]
    pub fn new(user: UserId, session: SessionId, now_ms: u64) -> Self {
        let issued_s = now_ms / 1_000;
        Self {
            user,
            session,
            issued_s,
            expires_s: issued_s + LIFETIME_S,
        }
    }

    /// Until when the token is good, in milliseconds since 1970.
    #[must_use]
    pub fn expires_ms(&self) -> u64 {
        self.expires_s.saturating_mul(1_000)
    }
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none of ours by its form.
    #[error("malformed")]
    Malformed,
    /// It may be ours, but the key that it names is not known here.
    #[error("of an unknown key")]
    UnknownKey,
    /// Its signature is not of the key that it names.
    #[error("forged")]
    Forged,
    /// It is of another store.
    #[error("of another store")]
    Foreign,
    /// It comes from the future.
    #[error("from the future")]
    Early,
    /// It was good.
    #[error("expired")]
    Expired,
}

/// A key that signs tokens.
#[derive(Clone)]
pub struct SigningKey {
    id: Arc<str>,
    key: hmac::Key,
    /// The header of its tokens, as it stands in them.
    header: Arc<str>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// A key of these bytes; `None` for fewer than [`KEY_BYTES`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < KEY_BYTES {
            return None;
        }
        let id: Arc<str> = key_id(bytes).into();
        let header = Header {
            alg: ALGORITHM,
            kid: &id,
            typ: TYPE,
        };
        Some(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, bytes),
            header: encoded(&header).into(),
            id,
        })
    }

    /// Its name in the tokens that it signed.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// A token that says this, of this store.
    #[must_use]
    pub fn sign(&self, store_id: &str, claims: &Claims) -> String {
        let token_id = hex(&random::<16>());
        let written = Written {
            iss: store_id,
            aud: store_id,
            sub: &claims.user.0,
            sid: &claims.session.0,
            iat: claims.issued_s,
            exp: claims.expires_s,
            jti: &token_id,
        };
        let mut token = format!("{}.{}", self.header, encoded(&written));
        let signature = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        token.push_str(&Base64UrlUnpadded::encode_string(signature.as_ref()));
        token
    }
}

/// What a token says, if one of these keys signed it for this store and it is good now; and the name of that key.
///
/// # Errors
/// [`Refused`].
pub fn verify(
    token: &str,
    keys: &[SigningKey],
    store_id: &str,
    now_ms: u64,
) -> Result<(Claims, Arc<str>), Refused> {
    if token.len() > TOKEN_BYTES {
        return Err(Refused::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused::Malformed);
    };
    let Some(key) = keys.iter().find(|key| *key.header == *header) else {
        return Err(of_no_key(header));
    };
    let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|_| Refused::Malformed)?;
    let signed = &token[..header.len() + 1 + claims.len()];
    // In constant time.
    hmac::verify(&key.key, signed.as_bytes(), &signature).map_err(|_| Refused::Forged)?;
    let claims = Base64UrlUnpadded::decode_vec(claims).map_err(|_| Refused::Malformed)?;
    let read: Written = serde_json::from_slice(&claims).map_err(|_| Refused::Malformed)?;
    Ok((judge(&read, store_id, now_ms / 1_000)?, key.id.clone()))
}

/// Judges what one of our keys has signed.
fn judge(read: &Written, store_id: &str, now_s: u64) -> Result<Claims, Refused> {
    if read.iss != store_id || read.aud != store_id {
        return Err(Refused::Foreign);
    }
    if read.iat > now_s.saturating_add(AHEAD_S) || read.exp > read.iat.saturating_add(LIFETIME_S) {
        return Err(Refused::Early);
    }
    if read.exp <= now_s {
        return Err(Refused::Expired);
    }
    Ok(Claims {
        user: UserId(read.sub.into()),
        session: SessionId(read.sid.into()),
        issued_s: read.iat,
        expires_s: read.exp,
    })
}

/// Tells a key that another server may have made since from what is nothing of ours.
fn of_no_key(header: &str) -> Refused {
    let decoded = Base64UrlUnpadded::decode_vec(header).unwrap_or_default();
    match serde_json::from_slice::<Header>(&decoded) {
        Ok(read) if read.alg == ALGORITHM && read.typ == TYPE && encoded(&read) == header => {
            Refused::UnknownKey
        }
        Ok(_) | Err(_) => Refused::Malformed,
    }
}

/// A key's name is made of the key, so that servers agree on it and no two keys share one. It does not lead back: a key
/// has 256 bits.
fn key_id(bytes: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"the name of a token key: ");
    hash.update(bytes);
    hex(&hash.finish().as_ref()[..8])
}

const ALGORITHM: &str = "HS256";

/// What RFC 9068 calls an access token.
const TYPE: &str = "at+jwt";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    sid: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
}

fn encoded(value: &impl Serialize) -> String {
    // Structs of text and numbers can be written as JSON.
    let json = serde_json::to_vec(value).unwrap_or_default();
    Base64UrlUnpadded::encode_string(&json)
}

#[cfg(test)]
mod tests;
