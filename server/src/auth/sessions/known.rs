//! What is remembered of credentials that were good. Only good ones are: whoever holds one that ceased to be is told, and
//! it is forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::watch;

use super::subject::{Found, Presented, Proof, Subject};
use crate::auth::{NotSignedIn, Session, Standing, UserId};
use crate::tls::ClientCertificate;
use crate::users::Changed;

/// Credentials that are remembered, at most. Beyond that those are forgotten that nobody uses right now; they are looked up
/// when they come back.
pub const KNOWN: usize = 65_536;

/// How long credentials are remembered that nobody uses, in milliseconds.
pub const IDLE_MS: u64 = 10 * 60 * 1_000;

/// The SHA-256 of credentials.
pub type Digest = [u8; 32];

/// What one question answers for: a subject, and the credentials that stand for it.
pub type Look = (Subject, Vec<Digest>);

/// Credentials that were good when they were looked at last.
#[derive(Default)]
pub struct Known(DashMap<Digest, Entry>);

struct Entry {
    subject: Subject,
    proof: Proof,
    session: Arc<Session>,
    standing: watch::Sender<Standing>,
    /// When it was asked for last. Relaxed everywhere: it orders nothing, and is right to within a second.
    used_ms: AtomicU64,
}

impl Entry {
    /// Whether a call or a stream holds it. The table has one share of the session, which has one receiver.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.session) > 1 || self.standing.receiver_count() > 1
    }

    fn has_expired(&self, now_ms: u64) -> bool {
        self.session.expires_ms.is_some_and(|end| end <= now_ms)
    }

    /// Whose it is.
    fn user(&self) -> Option<UserId> {
        match &*self.standing.borrow() {
            Standing::Good(principal) => principal.user.clone(),
            Standing::Over(_) => None,
        }
    }

    fn end(&self, why: NotSignedIn) {
        self.standing.send_replace(Standing::Over(why));
    }
}

impl Known {
    /// What is remembered of these credentials.
    pub fn get(&self, digest: &Digest, now_ms: u64) -> Option<Result<Arc<Session>, NotSignedIn>> {
        let entry = self.0.get(digest)?;
        if entry.has_expired(now_ms) {
            return Some(Err(NotSignedIn::Expired));
        }
        entry.used_ms.store(now_ms, Ordering::Relaxed);
        Some(Ok(entry.session.clone()))
    }

    /// Remembers what was found.
    ///
    /// # Errors
    /// When as many are in use as may be: one that is not remembered could not be told of its end.
    pub fn put(
        &self,
        digest: Digest,
        presented: Presented,
        found: Found,
        now_ms: u64,
    ) -> Result<Arc<Session>, NotSignedIn> {
        if self.0.len() >= KNOWN {
            self.forget(now_ms, 0, |_| true);
        }
        if self.0.len() >= KNOWN {
            let why = "as many sessions are in use as may be";
            return Err(NotSignedIn::Unavailable(why.into()));
        }
        let (sender, standing) = watch::channel(Standing::Good(found.principal));
        let ends = [found.expires_ms, presented.expires_ms];
        let session = Arc::new(Session {
            standing,
            expires_ms: ends.into_iter().flatten().min(),
            id: presented.subject.session().cloned(),
        });
        let entry = Entry {
            subject: presented.subject,
            proof: presented.proof,
            session: session.clone(),
            standing: sender,
            used_ms: AtomicU64::new(now_ms),
        };
        self.0.insert(digest, entry);
        Ok(session)
    }

    /// Makes what is remembered be what was found now.
    ///
    /// # Errors
    /// When that is nothing good: it is forgotten then.
    pub fn change(
        &self,
        digest: &Digest,
        found: Result<Found, NotSignedIn>,
    ) -> Result<(), NotSignedIn> {
        let why = match found {
            Ok(found) => {
                if let Some(entry) = self.0.get(digest) {
                    entry.standing.send_if_modified(|standing| {
                        let now = Standing::Good(found.principal);
                        let differs = *standing != now;
                        if differs {
                            *standing = now;
                        }
                        differs
                    });
                }
                return Ok(());
            }
            // It was good once: what is unknown now has been deleted.
            Err(NotSignedIn::Bad | NotSignedIn::Absent) => NotSignedIn::Revoked,
            Err(why) => why,
        };
        self.end(digest, why.clone());
        Err(why)
    }

    /// Forgets it, and tells whoever holds it why.
    pub fn end(&self, digest: &Digest, why: NotSignedIn) {
        if let Some((_, entry)) = self.0.remove(digest) {
            entry.end(why);
        }
    }

    /// All that is remembered, by what one question answers for.
    pub fn all(&self) -> Vec<Look> {
        self.looks(|_| true)
    }

    /// What of it these changes may be about.
    pub fn about(&self, changes: &[Changed]) -> Vec<Look> {
        let changes: HashSet<&Changed> = changes.iter().collect();
        if changes.is_empty() {
            return Vec::new();
        }
        self.looks(|entry| {
            let of_user = entry.user().map(Changed::User);
            let itself = match &entry.subject {
                Subject::Session(id, _) => Some(Changed::Session(id.clone())),
                Subject::Key(id, _) => Some(Changed::Key(id.clone())),
                Subject::Certificate(_) => None,
            };
            [of_user, itself]
                .iter()
                .flatten()
                .any(|may| changes.contains(may))
        })
    }

    /// Certificates that are remembered.
    pub fn certificates(&self) -> Vec<(Digest, ClientCertificate)> {
        let of = |entry: &Entry| match &entry.proof {
            Proof::Certificate(certificate) => Some(certificate.clone()),
            Proof::Signature(_) | Proof::Secret => None,
        };
        let entries = self.0.iter();
        entries
            .filter_map(|entry| Some((*entry.key(), of(&entry)?)))
            .collect()
    }

    fn looks(&self, is_meant: impl Fn(&Entry) -> bool) -> Vec<Look> {
        let mut subjects: HashMap<_, Look> = HashMap::new();
        for entry in self.0.iter().filter(|entry| is_meant(entry)) {
            let subject = &entry.subject;
            let same = subjects.entry(subject.id());
            let (_, digests) = same.or_insert_with(|| (subject.clone(), Vec::new()));
            digests.push(*entry.key());
        }
        subjects.into_values().collect()
    }

    /// Ends what has expired or is signed by a key that is there no more, and forgets what nobody has used for long.
    pub fn tidy(&self, now_ms: u64, has_key: impl Fn(&str) -> bool) {
        self.forget(now_ms, IDLE_MS, has_key);
    }

    fn forget(&self, now_ms: u64, idle_ms: u64, has_key: impl Fn(&str) -> bool) {
        self.0.retain(|_, entry| {
            if let Proof::Signature(key) = &entry.proof
                && !has_key(key)
            {
                entry.end(NotSignedIn::Bad);
                return false;
            }
            if entry.has_expired(now_ms) {
                entry.end(NotSignedIn::Expired);
                return false;
            }
            let used_ms = entry.used_ms.load(Ordering::Relaxed);
            entry.is_held() || now_ms.saturating_sub(used_ms) < idle_ms
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;
    use crate::users::SessionId;

    const NOW: u64 = 1_000_000;

    fn found(name: &str, expires_ms: Option<u64>) -> Found {
        let principal = Arc::new(Principal {
            name: name.into(),
            ..Principal::nobody()
        });
        Found {
            principal,
            expires_ms,
        }
    }

    fn put(known: &Known, n: usize, expires_ms: Option<u64>) -> Arc<Session> {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        let session = SessionId(n.to_string().into());
        let presented = Presented {
            subject: Subject::Session(session, UserId("u1".into())),
            proof: Proof::Signature("k1".into()),
            expires_ms,
        };
        let put = known.put(digest, presented, found("alice", None), NOW);
        put.expect("there is room")
    }

    fn standing(session: &Session) -> Standing {
        session.standing.borrow().clone()
    }

    #[test]
    fn whoever_holds_what_expires_is_told() {
        let known = Known::default();
        let session = put(&known, 0, Some(NOW + 10));
        known.tidy(NOW + 9, |_| true);
        assert!(matches!(known.get(&[0; 32], NOW + 9), Some(Ok(_))));
        let late = known.get(&[0; 32], NOW + 10).map(|found| found.err());
        assert_eq!(late, Some(Some(NotSignedIn::Expired)));
        assert!(matches!(standing(&session), Standing::Good(_)));
        known.tidy(NOW + 10, |_| true);
        assert_eq!(standing(&session), Standing::Over(NotSignedIn::Expired));
        assert_eq!(known.len(), 0);
    }

    #[test]
    fn what_nobody_uses_is_forgotten_and_what_somebody_holds_is_not() {
        let known = Known::default();
        let held = put(&known, 0, None);
        let watched = put(&known, 1, None).standing.clone();
        drop(put(&known, 2, None));
        known.tidy(NOW + IDLE_MS - 1, |_| true);
        assert_eq!(known.len(), 3);
        known.tidy(NOW + IDLE_MS, |_| true);
        assert_eq!(known.len(), 2);
        drop((held, watched));
        known.tidy(NOW + IDLE_MS, |_| true);
        assert_eq!(known.len(), 0);
    }

    #[test]
    fn a_full_table_forgets_what_nobody_holds_and_refuses_beyond_what_is_held() {
        let known = Known::default();
        let mut held: Vec<_> = (0..KNOWN / 2).map(|n| put(&known, n, None)).collect();
        for n in KNOWN / 2..KNOWN {
            drop(put(&known, n, None));
        }
        held.push(put(&known, KNOWN, None));
        assert_eq!(known.len(), KNOWN / 2 + 1);
        held.extend((KNOWN + 1..KNOWN * 3 / 2).map(|n| put(&known, n, None)));
        let bob = Presented {
            subject: Subject::Certificate("bob".into()),
            proof: Proof::Secret,
            expires_ms: None,
        };
        let refused = known.put([255; 32], bob, found("bob", None), NOW);
        assert!(matches!(refused, Err(NotSignedIn::Unavailable(_))));
        assert_eq!(known.len(), KNOWN);
    }

    #[test]
    fn what_a_key_signed_that_is_gone_is_over() {
        let known = Known::default();
        let session = put(&known, 0, None);
        known.tidy(NOW, |key| key == "k1");
        assert!(matches!(standing(&session), Standing::Good(_)));
        known.tidy(NOW, |key| key == "k2");
        assert_eq!(standing(&session), Standing::Over(NotSignedIn::Bad));
        assert_eq!(known.len(), 0);
    }

    #[test]
    fn what_ends_first_ends_it() {
        let known = Known::default();
        let presented = |expires_ms| Presented {
            subject: Subject::Certificate("bob".into()),
            proof: Proof::Secret,
            expires_ms,
        };
        for (shown, kept) in [(Some(7), Some(9)), (Some(9), Some(7)), (None, Some(7))] {
            let put = known.put([0; 32], presented(shown), found("bob", kept), NOW);
            assert_eq!(put.expect("there is room").expires_ms, Some(7));
        }
    }

    #[test]
    fn a_change_is_told_once_and_an_end_is_for_ever() {
        let known = Known::default();
        let session = put(&known, 0, None);
        let mut standing = session.standing.clone();
        known
            .change(&[0; 32], Ok(found("alice", None)))
            .expect("good");
        assert!(!standing.has_changed().expect("alive"));
        known
            .change(&[0; 32], Ok(found("bob", None)))
            .expect("good");
        assert!(standing.has_changed().expect("alive"));
        let ended = known.change(&[0; 32], Err(NotSignedIn::Bad));
        assert_eq!(ended, Err(NotSignedIn::Revoked));
        let over = Standing::Over(NotSignedIn::Revoked);
        assert_eq!(*standing.borrow_and_update(), over);
        assert!(known.get(&[0; 32], NOW).is_none());
    }
}
