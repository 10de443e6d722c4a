//! API keys: what programs sign in by.
//!
//! A key is good for what its grants say, and these say nothing of keys: whoever comes by one makes none, ends none and sees none.

use std::time::Duration;

use amadeus_proto::v1;
use kg_core::error::Fault;
use tonic::Status;

use super::{Parts, Told};
use crate::auth::secret::{API_KEY, Secret, hex, random};
use crate::auth::{Caller, Grant, NotSignedIn, Role, UserId};
use crate::rpc::{from_proto, status, to_proto};
use crate::users::{Key, KeyId, NewKey};

/// How long a key is good, if nothing is said.
const TTL: Duration = Duration::from_hours(90 * 24);

/// How long a key with an end is good at most. One that is to be good for longer may as well have none.
const TTL_MOST: Duration = Duration::from_hours(10 * 365 * 24);

/// Characters of a key's name.
const NAME_CHARS: usize = 64;

/// Keys on a page.
const PAGE_DEFAULT: usize = 100;
const PAGE: usize = 1_000;

impl Parts {
    pub(super) async fn create_key(
        &self,
        caller: &Caller,
        asked: v1::CreateApiKeyRequest,
    ) -> Result<v1::CreateApiKeyResponse, Status> {
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        check_name("name", &asked.name).map_err(status::fault)?;
        let ttl = ttl("ttl", asked.ttl.as_ref()).map_err(status::fault)?;
        let grants = from_proto::grants("grants", &asked.grants).map_err(status::fault)?;
        check_person(caller)?;
        let user = whose(caller, &asked.user_id)?;
        check_grants(caller, &grants)?;
        let now_ms = self.now_ms();
        let id = KeyId(hex(&random::<16>()).into());
        let secret = Secret::generate(&format!("{API_KEY}{id}_"));
        let new = NewKey {
            id,
            name: asked.name,
            user,
            grants,
            secret: secret.hash(),
            expires_ms: ttl.map(|ttl| now_ms + millis(ttl)),
        };
        let key = self
            .users
            .create_key(new, now_ms)
            .await
            .map_err(status::users)?;
        self.tell_key(caller, "create_api_key", &key, asked.reason);
        Ok(v1::CreateApiKeyResponse {
            header: self.header(),
            key: secret.expose().to_owned(),
            api_key: Some(shown(&key)),
        })
    }

    pub(super) async fn revoke_key(
        &self,
        caller: &Caller,
        asked: v1::RevokeApiKeyRequest,
    ) -> Result<v1::RevokeApiKeyResponse, Status> {
        from_proto::check_identity("", &asked.reason).map_err(status::fault)?;
        let id = key_id("key_id", &asked.key_id).map_err(status::fault)?;
        check_person(caller)?;
        let found = self.users.key(&id).await.map_err(status::users)?;
        // Of another's key nobody but an administrator is told that it is there.
        let may = |key: &Key| {
            caller.principal.has(Role::Admin) || caller.principal.user.as_ref() == Some(&key.user)
        };
        if !found.is_some_and(|(key, _, _)| may(&key)) {
            return Err(status::not_found(format!("the key {id}")));
        }
        let key = self.users.revoke_key(&id, self.now_ms()).await;
        let key = key.map_err(status::users)?;
        self.tell_key(caller, "revoke_api_key", &key, asked.reason);
        self.sessions.catch_up().await;
        Ok(v1::RevokeApiKeyResponse {
            header: self.header(),
            api_key: Some(shown(&key)),
        })
    }

    pub(super) async fn list_keys(
        &self,
        caller: &Caller,
        asked: v1::ListApiKeysRequest,
    ) -> Result<v1::ListApiKeysResponse, Status> {
        check_person(caller)?;
        let user = whose(caller, &asked.user_id)?;
        let after = Some(&asked.page_token).filter(|token| !token.is_empty());
        let after = after.map(|token| key_id("page_token", token));
        let after = after.transpose().map_err(status::fault)?;
        let size = match usize::try_from(asked.page_size).unwrap_or(PAGE) {
            0 => PAGE_DEFAULT,
            size => size.min(PAGE),
        };
        // One more tells whether this page is the last.
        let found = self
            .users
            .list_keys(
                &user,
                asked.include_ended,
                after.as_ref(),
                size + 1,
                self.now_ms(),
            )
            .await;
        let mut keys = found.map_err(status::users)?;
        let is_last = keys.len() <= size;
        keys.truncate(size);
        let next_page_token = match keys.last() {
            Some(last) if !is_last => last.id.to_string(),
            _ => String::new(),
        };
        Ok(v1::ListApiKeysResponse {
            header: self.header(),
            api_keys: keys.iter().map(shown).collect(),
            next_page_token,
        })
    }

    fn tell_key(&self, caller: &Caller, action: &'static str, key: &Key, reason: String) {
        let resource = format!("key/{} ({}) of user {}", key.id, key.name, key.user);
        let told = Told {
            reason,
            ..Told::done(action, resource)
        };
        self.tell(caller, told);
    }
}

/// Whose keys these are: the caller's own, or those of whom an administrator names.
fn whose(caller: &Caller, user_id: &str) -> Result<UserId, Status> {
    let own = caller.principal.user.as_ref();
    if user_id.is_empty() {
        let absent = || status::not_signed_in(NotSignedIn::Absent);
        return own.cloned().ok_or_else(absent);
    }
    let user = UserId(user_id.into());
    if own == Some(&user) || caller.principal.has(Role::Admin) {
        return Ok(user);
    }
    Err(status::denied(
        "only an administrator has to do with another's keys",
    ))
}

/// Refuses keys.
fn check_person(caller: &Caller) -> Result<(), Status> {
    if caller.is_by_key() {
        let what = "a key has nothing to do with keys: sign in by password or certificate";
        return Err(status::denied(what));
    }
    Ok(())
}

/// A key may do no more than whoever makes it.
fn check_grants(caller: &Caller, grants: &[Grant]) -> Result<(), Status> {
    let has = |grant: &Grant| {
        caller
            .principal
            .grants
            .iter()
            .any(|own| own.includes(grant))
    };
    match grants.iter().position(|grant| !has(grant)) {
        None => Ok(()),
        Some(i) => {
            let what = format!("grants[{i}] is more than you may do yourself");
            Err(status::denied(what))
        }
    }
}

fn check_name(field: &str, name: &str) -> Result<(), Fault> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if (1..=NAME_CHARS).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    let reason = format!("must have 1 to {NAME_CHARS} letters of ASCII, digits, '.', '_' and '-'");
    Err(Fault::new(field, reason))
}

/// How long a key is good; `None` for as long as nobody revokes it.
fn ttl(field: &str, given: Option<&prost_types::Duration>) -> Result<Option<Duration>, Fault> {
    let Some(given) = given else {
        return Ok(Some(TTL));
    };
    match Duration::try_from(*given) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(ttl) if (Duration::from_secs(1)..=TTL_MOST).contains(&ttl) => Ok(Some(ttl)),
        _ => {
            let days = TTL_MOST.as_secs() / 86_400;
            let reason =
                format!("must be between 1 s and {days} days, or 0 for a key without an end");
            Err(Fault::new(field, reason))
        }
    }
}

fn key_id(field: &str, given: &str) -> Result<KeyId, Fault> {
    let is_id = given.len() == 32 && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        return Ok(KeyId(given.into()));
    }
    // What was given may be a key with its secret, so it is not repeated.
    Err(Fault::new(
        field,
        "must be the id of a key, which has 32 hexadecimal digits",
    ))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn shown(key: &Key) -> v1::ApiKey {
    v1::ApiKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        user_id: key.user.to_string(),
        grants: to_proto::grants(&key.grants),
        created_at: Some(to_proto::timestamp(key.created_ms)),
        expires_at: key.expires_ms.map(to_proto::timestamp),
        revoked_at: key.revoked_ms.map(to_proto::timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_ninety_days_or_as_long_as_is_said_or_for_ever() {
        let of = |seconds, nanos| ttl("ttl", Some(&prost_types::Duration { seconds, nanos }));
        assert_eq!(ttl("ttl", None), Ok(Some(TTL)));
        assert_eq!(of(0, 0), Ok(None));
        assert_eq!(of(60, 0), Ok(Some(Duration::from_mins(1))));
        for (seconds, nanos) in [(-1, 0), (0, 1), (0, -1), (i64::MAX, 0)] {
            assert_eq!(of(seconds, nanos).expect_err("refused").field, "ttl");
        }
    }

    #[test]
    fn a_secret_that_was_given_for_an_id_is_not_repeated() {
        let fault = key_id("key_id", "amk_1234_secret").expect_err("refused");
        assert!(!fault.to_string().contains("secret"), "{fault}");
    }
}
