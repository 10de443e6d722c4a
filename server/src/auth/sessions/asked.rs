//! Look-ups under way: each of some credentials once, so many at most, and so many of them at a time.
//!
//! Whoever makes up keys gets as many look-ups as they make up, each of which asks the store. So those whose credentials nothing
//! vouches for yet have places and turns of their own: they hold up each other and nobody whose signature was verified.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt as _, Shared};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::known::Digest;
use super::subject::Proof;
use super::{Answer, lock};
use crate::auth::{Authenticated, NotSignedIn};

/// Look-ups of verified credentials that may be under way. Beyond it whoever comes is told to come again.
const VERIFIED: usize = 16_384;

/// Those of them that ask the store at once; the others wait.
const VERIFIED_TURNS: usize = 32;

/// The same of strangers. As many as the store answers in a second or two.
pub const STRANGERS: usize = 1_024;

/// Few enough to leave the store's connections to others.
pub const STRANGER_TURNS: usize = 8;

/// What is known of whoever presents credentials before the store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A token whose signature was verified, or a certificate.
    Verified,
    /// Whoever sends a key, or a token of a key that is not known here.
    Stranger,
}

impl From {
    /// Of whom there is this proof.
    pub fn of(proof: &Proof) -> Self {
        match proof {
            Proof::Signature(_) | Proof::Certificate(_) => Self::Verified,
            Proof::Secret => Self::Stranger,
        }
    }
}

/// An answer that many may wait for.
pub type Asking = Shared<BoxFuture<'static, Answer>>;

/// The look-ups under way.
pub struct Asked {
    places: Mutex<Places>,
    verified: Semaphore,
    strangers: Semaphore,
}

#[derive(Default)]
struct Places {
    all: HashMap<Digest, (From, Asking)>,
    strangers: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            places: Mutex::default(),
            verified: Semaphore::new(VERIFIED_TURNS),
            strangers: Semaphore::new(STRANGER_TURNS),
        }
    }
}

impl Asked {
    /// Joins the look-up of these credentials that is under way, or begins one; where there is no place, whoever asks is told so.
    /// `known` is asked in between: a look-up remembers what it found before it leaves its place.
    pub fn join_or_begin(
        self: &Arc<Self>,
        digest: Digest,
        from: From,
        known: impl FnOnce() -> Option<Answer>,
        begin: impl FnOnce(Place) -> Asking,
    ) -> Authenticated {
        let mut places = lock(&self.places);
        if let Some((_, asking)) = places.all.get(&digest) {
            return Authenticated::Later(asking.clone().boxed());
        }
        if let Some(answer) = known() {
            return Authenticated::Now(answer);
        }
        let has_room = match from {
            From::Stranger => places.strangers < STRANGERS,
            From::Verified => places.all.len() - places.strangers < VERIFIED,
        };
        if !has_room {
            return Authenticated::Now(Err(NotSignedIn::Busy));
        }
        let asking = begin(Place(self.clone(), digest));
        places.all.insert(digest, (from, asking.clone()));
        places.strangers += usize::from(from == From::Stranger);
        Authenticated::Later(asking.boxed())
    }

    /// Waits until the store may be asked; `None` when the server ends.
    pub async fn turn(&self, from: From) -> Option<SemaphorePermit<'_>> {
        let turns = match from {
            From::Verified => &self.verified,
            From::Stranger => &self.strangers,
        };
        turns.acquire().await.ok()
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        lock(&self.places).all.len()
    }
}

/// A look-up's place, which it leaves however it ends.
pub struct Place(Arc<Asked>, Digest);

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock(&self.0.places);
        if let Some((From::Stranger, _)) = places.all.remove(&self.1) {
            places.strangers -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins a look-up that never ends; its place, or that there was none.
    fn begin(asked: &Arc<Asked>, from: From, n: usize) -> Result<Place, NotSignedIn> {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        let mut held = None;
        let begun = asked.join_or_begin(
            digest,
            from,
            || None,
            |place| {
                held = Some(place);
                futures::future::pending().boxed().shared()
            },
        );
        match begun {
            Authenticated::Now(answer) => Err(answer.expect_err("there is no place")),
            Authenticated::Later(_) => Ok(held.expect("it begins")),
        }
    }

    #[test]
    fn strangers_have_so_many_places_and_take_none_of_the_others() {
        let asked = Arc::new(Asked::default());
        let stranger = |n| begin(&asked, From::Stranger, n);
        let mut held: Vec<Place> = (0..STRANGERS).map(|n| stranger(n).expect("room")).collect();
        assert_eq!(stranger(STRANGERS).err(), Some(NotSignedIn::Busy));
        let verified = (0..VERIFIED).map(|n| begin(&asked, From::Verified, n + 1_000_000));
        let verified: Vec<Place> = verified.map(|place| place.expect("room")).collect();
        let one_more = begin(&asked, From::Verified, 0xff_ffff);
        assert_eq!(one_more.err(), Some(NotSignedIn::Busy));
        held.pop();
        held.push(stranger(STRANGERS).expect("one has left"));
        assert_eq!(stranger(STRANGERS + 1).err(), Some(NotSignedIn::Busy));
        drop((held, verified));
        assert_eq!(asked.len(), 0);
        assert!(stranger(0).is_ok());
    }
}
