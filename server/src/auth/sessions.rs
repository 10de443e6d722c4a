//! Sessions: whose credentials these are, found out once and watched from then on.
//!
//! ```text
//! access token -> signature and times, purely -> the session is alive, its user active  \
//! API key      -> its secret's hash           -> not revoked, its user active            > remembered, with a standing
//! certificate  ->                                a user of that name, active            /
//! ```
//!
//! A call with credentials that were seen waits for nothing and asks nobody. Once a second the store is asked what has
//! changed since its last epoch, a number that moves on with everything that is taken away; what is remembered of those users,
//! sessions and keys is looked at again and its standing changed, so open streams are told. That is how a revocation holds on
//! every server in time, however much is remembered. Where the store no longer knows what has changed, all of it is looked at
//! beside that.
//!
//! Signatures and certificates are verified before anything is remembered, by keys and authorities that the operator may
//! take away: what they vouched for is then over as well.
//!
//! While the store cannot be asked, what was verified stays good until it expires, so reads go on; credentials that were
//! not seen before are told that nobody knows.
//!
//! What a look-up finds may be old by the time it is remembered: the user may have been disabled, and all that is about them
//! looked at again, between its question and its answer. So a look-up asks again when the epoch moved on meanwhile.

mod asked;
mod known;
mod subject;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Fuse, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::keyring::KeyRing;
use super::session::{Authenticated, Authenticator, Credentials, NotSignedIn, Session};
use super::token::{Refused, TOKEN_BYTES};
use crate::tls::{Authorities, Certificates, ClientCertificate};
use crate::users::UserStore;
use asked::{Asked, Asking, From, Place};
use known::{Digest, Known, Look};
use subject::{Presented, Proof, Subject, unanswered};
pub(crate) use subject::{key_now, user_now};

/// How often the store is asked whether something was taken away.
const EVERY: Duration = Duration::from_secs(1);

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
    /// Who vouches for clients' certificates; where there is nobody, whoever hands them on does.
    certificates: Option<Certificates>,
    clock: fn() -> u64,
    known: Known,
    asked: Arc<Asked>,
    /// The epoch up to whose changes what is remembered was looked at last, or is now. A lock and no atomic: whoever
    /// remembers something and reads this has either been seen by the look, or sees that there was one.
    looked_at: Mutex<Option<u64>>,
    /// The epoch up to which that was done. Held during the look, so that there is one at a time.
    settled: tokio::sync::Mutex<Option<u64>>,
    /// Whether something may have changed of which nobody knows what. Relaxed: the task that is woken for it reads it.
    in_doubt: AtomicBool,
    changed: Notify,
    /// Where a test makes a look-up wait that has its answer and has not remembered it.
    #[cfg(test)]
    halt: tests::Halt,
}

/// What a call presents, as far as it can be told without the store.
enum Read {
    Presented(Presented),
    /// A token whose key another server may have made.
    OfUnknownKey(Arc<str>),
}

impl Read {
    fn from(&self) -> From {
        match self {
            Self::Presented(presented) => From::of(&presented.proof),
            Self::OfUnknownKey(_) => From::Stranger,
        }
    }
}

impl Sessions {
    /// Nothing is remembered yet. Somebody has to [`Self::run`] it.
    #[must_use]
    pub fn new(store: UserStore, ring: KeyRing, store_id: Arc<str>, clock: fn() -> u64) -> Self {
        Self::with_certificates(store, ring, store_id, None, clock)
    }

    /// The same, where clients may show certificates.
    #[must_use]
    pub fn with_certificates(
        store: UserStore,
        ring: KeyRing,
        store_id: Arc<str>,
        certificates: Option<Certificates>,
        clock: fn() -> u64,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            ring,
            store_id,
            certificates,
            clock,
            known: Known::default(),
            asked: Arc::default(),
            looked_at: Mutex::default(),
            settled: tokio::sync::Mutex::default(),
            in_doubt: AtomicBool::new(false),
            changed: Notify::new(),
            #[cfg(test)]
            halt: tests::Halt::default(),
        }))
    }

    /// Asks soon what has changed: something may have been taken away.
    pub fn hint(&self) {
        self.0.changed.notify_one();
    }

    /// Looks again at what was taken away or changed, here or elsewhere, so that it holds on this server from now on. Whether
    /// the store could be asked.
    pub async fn catch_up(&self) -> bool {
        let mut settled = self.0.settled.lock().await;
        let Ok(Ok(changes)) = timeout(PATIENCE, self.0.store.changes_since(*settled)).await else {
            tracing::debug!("whether a session was ended is not known now");
            return false;
        };
        if *settled == Some(changes.epoch) {
            return true;
        }
        let nothing_yet = settled.is_none();
        *lock(&self.0.looked_at) = Some(changes.epoch);
        let done = match changes.what {
            Some(what) => self.0.look_at(self.0.known.about(&what)).await,
            // Before the epoch is known for the first time nothing is remembered.
            None if nothing_yet => true,
            // Whoever waits would wait for all of it.
            None => {
                self.0.in_doubt.store(true, Ordering::Relaxed);
                self.0.changed.notify_one();
                true
            }
        };
        if done {
            *settled = Some(changes.epoch);
        }
        done
    }

    /// Keeps what is remembered true, for ever.
    pub async fn run(self) {
        let mut vouched = self.0.authorities();
        let doubting = Fuse::terminated();
        tokio::pin!(doubting);
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.0.changed.notified() => {}
                () = &mut doubting => {}
            }
            let Inner { known, ring, .. } = &*self.0;
            known.tidy((self.0.clock)(), |key| ring.has(key));
            self.clone().end_unvouched(&mut vouched).await;
            self.catch_up().await;
            if self.0.in_doubt.swap(false, Ordering::Relaxed) {
                tracing::info!("what has changed is not known: all sessions are looked at again");
                doubting.set(self.0.look_at_all().fuse());
            }
        }
    }

    /// Ends what certificates stand for that nobody vouches for any more, if those who do have changed.
    async fn end_unvouched(self, vouched: &mut Option<Authorities>) {
        let now = self.0.authorities();
        if now == *vouched {
            return;
        }
        // There may be many, with signatures to verify.
        let judging = tokio::task::spawn_blocking(move || {
            for (digest, certificate) in self.0.known.certificates() {
                if !self.0.is_vouched_for(&certificate) {
                    self.0.known.end(&digest, NotSignedIn::Bad);
                }
            }
        });
        match judging.await {
            Ok(()) => *vouched = now,
            Err(error) => tracing::error!(%error, "certificates could not be judged"),
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
        match self.0.read(credentials, now_ms) {
            Ok(read) => {
                let this = self.0.clone();
                let answer = async move {
                    match this.ask_once(digest, read, now_ms) {
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
    let (kind, shown) = match (&credentials.bearer, &credentials.certificate) {
        // Whoever sends a token means it, also over a connection with a certificate.
        (Some(bearer), _) => ("bearer ", bearer.as_bytes()),
        (None, Some(certificate)) => ("certificate ", &certificate.digest[..]),
        (None, None) => return None,
    };
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(kind.as_bytes());
    hash.update(shown);
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    Some(digest)
}

impl Inner {
    fn read(&self, credentials: &Credentials, now_ms: u64) -> Result<Read, NotSignedIn> {
        match (&credentials.bearer, &credentials.certificate) {
            (Some(bearer), _) if bearer.len() > TOKEN_BYTES => Err(NotSignedIn::Bad),
            (Some(bearer), _) => match Subject::of_key(bearer) {
                Some(subject) => Ok(Read::Presented(Presented {
                    subject,
                    proof: Proof::Secret,
                    expires_ms: None,
                })),
                None => match self.of_token(bearer, now_ms) {
                    Err(Refused::UnknownKey) => Ok(Read::OfUnknownKey(bearer.clone())),
                    read => read.map(Read::Presented).map_err(not_signed_in),
                },
            },
            (None, Some(certificate)) => {
                let presented = self.of_certificate(certificate, now_ms)?;
                Ok(Read::Presented(presented))
            }
            (None, None) => Err(NotSignedIn::Absent),
        }
    }

    fn of_token(&self, token: &str, now_ms: u64) -> Result<Presented, Refused> {
        let (claims, key) = self.ring.verify(token, &self.store_id, now_ms)?;
        let expires_ms = Some(claims.expires_ms());
        Ok(Presented {
            subject: Subject::Session(claims.session, claims.user),
            proof: Proof::Signature(key),
            expires_ms,
        })
    }

    fn of_certificate(
        &self,
        certificate: &ClientCertificate,
        now_ms: u64,
    ) -> Result<Presented, NotSignedIn> {
        if certificate.expires_ms <= now_ms {
            return Err(NotSignedIn::Expired);
        }
        if !self.is_vouched_for(certificate) {
            return Err(NotSignedIn::Bad);
        }
        Ok(Presented {
            subject: Subject::Certificate(certificate.name.clone()),
            proof: Proof::Certificate(certificate.clone()),
            expires_ms: Some(certificate.expires_ms),
        })
    }

    fn authorities(&self) -> Option<Authorities> {
        self.certificates.as_ref().map(Certificates::authorities)
    }

    fn is_vouched_for(&self, certificate: &ClientCertificate) -> bool {
        let certificates = self.certificates.as_ref();
        certificates.is_none_or(|now| now.vouch_for(certificate))
    }

    /// Whether it still counts.
    fn stands(&self, proof: &Proof) -> bool {
        match proof {
            Proof::Signature(key) => self.ring.has(key),
            Proof::Secret => true,
            Proof::Certificate(certificate) => self.is_vouched_for(certificate),
        }
    }

    /// Joins the look-up of these credentials, or begins it. It goes on if nobody waits for it any more.
    fn ask_once(self: &Arc<Self>, digest: Digest, read: Read, now_ms: u64) -> Authenticated {
        let from = read.from();
        let known = || self.known.get(&digest, now_ms);
        let begin = |place| self.clone().begin(digest, read, place);
        self.asked.join_or_begin(digest, from, known, begin)
    }

    fn begin(self: Arc<Self>, digest: Digest, read: Read, place: Place) -> Asking {
        let answer = tokio::spawn(async move {
            let _place = place;
            self.ask(digest, read).await
        });
        let ended_badly = |error| {
            tracing::error!(%error, "a look-up of credentials ended badly");
            Err(NotSignedIn::Unavailable("it went wrong".into()))
        };
        let answer = answer.map(move |answer| answer.unwrap_or_else(ended_badly));
        answer.boxed().shared()
    }

    async fn ask(&self, digest: Digest, read: Read) -> Answer {
        let turn = self.asked.turn(read.from()).await;
        let _turn = turn.ok_or_else(|| NotSignedIn::Unavailable("the server ends".into()))?;
        let presented = match read {
            Read::Presented(presented) => presented,
            Read::OfUnknownKey(token) => {
                self.ring.read_again().await;
                let read = self.of_token(&token, (self.clock)());
                read.map_err(not_signed_in)?
            }
        };
        let (subject, proof) = (presented.subject.clone(), presented.proof.clone());
        let mut looked_at = Some(self.epoch().await?);
        let found = subject.find(&self.store, (self.clock)()).await?;
        #[cfg(test)]
        self.halt.wait().await;
        let session = self.known.put(digest, presented, found, (self.clock)())?;
        // Whoever ends what is vouched for no more has either seen it, or was there before this.
        if !self.stands(&proof) {
            self.known.end(&digest, NotSignedIn::Bad);
            return Err(NotSignedIn::Bad);
        }
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

    /// The epoch up to whose changes what is remembered is looked at. Nothing is remembered before there is one, or the changes
    /// before the first would never be looked at.
    async fn epoch(&self) -> Result<u64, NotSignedIn> {
        if let Some(epoch) = *lock(&self.looked_at) {
            return Ok(epoch);
        }
        let mut settled = self.settled.lock().await;
        if let Some(epoch) = *settled {
            return Ok(epoch);
        }
        let epoch = self.store.epoch().await.map_err(|_| unanswered())?;
        *lock(&self.looked_at) = Some(epoch);
        *settled = Some(epoch);
        Ok(epoch)
    }

    /// Looks at some of what is remembered. Whether the store could be asked about all of it.
    async fn look_at(&self, looks: Vec<Look>) -> bool {
        let looks = looks.into_iter().map(|look| self.look(look));
        let looks = stream::iter(looks).buffer_unordered(LOOKS);
        looks.fold(true, async |all, one| all && one).await
    }

    /// Looks at all of it, until the store could be asked.
    async fn look_at_all(&self) {
        while !self.look_at(self.known.all()).await {
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self, (subject, digests): Look) -> bool {
        let mut looked_at = *lock(&self.looked_at);
        loop {
            let found = timeout(PATIENCE, subject.find(&self.store, (self.clock)())).await;
            let found = found.unwrap_or_else(|_| Err(unanswered()));
            if matches!(found, Err(NotSignedIn::Unavailable(_))) {
                return false;
            }
            for digest in &digests {
                // Whoever holds it is told by its standing.
                let _ = self.known.change(digest, found.clone());
            }
            // Somebody else may have looked meanwhile, and what they found is newer than what was put over it.
            let now = *lock(&self.looked_at);
            if now == looked_at {
                return true;
            }
            looked_at = now;
        }
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
