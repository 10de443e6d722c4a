//! The store of users. Clones are further handles of the same one.

use super::error::{UserError, UserStoreError};
use super::event::{EventFilter, EventId, PastEvent};
use super::key::{Key, KeyId, NewKey, SigningKey};
use super::names::{Email, Username};
use super::secret::{PasswordHash, SecretHash};
use super::session::{Rotated, SessionId, SessionState};
use super::user::{Credential, NewUser, Profile, User, UserChange, UserFilter};
use crate::auth::{Event, Grant, UserId};
use crate::storage::Opened;

#[derive(Clone)]
pub struct UserStore;

#[allow(unused_variables, reason = "a skeleton")]
impl UserStore {
    pub async fn open(opened: &Opened) -> Result<Self, UserStoreError> {
        Ok(Self)
    }
    pub async fn close(&self) {}
    /// Creates a user. With the hash of a setup token: the first administrator, if it is the one that was offered.
    pub async fn create(
        &self,
        new: NewUser,
        now_ms: u64,
        setup: Option<&SecretHash>,
    ) -> Result<User, UserError> {
        nothing()
    }
    /// A cheap look before a costly hash; only `create` decides.
    pub async fn is_taken(
        &self,
        username: &Username,
        email: Option<&Email>,
    ) -> Result<bool, UserError> {
        nothing()
    }
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, UserError> {
        nothing()
    }
    pub async fn user_by_username(&self, username: &str) -> Result<Option<User>, UserError> {
        nothing()
    }
    pub async fn credential(&self, name_or_email: &str) -> Result<Option<Credential>, UserError> {
        nothing()
    }
    pub async fn credential_of(&self, id: &UserId) -> Result<Option<Credential>, UserError> {
        nothing()
    }
    pub async fn update(
        &self,
        id: &UserId,
        expected: Option<u64>,
        change: UserChange,
        now_ms: u64,
    ) -> Result<User, UserError> {
        nothing()
    }
    pub async fn update_profile(
        &self,
        id: &UserId,
        expected: Option<u64>,
        profile: Profile,
        now_ms: u64,
    ) -> Result<User, UserError> {
        nothing()
    }
    pub async fn assign_role(
        &self,
        id: &UserId,
        expected: Option<u64>,
        grant: Grant,
        now_ms: u64,
    ) -> Result<User, UserError> {
        nothing()
    }
    pub async fn remove_role(
        &self,
        id: &UserId,
        expected: Option<u64>,
        grant: Grant,
        now_ms: u64,
    ) -> Result<User, UserError> {
        nothing()
    }
    /// Deletes a user, with all sessions and keys. Returns who it was.
    pub async fn delete(&self, id: &UserId, expected: Option<u64>) -> Result<User, UserError> {
        nothing()
    }
    /// Returns how many sessions were ended.
    pub async fn set_password(
        &self,
        id: &UserId,
        password: PasswordHash,
        keep: Option<&SessionId>,
        now_ms: u64,
    ) -> Result<u32, UserError> {
        nothing()
    }
    /// By name, after the name `after`; and how many there are on all pages together.
    pub async fn list(
        &self,
        filter: &UserFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<User>, u32), UserError> {
        nothing()
    }

    pub async fn begin_session(
        &self,
        id: &SessionId,
        user: &UserId,
        refresh: SecretHash,
        expires_ms: u64,
        now_ms: u64,
    ) -> Result<(), UserError> {
        nothing()
    }
    pub async fn rotate_session(
        &self,
        presented: &SecretHash,
        next: SecretHash,
        expires_ms: u64,
        now_ms: u64,
    ) -> Result<Rotated, UserError> {
        nothing()
    }
    pub async fn session(&self, id: &SessionId) -> Result<Option<SessionState>, UserError> {
        nothing()
    }
    /// Whether there was one to end.
    pub async fn end_session(&self, id: &SessionId, now_ms: u64) -> Result<bool, UserError> {
        nothing()
    }
    /// The session of this refresh token, also of one that was exchanged; `None` if there was none to end.
    pub async fn end_session_by_refresh(
        &self,
        presented: &SecretHash,
        now_ms: u64,
    ) -> Result<Option<(SessionId, UserId)>, UserError> {
        nothing()
    }
    /// Returns how many were ended.
    pub async fn end_sessions_of(
        &self,
        user: &UserId,
        keep: Option<&SessionId>,
        now_ms: u64,
    ) -> Result<u32, UserError> {
        nothing()
    }

    pub async fn create_key(&self, new: NewKey, now_ms: u64) -> Result<Key, UserError> {
        nothing()
    }
    pub async fn key(&self, id: &KeyId) -> Result<Option<(Key, SecretHash, User)>, UserError> {
        nothing()
    }
    /// One that was revoked already stays as it was.
    pub async fn revoke_key(&self, id: &KeyId, now_ms: u64) -> Result<Key, UserError> {
        nothing()
    }
    /// In the order of their ids, after one of them. What has ended is judged by `now_ms`.
    pub async fn list_keys(
        &self,
        user: &UserId,
        include_ended: bool,
        after: Option<&KeyId>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Key>, UserError> {
        nothing()
    }

    /// Moves on with every change that takes something away or changes grants. Cheap.
    pub async fn epoch(&self) -> Result<u64, UserError> {
        nothing()
    }

    /// Offers a token by which the first administrator is made; an earlier one is good no more. False: there is an
    /// administrator, and nothing is offered.
    pub async fn offer_setup(&self, token: SecretHash) -> Result<bool, UserError> {
        nothing()
    }
    pub async fn has_admin(&self) -> Result<bool, UserError> {
        nothing()
    }

    /// Newest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, UserError> {
        nothing()
    }
    /// Adds one, unless one that is as new as `unless_since_ms` or newer is there; then nothing is added. Returns all, newest first.
    pub async fn add_signing_key(
        &self,
        key: SigningKey,
        unless_since_ms: u64,
    ) -> Result<Vec<SigningKey>, UserError> {
        nothing()
    }
    /// Drops those that were made before.
    pub async fn drop_signing_keys(&self, before_ms: u64) -> Result<u32, UserError> {
        nothing()
    }

    pub async fn append_events(&self, events: &[Event]) -> Result<(), UserError> {
        nothing()
    }
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<(EventId, PastEvent)>, UserError> {
        nothing()
    }
}

fn nothing<T>() -> Result<T, UserError> {
    Err(UserError::Unavailable("not built yet".into()))
}
