//! Passwords: hashed and verified by a few threads, one hash for each question, whether somebody has that name or not.
//!
//! argon2id with 19 MiB, two passes and one lane, the first of the choices that OWASP recommends. A hash takes tens of
//! milliseconds and a core, so at most [`AT_ONCE`] are made at once, and at most [`WAITING`] wait: who comes then is told
//! that it is busy. Memory is bounded by that: 38 MiB for the hashes, and a password for each that waits.
//!
//! A password in the clear is overwritten when its hash is made. What the transport read it from is not ours to overwrite.

use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use kg_core::error::Fault;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::secret::random;
use crate::users::PasswordHash;

/// Bytes of a password, at least.
pub const SHORTEST: usize = 12;

/// Bytes of a password, at most.
pub const LONGEST: usize = 1_024;

/// Hashes that are made at once.
pub const AT_ONCE: usize = 2;

/// Hashes that may wait to be made.
pub const WAITING: usize = 256;

/// There are too many passwords to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked now: try again")]
pub struct Busy;

/// What a hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1_024,
            passes: 2,
        }
    }
}

/// The threads that hash; clones share them.
#[derive(Clone)]
pub struct Passwords(Arc<Pool>);

struct Pool {
    params: Params,
    /// What is verified where nobody has that name: of the same cost, and of no password.
    nobodys: String,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new(Cost::default())
    }
}

impl Passwords {
    /// A pool whose hashes cost this.
    ///
    /// # Panics
    /// When argon2 does not know such a cost.
    #[must_use]
    pub fn new(cost: Cost) -> Self {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None);
        let params = params.expect("a cost that argon2 knows");
        Self(Arc::new(Pool {
            nobodys: nobodys(&params),
            params,
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }))
    }

    /// The hash of a password.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, password: String) -> Result<PasswordHash, Busy> {
        let password = Zeroizing::new(password);
        let params = self.0.params.clone();
        let made = self
            .in_turn(move || {
                let made = hasher(params).hash_password_with_salt(
                    password.as_bytes(),
                    &random::<{ phc::Salt::RECOMMENDED_LENGTH }>(),
                );
                made.map(|made| made.to_string())
            })
            .await?;
        // It fails where there is no memory for it.
        made.map(PasswordHash::new).map_err(|_| Busy)
    }

    /// Whether this is the password that was hashed. Without a hash it is not, and that takes as long.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(
        &self,
        hash: Option<&PasswordHash>,
        password: String,
    ) -> Result<bool, Busy> {
        let password = Zeroizing::new(password);
        let hash = hash.and_then(|hash| phc::PasswordHash::new(hash.expose()).ok());
        let is_somebodys = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => phc::PasswordHash::new(&self.0.nobodys).map_err(|_| Busy)?,
        };
        let params = self.0.params.clone();
        let is_right = self
            .in_turn(move || {
                hasher(params)
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
            .await?;
        Ok(is_right && is_somebodys)
    }

    /// Whether a hash should be made anew, because it has another cost than those that are made now.
    #[must_use]
    pub fn is_outdated(&self, hash: &PasswordHash) -> bool {
        let parsed = phc::PasswordHash::new(hash.expose());
        let cost = parsed.as_ref().ok().map(Params::try_from);
        let Some(Ok(cost)) = cost else { return true };
        let now = &self.0.params;
        [cost.m_cost(), cost.t_cost(), cost.p_cost()] != [now.m_cost(), now.t_cost(), now.p_cost()]
    }

    /// Works on a thread of its own when it is its turn. What has begun keeps its turn to the end, even if nobody waits for
    /// it any more: a caller who hangs up must not make room for more than there may be.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = self.0.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Busy)?;
        let turn = self.0.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Busy)?;
        let worked = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work()
        });
        worked.await.map_err(|_| Busy)
    }
}

/// Checks a new password.
///
/// # Errors
/// When it is too short or too long.
pub fn check(field: &str, password: &str) -> Result<(), Fault> {
    if (SHORTEST..=LONGEST).contains(&password.len()) {
        return Ok(());
    }
    let reason = format!(
        "has {} bytes, where {SHORTEST} to {LONGEST} are needed",
        password.len()
    );
    Err(Fault::new(field, reason))
}

/// Checks a password that is compared: how short it is, its hash decides.
///
/// # Errors
/// When it is too long.
pub fn check_longest(field: &str, password: &str) -> Result<(), Fault> {
    if password.len() <= LONGEST {
        return Ok(());
    }
    let reason = format!(
        "has {} bytes, at most {LONGEST} are allowed",
        password.len()
    );
    Err(Fault::new(field, reason))
}

fn hasher(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A hash that no password is known for, made without hashing.
fn nobodys(params: &Params) -> String {
    use base64ct::{Base64Unpadded, Encoding as _};
    let part = |bytes: &[u8]| Base64Unpadded::encode_string(bytes);
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.m_cost(),
        params.t_cost(),
        params.p_cost(),
        part(&random::<16>()),
        part(&random::<32>())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 64,
        passes: 1,
    };

    #[tokio::test]
    async fn the_right_password_is_right_and_no_other() {
        let passwords = Passwords::new(CHEAP);
        let hash = passwords.hash("correct horse".into()).await.expect("free");
        let verify = |password: &str| passwords.verify(Some(&hash), password.into());
        assert_eq!(verify("correct horse").await, Ok(true));
        for wrong in ["correct hors", "correct horsf", "Correct horse", ""] {
            assert_eq!(verify(wrong).await, Ok(false), "{wrong}");
        }
        assert_eq!(
            passwords.verify(None, "correct horse".into()).await,
            Ok(false)
        );
    }

    #[tokio::test]
    async fn two_hashes_of_one_password_differ_and_have_the_cost_of_now() {
        let passwords = Passwords::default();
        let one = passwords.hash("correct horse".into()).await.expect("free");
        let other = passwords.hash("correct horse".into()).await.expect("free");
        assert_ne!(one.expose(), other.expose());
        assert!(one.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!passwords.is_outdated(&one));
        let cheap = Passwords::new(CHEAP);
        assert!(cheap.is_outdated(&one));
        assert_eq!(
            cheap.verify(Some(&one), "correct horse".into()).await,
            Ok(true)
        );
    }

    #[test]
    fn what_stands_for_nobody_has_the_form_and_cost_of_any_hash() {
        let passwords = Passwords::new(CHEAP);
        let nobodys = PasswordHash::new(passwords.0.nobodys.as_str());
        assert!(!passwords.is_outdated(&nobodys));
        assert!(phc::PasswordHash::new(nobodys.expose()).is_ok());
    }

    #[tokio::test]
    async fn beyond_those_that_may_wait_it_is_busy_and_later_free_again() {
        let passwords = Passwords::new(CHEAP);
        let turns = passwords.0.turns.clone();
        let held = turns.acquire_many_owned(2).await.expect("open");
        let mut waiting: Vec<_> = (0..AT_ONCE + WAITING)
            .map(|_| Box::pin(passwords.verify(None, "correct horse".into())))
            .collect();
        for one in &mut waiting {
            assert!(futures::poll!(one).is_pending());
        }
        assert_eq!(passwords.verify(None, String::new()).await, Err(Busy));
        // One that hangs up while it waits leaves its place.
        drop(waiting.pop());
        waiting.push(Box::pin(passwords.verify(None, "correct horse".into())));
        drop(held);
        for answer in futures::future::join_all(waiting).await {
            assert_eq!(answer, Ok(false));
        }
        assert_eq!(passwords.verify(None, String::new()).await, Ok(false));
    }

    #[test]
    fn the_length_of_a_password_is_bounded_both_ways() {
        assert!(check("password", &"x".repeat(12)).is_ok());
        assert!(check("password", &"x".repeat(1_024)).is_ok());
        for length in [0, 11, 1_025] {
            let fault = check("new_password", &"x".repeat(length)).expect_err("refused");
            assert_eq!(fault.field, "new_password");
            assert!(!fault.reason.contains('x'), "{}", fault.reason);
        }
    }
}
