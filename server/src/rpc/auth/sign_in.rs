//! Signing in and out.

use std::sync::Arc;
use std::time::Duration;

use amadeus_proto::v1;
use tokio::time::sleep;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::{Parts, Told};
use crate::auth::password::{self, Busy};
use crate::auth::secret::{REFRESH, Secret, hex, random};
use crate::auth::token::Claims;
use crate::auth::{
    Authenticated, Authenticator as _, Caller, Credentials, NotSignedIn, Principal, Session,
    Standing,
};
use crate::rpc::{from_proto, status, to_proto};
use crate::users::{
    Credential, Email, NewUser, PasswordHash, Rotated, SecretHash, SessionId, User, UserError,
    UserStatus, Username,
};

/// How long a refresh token is good, in milliseconds. With each one that is exchanged it begins anew.
const REFRESH_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Bytes of what somebody signs in by, at most: an e-mail address has no more.
const NAME_BYTES: usize = 254;

/// When to come again, if too many passwords wait.
const BUSY: Duration = Duration::from_secs(1);

/// Users without any role, beyond whom nobody makes one more of their own accord. Whoever registers has none until an
/// administrator gives them one, so most of these are people that wait, or nobody.
const WITHOUT_ROLE: usize = 100_000;

/// How long looking somebody up takes at least, and telling of a refusal. To read a row, to look at whoever it is of, and to
/// write an event with a name takes some tens of microseconds longer than to find nobody. Without these two pauses 200 tries
/// told the one from the other, and a fixed time for the whole would not hold while passwords wait for their turn.
const EVEN: Duration = Duration::from_millis(10);

/// What whoever signed in is given.
struct Pair {
    access: String,
    access_expires_ms: u64,
    refresh_expires_ms: u64,
}

impl Parts {
    pub(super) async fn register(
        &self,
        caller: &Caller,
        asked: v1::RegisterRequest,
    ) -> Result<v1::RegisterResponse, Status> {
        let username = Username::parse_new("username", &asked.username).map_err(status::fault)?;
        let email = (!asked.email.is_empty()).then(|| Email::parse("email", &asked.email));
        let email = email.transpose().map_err(status::fault)?;
        password::check("password", &asked.password).map_err(status::fault)?;
        let profile = from_proto::profile("profile", asked.profile).map_err(status::fault)?;
        let setup = asked.setup_token;
        let setup = (!setup.is_empty()).then(|| SecretHash::of(setup.as_bytes()));
        // Before anything is looked up: who asks for one name after the other learns which are taken.
        let attempt = self
            .attempts
            .begin_to_register(caller.source, self.now_ms());
        let _attempt = attempt.map_err(|early| {
            self.refuse_to_register(caller, "too many from this address");
            status::retry_after(early, Duration::from_millis(early.wait_ms))
        })?;
        let taken = self.users.is_taken(&username, email.as_ref()).await;
        if taken.map_err(status::users)? {
            return Err(status::taken("this name or address"));
        }
        let is_full = setup.is_none() && self.has_many_without_role().await?;
        if is_full {
            self.refuse_to_register(caller, "too many users have no role");
            return Err(status::users(UserError::TooMany(
                "too many who registered wait for a role: ask an administrator".into(),
            )));
        }
        let hash = self.passwords.hash(asked.password).await.map_err(busy)?;
        let new = NewUser {
            username,
            email,
            password: Some(hash),
            profile,
            grants: Vec::new(),
            status: UserStatus::Active,
        };
        let resource = format!("user/{}", new.username);
        let created = self.users.create(new, self.now_ms(), setup.as_ref()).await;
        let told = match &created {
            Ok(user) => Told {
                actor: Some(&user.username),
                reason: setup.map_or_else(String::new, |_| "the first administrator".into()),
                ..Told::done("register", resource)
            },
            Err(why) => Told::refused("register", resource, why_not(why)),
        };
        self.tell(caller, told);
        let user = created.map_err(status::users)?;
        Ok(v1::RegisterResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    async fn has_many_without_role(&self) -> Result<bool, Status> {
        let many = self.users.are_without_role(WITHOUT_ROLE).await;
        many.map_err(status::users)
    }

    /// The name is not repeated: whoever floods the log chooses it.
    fn refuse_to_register(&self, caller: &Caller, why: &str) {
        self.tell_repeatable(caller, Told::refused("register", String::new(), why));
    }

    pub(super) async fn login(
        &self,
        caller: &Caller,
        asked: v1::LoginRequest,
    ) -> Result<v1::LoginResponse, Status> {
        let password = Zeroizing::new(asked.password);
        from_proto::check_text("username", &asked.username, NAME_BYTES).map_err(status::fault)?;
        password::check_longest("password", &password).map_err(status::fault)?;
        let attempt = self
            .attempts
            .begin(&asked.username, caller.source, self.now_ms());
        let attempt = attempt.map_err(|early| {
            self.metrics.sign_in("waits");
            let told = Told::refused("login", String::new(), "too many tries");
            self.tell_repeatable(caller, told);
            status::retry_after(early, Duration::from_millis(early.wait_ms))
        })?;
        let even = sleep(EVEN);
        let found = self.users.credential(&asked.username).await;
        even.await;
        let found = found.map_err(|error| {
            self.metrics.sign_in("unavailable");
            status::users(error)
        })?;
        // Whoever may not sign in is looked at like somebody who is not there, and for as long.
        let may = found
            .as_ref()
            .filter(|c| c.user.status == UserStatus::Active);
        let hash = may.and_then(|credential| credential.password.as_ref());
        let is_right = self.passwords.verify(hash, password.to_string()).await;
        let is_right = is_right.map_err(|full| {
            self.metrics.sign_in("busy");
            busy(full)
        })?;
        let (Some(user), Some(hash), true) = (may.map(|c| &c.user), hash, is_right) else {
            let even = sleep(EVEN);
            attempt.failed(self.now_ms());
            self.refuse_login(caller, found.as_ref(), why_wrong(found.as_ref()));
            even.await;
            return Err(status::wrong_password());
        };
        attempt.succeeded();
        let hash = self.rehashed(user, hash, password.to_string()).await;
        let refresh = Secret::generate(REFRESH);
        let session = SessionId(hex(&random::<16>()).into());
        let pair = match self.begin(&session, user, &hash, &refresh).await {
            Ok(pair) => pair,
            // Disabled or deleted since, or the password was changed.
            Err(UserError::NotFound(_)) => {
                let why = "the user or the password is another by now";
                self.refuse_login(caller, found.as_ref(), why);
                return Err(status::wrong_password());
            }
            Err(error) => {
                self.metrics.sign_in("unavailable");
                return Err(status::users(error));
            }
        };
        self.metrics.sign_in("done");
        self.tell(
            caller,
            Told {
                actor: Some(&user.username),
                ..Told::done("login", format!("user/{}", user.username))
            },
        );
        Ok(v1::LoginResponse {
            header: self.header(),
            access_token: pair.access,
            refresh_token: refresh.expose().to_owned(),
            access_expires_at: Some(to_proto::timestamp(pair.access_expires_ms)),
            refresh_expires_at: Some(to_proto::timestamp(pair.refresh_expires_ms)),
            user: Some(to_proto::user(user)),
        })
    }

    /// Says of a sign-in that failed what really happened, to those who may know. A name that nobody has is not repeated:
    /// people type passwords into the wrong field.
    fn refuse_login(&self, caller: &Caller, found: Option<&Credential>, why: &str) {
        self.metrics.sign_in("wrong");
        let resource =
            found.map_or_else(String::new, |found| format!("user/{}", found.user.username));
        self.tell(caller, Told::refused("login", resource, why));
    }

    async fn begin(
        &self,
        session: &SessionId,
        user: &User,
        compared: &PasswordHash,
        refresh: &Secret,
    ) -> Result<Pair, UserError> {
        let now_ms = self.now_ms();
        let refresh_expires_ms = now_ms + REFRESH_MS;
        self.users
            .begin_session(
                session,
                &user.id,
                Some(compared),
                refresh.hash(),
                refresh_expires_ms,
                now_ms,
            )
            .await?;
        Ok(self.pair(session.clone(), user, refresh_expires_ms, now_ms))
    }

    fn pair(&self, session: SessionId, user: &User, refresh_expires_ms: u64, now_ms: u64) -> Pair {
        let claims = Claims::new(user.id.clone(), session, now_ms);
        Pair {
            access: self.ring.sign(self.context.graph.store_id(), &claims),
            access_expires_ms: claims.expires_ms(),
            refresh_expires_ms,
        }
    }

    /// The hash by which a password is kept from now on: a new one, where it was not made as hashes are made now. That this
    /// does not work out keeps nobody from signing in.
    async fn rehashed(&self, user: &User, hash: &PasswordHash, password: String) -> PasswordHash {
        if self.passwords.is_outdated(hash)
            && let Ok(new) = self.passwords.hash(password).await
        {
            match self.users.replace_hash(&user.id, hash, new.clone()).await {
                Ok(true) => return new,
                // Somebody has set another one: whoever begins a session by this one is told.
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a password keeps its old hash"),
            }
        }
        hash.clone()
    }

    pub(super) async fn validate(
        &self,
        caller: &Caller,
        request: Request<v1::ValidateTokenRequest>,
    ) -> Result<v1::ValidateTokenResponse, Status> {
        let own = bearer(request.metadata());
        let token = Some(request.into_inner().token).filter(|token| !token.is_empty());
        let session = match token.or(own) {
            Some(token) => self.look_up(caller, &token).await,
            None => without_token(caller),
        };
        let session = session.map_err(status::not_signed_in)?;
        let standing = session.standing.borrow().clone();
        let principal = match standing {
            Standing::Good(principal) => principal,
            Standing::Over(why) => return Err(status::not_signed_in(why)),
        };
        Ok(v1::ValidateTokenResponse {
            header: self.header(),
            valid: true,
            principal: principal.name.to_string(),
            user_id: principal
                .user
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            grants: to_proto::grants(&principal.grants),
            expires_at: session.expires_ms.map(to_proto::timestamp),
        })
    }

    async fn look_up(&self, caller: &Caller, token: &str) -> Result<Arc<Session>, NotSignedIn> {
        let credentials = Credentials {
            bearer: Some(token.into()),
            certificate: None,
            source: caller.source,
        };
        match self.sessions.authenticate(&credentials) {
            Authenticated::Now(found) => found,
            Authenticated::Later(found) => found.await,
        }
    }

    pub(super) async fn refresh(
        &self,
        caller: &Caller,
        asked: v1::RefreshTokenRequest,
    ) -> Result<v1::RefreshTokenResponse, Status> {
        let presented = presented(&asked.refresh_token)?;
        let next = Secret::generate(REFRESH);
        let now_ms = self.now_ms();
        let refresh_expires_ms = now_ms + REFRESH_MS;
        let rotated = self
            .users
            .rotate_session(&presented, next.hash(), refresh_expires_ms, now_ms)
            .await;
        let refused = match rotated.map_err(status::users)? {
            Rotated::Done { session, user } => {
                self.metrics.sign_in("refreshed");
                let pair = self.pair(session, &user, refresh_expires_ms, now_ms);
                return Ok(v1::RefreshTokenResponse {
                    header: self.header(),
                    access_token: pair.access,
                    refresh_token: next.expose().to_owned(),
                    access_expires_at: Some(to_proto::timestamp(pair.access_expires_ms)),
                    refresh_expires_at: Some(to_proto::timestamp(pair.refresh_expires_ms)),
                });
            }
            Rotated::Reused { session, user_id } => {
                self.metrics.sign_in("reused");
                let resource = format!("session/{session} of user {user_id}");
                let why = "a refresh token was used twice: the session is ended";
                self.tell(caller, Told::refused("refresh_reuse", resource, why));
                self.sessions.catch_up().await;
                return Err(status::not_signed_in(NotSignedIn::Revoked));
            }
            Rotated::Ended => NotSignedIn::Revoked,
            Rotated::Expired => NotSignedIn::Expired,
            Rotated::Unknown => NotSignedIn::Bad,
        };
        self.metrics.sign_in("not_refreshed");
        Err(status::not_signed_in(refused))
    }

    pub(super) async fn logout(
        &self,
        caller: &Caller,
        asked: v1::LogoutRequest,
    ) -> Result<v1::LogoutResponse, Status> {
        let now_ms = self.now_ms();
        let (ended, user) = match (asked.refresh_token.as_str(), &caller.session) {
            ("", None) => {
                let what = "this call is of no session: give a refresh token of the one to end";
                return Err(status::state(what));
            }
            ("", Some(session)) => {
                let ended = self.users.end_session(session, now_ms).await;
                (
                    u32::from(ended.map_err(status::users)?),
                    caller.principal.user.clone(),
                )
            }
            (token, _) => {
                let presented = presented(token)?;
                let ended = self.users.end_session_by_refresh(&presented, now_ms).await;
                match ended.map_err(status::users)? {
                    Some((_, user)) => (1, Some(user)),
                    None => (0, None),
                }
            }
        };
        let mut sessions_ended = ended;
        if let (true, Some(user)) = (asked.everywhere, &user) {
            let others = self.users.end_sessions_of(user, None, now_ms).await;
            sessions_ended += others.map_err(status::users)?;
        }
        if sessions_ended > 0 {
            let resource = user.map_or_else(String::new, |user| format!("user {user}"));
            let reason = match asked.everywhere {
                true => format!("everywhere: {sessions_ended} sessions"),
                false => String::new(),
            };
            let told = Told {
                reason,
                ..Told::done("logout", resource)
            };
            self.tell(caller, told);
            self.sessions.catch_up().await;
        }
        Ok(v1::LogoutResponse {
            header: self.header(),
            sessions_ended,
        })
    }
}

/// The session of a call that carries no token: by certificate, or where nobody has to sign in.
fn without_token(caller: &Caller) -> Result<Arc<Session>, NotSignedIn> {
    let principal = &*caller.principal;
    if *principal == Principal::nobody() {
        return Err(NotSignedIn::Absent);
    }
    Ok(Arc::new(Session::of(principal.clone())))
}

/// What is kept of a refresh token; a text that cannot be one is not looked up.
fn presented(token: &str) -> Result<SecretHash, Status> {
    if token.starts_with(REFRESH) && token.len() < 2 * Secret::LENGTH {
        return Ok(SecretHash::of(token.as_bytes()));
    }
    Err(status::not_signed_in(NotSignedIn::Bad))
}

/// What stands behind `Bearer` in a call's metadata.
fn bearer(metadata: &MetadataMap) -> Option<String> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    is_bearer.then(|| token.trim().to_owned())
}

fn why_wrong(found: Option<&Credential>) -> &'static str {
    match found {
        None => "nobody has the name",
        Some(found) if found.user.status != UserStatus::Active => "the user is disabled",
        Some(found) if found.password.is_none() => "the user has no password",
        Some(_) => "the password is wrong",
    }
}

fn why_not(error: &UserError) -> &'static str {
    match error {
        UserError::SetupToken => "the setup token is not good",
        UserError::AlreadyExists { .. } => "the name or the address is taken",
        UserError::NotFound(_)
        | UserError::VersionMismatch { .. }
        | UserError::LastAdmin
        | UserError::TooMany(_)
        | UserError::Unavailable(_)
        | UserError::Full(_)
        | UserError::Broken(_) => "the users could not be changed",
    }
}

fn busy(full: Busy) -> Status {
    status::retry_after(full, BUSY)
}
