//! Sessions: whose credentials these are, found out once and watched from then on.
//!
//! ```text
//! access token -> signature and times, purely -> the session is alive, its user active  \
//! API key      -> its secret's hash           -> not revoked, its user active            > remembered, with a standing
//! certificate  ->                                a user of that name, active            /
//! ```
//!
//! A call with credentials that were seen waits for nothing and asks nobody. Once a second the store is asked for its
//! epoch, one number that moves on with everything that is taken away; when it has moved, all that is remembered is looked
//! at again and its standing changed, so open streams are told. That is how a revocation holds on every server in time.
//!
//! While the store cannot be asked, what was verified stays good until it expires, so reads go on; credentials that were
//! not seen before are told that nobody knows.
//!
//! What a look-up finds may be old by the time it is remembered: the user may have been disabled, and everybody looked at
//! again, between its question and its answer. So a look-up asks again when the epoch moved on meanwhile.

mod known;
mod subject;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, Shared};
use futures::stream::{self, StreamExt as _};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::keyring::KeyRing;
use super::session::{Authenticated, Authenticator, Credentials, NotSignedIn, Session};
use super::token::{Refused, TOKEN_BYTES};
use crate::users::UserStore;
use known::{Digest, Known};
use subject::{Subject, unanswered};

/// How often the store is asked whether something was taken away.
const EVERY: Duration = Duration::from_secs(1);

/// Look-ups at once; more wait. Strangers can ask for as many keys as they make up.
const LOOK_UPS: usize = 32;

/// Looks at once at what is remembered, when something was taken away.
const LOOKS: usize = 16;

/// How long the store may take to answer such a question. It is asked again, maybe over a connection that is alive.
const PATIENCE: Duration = Duration::from_secs(2);

type Answer = Result<Arc<Session>, NotSignedIn>;

/// All sessions; clones share them.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    store: UserStore,
    ring: KeyRing,
    store_id: Arc<str>,
    clock: fn() -> u64,
    known: Known,
    /// Look-ups under way, each once.
    asked: Mutex<HashMap<Digest, Shared<BoxFuture<'static, Answer>>>>,
    look_ups: Semaphore,
    /// The epoch at which all that is remembered was looked at last, or is now. A lock and no atomic: whoever remembers
    /// something and reads this has either been seen by the look, or sees that there was one.
    looked_at: Mutex<Option<u64>>,
    /// The epoch at which that was done. Held during the look, so that there is one at a time.
    settled: tokio::sync::Mutex<Option<u64>>,
    changed: Notify,
    /// Where a test makes a look-up wait that has its answer and has not remembered it.
    #[cfg(test)]
    halt: tests::Halt,
}

/// What a call presents, as far as it can be told without the store.
enum Presented {
    Subject(Subject, Option<u64>),
    /// A token whose key another server may have made.
    OfUnknownKey(Arc<str>),
}

impl Sessions {
    /// Nothing is remembered yet. Somebody has to [`Self::run`] it.
    #[must_use]
    pub fn new(store: UserStore, ring: KeyRing, store_id: Arc<str>, clock: fn() -> u64) -> Self {
        Self(Arc::new(Inner {
            store,
            ring,
            store_id,
            clock,
            known: Known::default(),
            asked: Mutex::default(),
            look_ups: Semaphore::new(LOOK_UPS),
            looked_at: Mutex::default(),
            settled: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            #[cfg(test)]
            halt: tests::Halt::default(),
        }))
    }

    /// Looks at everything again soon: something may have been taken away.
    pub fn hint(&self) {
        self.0.changed.notify_one();
    }

    /// Looks at everything again if something was taken away, here or elsewhere, so that it holds on this server from now
    /// on. Whether the store could be asked.
    pub async fn catch_up(&self) -> bool {
        let mut settled = self.0.settled.lock().await;
        let Ok(Ok(epoch)) = timeout(PATIENCE, self.0.store.epoch()).await else {
            tracing::debug!("whether a session was ended is not known now");
            return false;
        };
        if *settled == Some(epoch) {
            return true;
        }
        *lock(&self.0.looked_at) = Some(epoch);
        let all = self.0.look_again().await;
        if all {
            *settled = Some(epoch);
        }
        all
    }

    /// Keeps what is remembered true, for ever.
    pub async fn run(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.0.changed.notified() => {}
            }
            self.0.known.tidy((self.0.clock)());
            self.catch_up().await;
        }
    }

    /// How many credentials are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.0.known.len()
    }
}

impl Authenticator for Sessions {
    fn authenticate(&self, credentials: &Credentials) -> Authenticated {
        let Some(digest) = digest(credentials) else {
            return Authenticated::Now(Err(NotSignedIn::Absent));
        };
        let now_ms = (self.0.clock)();
        if let Some(answer) = self.0.known.get(&digest, now_ms) {
            return Authenticated::Now(answer);
        }
        match self.0.presented(credentials, now_ms) {
            Ok(presented) => {
                let this = self.0.clone();
                let answer = async move {
                    match this.ask_once(digest, presented, now_ms) {
                        Authenticated::Now(answer) => answer,
                        Authenticated::Later(answer) => answer.await,
                    }
                };
                Authenticated::Later(answer.boxed())
            }
            Err(refused) => Authenticated::Now(Err(refused)),
        }
    }
}

/// What the table knows credentials by. Never they themselves.
fn digest(credentials: &Credentials) -> Option<Digest> {
    let (kind, text) = match (&credentials.bearer, &credentials.certificate) {
        // Whoever sends a token means it, also over a connection with a certificate.
        (Some(bearer), _) => ("bearer ", bearer),
        (None, Some(name)) => ("certificate ", name),
        (None, None) => return None,
    };
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(kind.as_bytes());
    hash.update(text.as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    Some(digest)
}

impl Inner {
    fn presented(&self, credentials: &Credentials, now_ms: u64) -> Result<Presented, NotSignedIn> {
        match (&credentials.bearer, &credentials.certificate) {
            (Some(bearer), _) if bearer.len() > TOKEN_BYTES => Err(NotSignedIn::Bad),
            (Some(bearer), _) => match Subject::of_key(bearer) {
                Some(subject) => Ok(Presented::Subject(subject, None)),
                None => match self.of_token(bearer, now_ms) {
                    Err(Refused::UnknownKey) => Ok(Presented::OfUnknownKey(bearer.clone())),
                    read => read.map_err(not_signed_in),
                },
            },
            (None, Some(name)) => Ok(Presented::Subject(Subject::Certificate(name.clone()), None)),
            (None, None) => Err(NotSignedIn::Absent),
        }
    }

    fn of_token(&self, token: &str, now_ms: u64) -> Result<Presented, Refused> {
        let claims = self.ring.verify(token, &self.store_id, now_ms)?;
        let expires_ms = claims.expires_ms();
        let subject = Subject::Session(claims.session, claims.user);
        Ok(Presented::Subject(subject, Some(expires_ms)))
    }

    /// Joins the look-up of these credentials, or begins it. It goes on if nobody waits for it any more.
    fn ask_once(
        self: &Arc<Self>,
        digest: Digest,
        presented: Presented,
        now_ms: u64,
    ) -> Authenticated {
        let mut asked = lock(&self.asked);
        if let Some(asked) = asked.get(&digest) {
            return Authenticated::Later(asked.clone().boxed());
        }
        // It may have ended since: it remembers first, then leaves.
        if let Some(answer) = self.known.get(&digest, now_ms) {
            return Authenticated::Now(answer);
        }
        let (this, leaves) = (self.clone(), Leaves(self.clone(), digest));
        let answer = tokio::spawn(async move {
            let _leaves = leaves;
            this.ask(digest, presented).await
        });
        let ended_badly = |error| {
            tracing::error!(%error, "a look-up of credentials ended badly");
            Err(NotSignedIn::Unavailable("it went wrong".into()))
        };
        let answer = answer.map(move |answer| answer.unwrap_or_else(ended_badly));
        let answer = answer.boxed().shared();
        asked.insert(digest, answer.clone());
        Authenticated::Later(answer.boxed())
    }

    async fn ask(&self, digest: Digest, presented: Presented) -> Answer {
        let turn = self.look_ups.acquire().await;
        let _turn = turn.map_err(|_| NotSignedIn::Unavailable("the server ends".into()))?;
        let (subject, token_expires_ms) = match presented {
            Presented::Subject(subject, expires_ms) => (subject, expires_ms),
            Presented::OfUnknownKey(token) => {
                self.ring.read_again().await;
                match self.of_token(&token, (self.clock)()) {
                    Ok(Presented::Subject(subject, expires_ms)) => (subject, expires_ms),
                    Ok(Presented::OfUnknownKey(_)) => return Err(NotSignedIn::Bad),
                    Err(refused) => return Err(not_signed_in(refused)),
                }
            }
        };
        let mut looked_at = *lock(&self.looked_at);
        let mut found = subject.find(&self.store, (self.clock)()).await?;
        found.expires_ms = found.expires_ms.or(token_expires_ms);
        #[cfg(test)]
        self.halt.wait().await;
        let session = self
            .known
            .put(digest, subject.clone(), found, (self.clock)())?;
        loop {
            let now = *lock(&self.looked_at);
            if now == looked_at {
                return Ok(session);
            }
            looked_at = now;
            let found = subject.find(&self.store, (self.clock)()).await;
            // What was found first may not stand any more, and nobody else will look.
            let found = self.known.change(&digest, found);
            found?;
        }
    }

    /// Looks at all that is remembered. Whether the store could be asked about all of it.
    async fn look_again(&self) -> bool {
        let looks = self
            .known
            .subjects()
            .into_iter()
            .map(|(subject, digests)| async move {
                let found = timeout(PATIENCE, subject.find(&self.store, (self.clock)())).await;
                (digests, found.unwrap_or_else(|_| Err(unanswered())))
            });
        let mut looks = stream::iter(looks).buffer_unordered(LOOKS);
        let mut all = true;
        while let Some((digests, found)) = looks.next().await {
            if matches!(found, Err(NotSignedIn::Unavailable(_))) {
                all = false;
                continue;
            }
            for digest in digests {
                // Whoever holds it is told by its standing.
                let _ = self.known.change(&digest, found.clone());
            }
        }
        all
    }
}

/// Ends a look-up, however it ends.
struct Leaves(Arc<Inner>, Digest);

impl Drop for Leaves {
    fn drop(&mut self) {
        lock(&self.0.asked).remove(&self.1);
    }
}

fn not_signed_in(refused: Refused) -> NotSignedIn {
    match refused {
        Refused::Expired => NotSignedIn::Expired,
        Refused::Malformed
        | Refused::UnknownKey
        | Refused::Forged
        | Refused::Foreign
        | Refused::Early => NotSignedIn::Bad,
    }
}

/// Whoever panicked while they held it has left it whole: what is done under these locks is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
