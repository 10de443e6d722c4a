//! What credentials stand for, and whether the store says that it is good.

use std::sync::Arc;

use crate::auth::secret::API_KEY;
use crate::auth::{Grant, NotSignedIn, Principal, UserId};
use crate::tls::ClientCertificate;
use crate::users::{
    Key, KeyId, SecretHash, SessionId, SessionState, User, UserError, UserStatus, UserStore,
};

/// Letters of an API key, at most.
const KEY_LENGTH: usize = 256;

/// What credentials stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The session of an access token, and its user.
    Session(SessionId, UserId),
    /// An API key, and what is known of its secret.
    Key(KeyId, SecretHash),
    /// The name in a certificate.
    Certificate(Arc<str>),
}

/// What makes the subject be believed, apart from what the store says of it. May cease to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A signature by the key of this name.
    Signature(Arc<str>),
    /// A secret, which the store knows.
    Secret,
    /// A certificate that authorities vouch for.
    Certificate(ClientCertificate),
}

/// What a call presents.
#[derive(Clone, Debug)]
pub struct Presented {
    /// What it stands for.
    pub subject: Subject,
    /// Why that is believed.
    pub proof: Proof,
    /// Until when that is good, where it is known without the store.
    pub expires_ms: Option<u64>,
}

/// Something good.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whose it is, and what they may do.
    pub principal: Arc<Principal>,
    /// Until when, where that does not stand in the credentials.
    pub expires_ms: Option<u64>,
}

impl Subject {
    /// That of an API key, `amk_ID_SECRET`; `None` for what has another form.
    pub fn of_key(bearer: &str) -> Option<Self> {
        let (id, secret) = bearer.strip_prefix(API_KEY)?.split_once('_')?;
        if bearer.len() > KEY_LENGTH || id.is_empty() || secret.is_empty() {
            return None;
        }
        let secret = SecretHash::of(bearer.as_bytes());
        Some(Self::Key(KeyId(id.into()), secret))
    }

    /// Asks the store whether it is good.
    pub async fn find(&self, store: &UserStore, now_ms: u64) -> Result<Found, NotSignedIn> {
        match self {
            Self::Session(id, user) => {
                let state = store.session(id).await.map_err(unavailable)?;
                of_session(state.as_ref(), user, now_ms)
            }
            Self::Key(id, secret) => {
                let key = store.key(id).await.map_err(unavailable)?;
                of_key(key.as_ref(), secret, now_ms)
            }
            Self::Certificate(name) => {
                let user = certified(store, name).await.map_err(unavailable)?;
                of_certificate(user.as_ref())
            }
        }
    }

    /// What two credentials have in common that one question answers for both.
    pub fn id(&self) -> (u8, Arc<str>) {
        match self {
            Self::Session(id, _) => (0, id.0.clone()),
            Self::Key(id, _) => (1, id.0.clone()),
            Self::Certificate(name) => (2, name.clone()),
        }
    }

    /// The session, where it is one.
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::Session(id, _) => Some(id),
            Self::Key(..) | Self::Certificate(_) => None,
        }
    }
}

/// The user of this name, from the rows: a cached copy may be older than the epoch that made us ask.
async fn certified(store: &UserStore, name: &str) -> Result<Option<User>, UserError> {
    // What holds an `@` is an address, which a certificate's name is not compared with.
    if name.contains('@') {
        return Ok(None);
    }
    let credential = store.credential(name).await?;
    Ok(credential.map(|credential| credential.user))
}

fn of_session(
    state: Option<&SessionState>,
    user: &UserId,
    now_ms: u64,
) -> Result<Found, NotSignedIn> {
    let state = state.filter(|state| state.user.id == *user);
    let state = state.ok_or(NotSignedIn::Bad)?;
    if state.ended || state.user.status != UserStatus::Active {
        return Err(NotSignedIn::Revoked);
    }
    if state.expires_ms <= now_ms {
        return Err(NotSignedIn::Expired);
    }
    Ok(Found {
        principal: principal(&state.user.username, &state.user, state.user.grants.clone()),
        expires_ms: None,
    })
}

fn of_key(
    key: Option<&(Key, SecretHash, User)>,
    presented: &SecretHash,
    now_ms: u64,
) -> Result<Found, NotSignedIn> {
    // Hashes are compared in constant time.
    let (key, _, user) = key
        .filter(|(_, kept, _)| kept == presented)
        .ok_or(NotSignedIn::Bad)?;
    key_now(key, user, now_ms)
}

/// What a key is good for, whose secret was shown, now or before.
pub(crate) fn key_now(key: &Key, user: &User, now_ms: u64) -> Result<Found, NotSignedIn> {
    if key.revoked_ms.is_some() || user.status != UserStatus::Active {
        return Err(NotSignedIn::Revoked);
    }
    if !key.is_live(now_ms) {
        return Err(NotSignedIn::Expired);
    }
    let name = format!("{}/{}", user.username, key.name);
    Ok(Found {
        principal: principal(&name, user, grants_of_key(key, user)),
        expires_ms: key.expires_ms,
    })
}

fn of_certificate(user: Option<&User>) -> Result<Found, NotSignedIn> {
    let user = user.ok_or(NotSignedIn::Bad)?;
    user_now(user).map_err(|_| NotSignedIn::Bad)
}

/// What a user may do who proved who they are, now or before.
pub(crate) fn user_now(user: &User) -> Result<Found, NotSignedIn> {
    if user.status != UserStatus::Active {
        return Err(NotSignedIn::Revoked);
    }
    Ok(Found {
        principal: principal(&user.username, user, user.grants.clone()),
        expires_ms: None,
    })
}

/// What a key is good for: no more than its user is now.
fn grants_of_key(key: &Key, user: &User) -> Vec<Grant> {
    if key.grants.is_empty() {
        return user.grants.clone();
    }
    let has = |grant: &&Grant| user.grants.iter().any(|of_user| of_user.includes(grant));
    key.grants.iter().filter(has).cloned().collect()
}

fn principal(name: &str, user: &User, grants: Vec<Grant>) -> Arc<Principal> {
    Arc::new(Principal {
        name: name.into(),
        user: Some(user.id.clone()),
        grants,
    })
}

/// A stranger is not told why.
fn unavailable(error: UserError) -> NotSignedIn {
    tracing::debug!(%error, "whose credentials these are is not known now");
    unanswered()
}

/// Nobody knows.
pub fn unanswered() -> NotSignedIn {
    NotSignedIn::Unavailable("the store does not answer".into())
}

#[cfg(test)]
mod tests {
    use kg_core::access::Scope;

    use super::*;
    use crate::auth::Role;
    use crate::users::Profile;

    const NOW: u64 = 1_000;

    fn user(grants: Vec<Grant>) -> User {
        User {
            id: UserId("u1".into()),
            username: "alice".into(),
            email: String::new(),
            status: UserStatus::Active,
            grants,
            profile: Profile::default(),
            version: 1,
            created_ms: 0,
            updated_ms: 0,
        }
    }

    fn key(grants: Vec<Grant>) -> Key {
        Key {
            id: KeyId("k1".into()),
            name: "ci".into(),
            user: UserId("u1".into()),
            grants,
            created_ms: 0,
            expires_ms: None,
            revoked_ms: None,
        }
    }

    fn within(role: Role, prefix: &str) -> Grant {
        let scope = Scope {
            name_prefix: prefix.into(),
            ..Scope::default()
        };
        Grant {
            role,
            scope: Some(scope),
        }
    }

    fn found(key: Key, user: User) -> Result<Found, NotSignedIn> {
        let secret = SecretHash::of(b"secret");
        of_key(Some(&(key, secret, user)), &secret, NOW)
    }

    #[test]
    fn a_key_has_what_its_user_has_and_never_more() {
        let everywhere = Grant::everywhere;
        let writer = || user(vec![everywhere(Role::Writer), within(Role::Operator, "a/")]);
        let grants = |asked: Vec<Grant>| found(key(asked), writer()).expect("good").principal;
        assert_eq!(grants(Vec::new()).grants, writer().grants);
        let asked = vec![
            everywhere(Role::Reader),
            within(Role::Writer, "b/"),
            within(Role::Operator, "a/b"),
            within(Role::Operator, "b/"),
            everywhere(Role::Admin),
        ];
        assert_eq!(grants(asked.clone()).grants, asked[..3]);
        assert_eq!(&*grants(asked).name, "alice/ci");
        // What the user lost the key has lost, and does not get more for it.
        let nothing = found(key(vec![everywhere(Role::Reader)]), user(Vec::new()));
        assert!(nothing.expect("good").principal.grants.is_empty());
    }

    #[test]
    fn a_key_is_refused_when_it_is_revoked_expired_its_user_is_disabled_or_its_secret_is_another() {
        let good = || (key(Vec::new()), user(Vec::new()));
        let (mut revoked, owner) = good();
        revoked.revoked_ms = Some(1);
        assert_eq!(found(revoked, owner).err(), Some(NotSignedIn::Revoked));
        let (mut expired, owner) = good();
        expired.expires_ms = Some(NOW);
        assert_eq!(found(expired, owner).err(), Some(NotSignedIn::Expired));
        let (of_disabled, mut owner) = good();
        owner.status = UserStatus::Disabled;
        assert_eq!(found(of_disabled, owner).err(), Some(NotSignedIn::Revoked));
        let (key, owner) = good();
        let kept = (key, SecretHash::of(b"secret"), owner);
        let other = of_key(Some(&kept), &SecretHash::of(b"other"), NOW);
        assert_eq!(other.err(), Some(NotSignedIn::Bad));
        let none = of_key(None, &SecretHash::of(b"other"), NOW);
        assert_eq!(none.err(), Some(NotSignedIn::Bad));
    }

    #[test]
    fn a_session_is_of_its_user_and_ends_with_them() {
        let id = UserId("u1".into());
        let state = |ended, expires_ms| SessionState {
            user: user(Vec::new()),
            expires_ms,
            ended,
        };
        let judged = |state: &SessionState, id: &UserId| of_session(Some(state), id, NOW).err();
        assert_eq!(judged(&state(false, NOW + 1), &id), None);
        assert_eq!(judged(&state(false, NOW), &id), Some(NotSignedIn::Expired));
        assert_eq!(
            judged(&state(true, NOW + 1), &id),
            Some(NotSignedIn::Revoked)
        );
        let other = UserId("u2".into());
        assert_eq!(
            judged(&state(false, NOW + 1), &other),
            Some(NotSignedIn::Bad)
        );
        let mut disabled = state(false, NOW + 1);
        disabled.user.status = UserStatus::Disabled;
        assert_eq!(judged(&disabled, &id), Some(NotSignedIn::Revoked));
        assert_eq!(of_session(None, &id, NOW).err(), Some(NotSignedIn::Bad));
    }

    #[test]
    fn a_key_is_told_by_its_form() {
        let secret = "amk_0123_abc_def-g";
        let Some(Subject::Key(id, hash)) = Subject::of_key(secret) else {
            panic!("a key");
        };
        assert_eq!((&*id.0, hash), ("0123", SecretHash::of(secret.as_bytes())));
        for other in [
            "amk_", "amk__", "amk_1", "amk_1_", "amk__1", "amr_1_2", "", "a.b.c",
        ] {
            assert_eq!(Subject::of_key(other), None, "{other}");
        }
        assert_eq!(Subject::of_key(&format!("amk_1_{}", "a".repeat(300))), None);
    }
}
