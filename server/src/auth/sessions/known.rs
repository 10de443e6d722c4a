//! What is remembered of credentials that were good. Only good ones are: whoever holds one that ceased to be is told, and
//! it is forgotten.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::watch;

use super::subject::{Found, Subject};
use crate::auth::{NotSignedIn, Session, Standing};

/// Credentials that are remembered, at most. Beyond that those are forgotten that nobody uses right now; they are looked up
/// when they come back.
pub const KNOWN: usize = 65_536;

/// How long credentials are remembered that nobody uses, in milliseconds.
pub const IDLE_MS: u64 = 10 * 60 * 1_000;

/// The SHA-256 of credentials.
pub type Digest = [u8; 32];

/// Credentials that were good when they were looked at last.
#[derive(Default)]
pub struct Known(DashMap<Digest, Entry>);

struct Entry {
    subject: Subject,
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
        subject: Subject,
        found: Found,
        now_ms: u64,
    ) -> Result<Arc<Session>, NotSignedIn> {
        if self.0.len() >= KNOWN {
            self.forget(now_ms, 0);
        }
        if self.0.len() >= KNOWN {
            let why = "as many sessions are in use as may be";
            return Err(NotSignedIn::Unavailable(why.into()));
        }
        let (sender, standing) = watch::channel(Standing::Good(found.principal));
        let session = Arc::new(Session {
            standing,
            expires_ms: found.expires_ms,
            id: subject.session().cloned(),
        });
        let entry = Entry {
            subject,
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
        if let Some((_, entry)) = self.0.remove(digest) {
            entry.end(why.clone());
        }
        Err(why)
    }

    /// All that is remembered, by what one question answers for.
    pub fn subjects(&self) -> Vec<(Subject, Vec<Digest>)> {
        let mut subjects: HashMap<_, (Subject, Vec<Digest>)> = HashMap::new();
        for entry in &self.0 {
            let subject = &entry.subject;
            let same = subjects.entry(subject.id());
            let (_, digests) = same.or_insert_with(|| (subject.clone(), Vec::new()));
            digests.push(*entry.key());
        }
        subjects.into_values().collect()
    }

    /// Ends what has expired, and forgets what nobody has used for long.
    pub fn tidy(&self, now_ms: u64) {
        self.forget(now_ms, IDLE_MS);
    }

    fn forget(&self, now_ms: u64, idle_ms: u64) {
        self.0.retain(|_, entry| {
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
    use crate::auth::{Principal, UserId};
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
        let subject = Subject::Session(session, UserId("u1".into()));
        let put = known.put(digest, subject, found("alice", expires_ms), NOW);
        put.expect("there is room")
    }

    fn standing(session: &Session) -> Standing {
        session.standing.borrow().clone()
    }

    #[test]
    fn whoever_holds_what_expires_is_told() {
        let known = Known::default();
        let session = put(&known, 0, Some(NOW + 10));
        known.tidy(NOW + 9);
        assert!(matches!(known.get(&[0; 32], NOW + 9), Some(Ok(_))));
        let late = known.get(&[0; 32], NOW + 10).map(|found| found.err());
        assert_eq!(late, Some(Some(NotSignedIn::Expired)));
        assert!(matches!(standing(&session), Standing::Good(_)));
        known.tidy(NOW + 10);
        assert_eq!(standing(&session), Standing::Over(NotSignedIn::Expired));
        assert_eq!(known.len(), 0);
    }

    #[test]
    fn what_nobody_uses_is_forgotten_and_what_somebody_holds_is_not() {
        let known = Known::default();
        let held = put(&known, 0, None);
        let watched = put(&known, 1, None).standing.clone();
        drop(put(&known, 2, None));
        known.tidy(NOW + IDLE_MS - 1);
        assert_eq!(known.len(), 3);
        known.tidy(NOW + IDLE_MS);
        assert_eq!(known.len(), 2);
        drop((held, watched));
        known.tidy(NOW + IDLE_MS);
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
        let subject = Subject::Certificate("bob".into());
        let refused = known.put([255; 32], subject, found("bob", None), NOW);
        assert!(matches!(refused, Err(NotSignedIn::Unavailable(_))));
        assert_eq!(known.len(), KNOWN);
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
