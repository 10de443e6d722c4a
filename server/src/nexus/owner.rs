//! With whose rights a run acts: its owner's, as they are at each attempt.
//!
//! A run keeps who began it, not what they might do then. A user who was disabled, a key that was revoked, a role that was taken
//! away end what a run may do, within a second. That a session expires does not: its user began the run, and still is somebody.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use kg_core::nexus::Failure;
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::failure;
use super::rows::OwnerId;
use crate::auth::sessions::{key_now, user_now};
use crate::auth::{Caller, NotSignedIn, Principal, UserId};
use crate::users::{KeyId, UserError, UserStore};

/// How long what was found counts.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Owners that are remembered; with more, those that no longer count are forgotten.
const REMEMBERED: usize = 10_000;

/// How long to wait before users who cannot be reached are asked for again. The attempt's timeout ends that.
const AGAIN: Duration = Duration::from_millis(500);

/// Keys of a user among which one is looked for by its name.
const KEYS: usize = 1_000;

/// The owners of runs. Clones share what is remembered.
#[derive(Clone)]
pub struct Owners(Arc<Kind>);

enum Kind {
    /// Nobody has to sign in: everybody may do everything.
    Trusted,
    Known {
        users: UserStore,
        clock: fn() -> u64,
        found: DashMap<OwnerId, (Instant, Answer)>,
    },
}

type Answer = Result<Arc<Principal>, Failure>;

impl Owners {
    /// Where nobody has to sign in.
    #[must_use]
    pub fn trusted() -> Self {
        Self(Arc::new(Kind::Trusted))
    }

    /// Where everybody has to.
    #[must_use]
    pub fn known(users: UserStore, clock: fn() -> u64) -> Self {
        Self(Arc::new(Kind::Known {
            users,
            clock,
            found: DashMap::new(),
        }))
    }

    /// How somebody who begins a run is known later.
    ///
    /// # Errors
    /// UNAVAILABLE while the users cannot be reached; UNAUTHENTICATED for a key that is no more.
    pub async fn of(&self, caller: &Caller) -> Result<OwnerId, Failure> {
        let Some(user) = caller.principal.user.clone() else {
            return Ok(OwnerId::Nobody);
        };
        let name = caller.principal.name.split_once('/').map(|(_, key)| key);
        let (Kind::Known { users, clock, .. }, Some(name)) = (&*self.0, name) else {
            return Ok(OwnerId::User(user));
        };
        let keys = users.list_keys(&user, false, None, KEYS, clock()).await;
        let keys = keys.map_err(|error| unreachable(&error))?;
        let key = keys.into_iter().find(|key| key.name == name);
        let key =
            key.ok_or_else(|| failure::of(Code::Unauthenticated, "the key is no longer good"))?;
        Ok(OwnerId::Key(user, key.id))
    }

    /// Them, as they are now. `name` is how records named them when the run began.
    ///
    /// # Errors
    /// UNAUTHENTICATED where they are nobody any more, PERMISSION_DENIED where they may not. Waits while users cannot be reached.
    pub async fn caller(&self, owner: &OwnerId, name: &str) -> Result<Caller, Failure> {
        let principal = match &*self.0 {
            Kind::Trusted => {
                let mut principal = Principal::trusted();
                principal.name = name.into();
                principal.user = match owner {
                    OwnerId::Nobody => None,
                    OwnerId::User(user) | OwnerId::Key(user, _) => Some(user.clone()),
                };
                Arc::new(principal)
            }
            Kind::Known {
                users,
                clock,
                found,
            } => {
                // Copied out: nothing of the map is held while the store is asked.
                let before = found.get(owner).map(|entry| entry.value().clone());
                match before.filter(|(when, _)| when.elapsed() < GOOD_FOR) {
                    Some((_, answer)) => answer?,
                    None => {
                        let answer = look_up(users, owner, *clock).await;
                        if found.len() >= REMEMBERED {
                            found.retain(|_, (when, _)| when.elapsed() < GOOD_FOR);
                        }
                        found.insert(owner.clone(), (Instant::now(), answer.clone()));
                        answer?
                    }
                }
            }
        };
        Ok(Caller {
            principal,
            source: None,
            session: None,
        })
    }

    /// Returns when whoever it is may no longer act at all, and why: an attempt that takes days must not outlive that.
    pub async fn no_longer(&self, owner: &OwnerId, name: &str) -> Failure {
        if matches!(&*self.0, Kind::Trusted) {
            return std::future::pending().await;
        }
        loop {
            sleep(GOOD_FOR).await;
            if let Err(why) = self.caller(owner, name).await {
                return why;
            }
        }
    }
}

async fn look_up(users: &UserStore, owner: &OwnerId, clock: fn() -> u64) -> Answer {
    loop {
        let found = match owner {
            OwnerId::Nobody => {
                let what = "the run was begun when nobody had to sign in: whose rights it has is not known";
                return Err(failure::of(Code::Unauthenticated, what));
            }
            OwnerId::User(id) => of_user(users, id).await,
            OwnerId::Key(_, id) => of_key(users, id, clock()).await,
        };
        match found {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::debug!(%error, "whose rights a run has is not known now");
                sleep(AGAIN).await;
            }
        }
    }
}

async fn of_user(users: &UserStore, id: &UserId) -> Result<Answer, UserError> {
    let credential = users.credential_of(id).await?;
    let Some(credential) = credential else {
        return Ok(Err(gone("user")));
    };
    Ok(match user_now(&credential.user) {
        Ok(found) => Ok(found.principal),
        Err(why) => Err(no_longer(&why)),
    })
}

async fn of_key(users: &UserStore, id: &KeyId, now_ms: u64) -> Result<Answer, UserError> {
    let Some((key, _, user)) = users.key(id).await? else {
        return Ok(Err(gone("key")));
    };
    Ok(match key_now(&key, &user, now_ms) {
        Ok(found) => Ok(found.principal),
        Err(why) => Err(no_longer(&why)),
    })
}

fn gone(what: &str) -> Failure {
    failure::of(
        Code::Unauthenticated,
        format!("the {what} that began the run is no more"),
    )
}

fn no_longer(why: &NotSignedIn) -> Failure {
    failure::of(
        Code::PermissionDenied,
        format!("whoever began the run may no longer: {why}"),
    )
}

fn unreachable(error: &UserError) -> Failure {
    tracing::debug!(%error, "whose key it is is not known now");
    failure::of(Code::Unavailable, "users cannot be reached now: try again")
}
