//! Remembered requests: the table by which the same request id applies once.
//!
//! It is folded from the log like everything else and counted in revisions, so that every server and every restart
//! agree on what is remembered. Keys are 128-bit hashes of principal and request id: an entry has a fixed size.

use crate::limits::REMEMBERED_REQUESTS;
use xxhash_rust::xxh3::xxh3_128;

/// A request id of one principal, hashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestKey(pub u128);

impl RequestKey {
    /// The key of a principal's request id.
    #[must_use]
    pub fn new(principal: &str, request_id: &str) -> Self {
        let mut bytes = (principal.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(principal.as_bytes());
        bytes.extend_from_slice(request_id.as_bytes());
        Self(xxh3_128(&bytes))
    }
}

/// What is remembered of a committed request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// The revision that it made.
    pub revision: u64,
    /// Hash of its body.
    pub body: u64,
}

/// The committed requests of the last [`REMEMBERED_REQUESTS`] revisions.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    by_key: im::GenericHashMap<
        RequestKey,
        Remembered,
        foldhash::fast::FixedState,
        im::shared_ptr::DefaultSharedPtr,
    >,
    by_revision: im::OrdMap<u64, RequestKey>,
}

impl Requests {
    /// What is remembered under this key.
    #[must_use]
    pub fn get(&self, key: RequestKey) -> Option<Remembered> {
        self.by_key.get(&key).copied()
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// All that is remembered, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (RequestKey, Remembered)> + '_ {
        self.by_revision
            .values()
            .filter_map(|key| self.by_key.get(key).map(|r| (*key, *r)))
    }

    pub(crate) fn remember(&mut self, key: RequestKey, what: Remembered) {
        self.by_key.insert(key, what);
        self.by_revision.insert(what.revision, key);
    }

    /// Forgets what lies [`REMEMBERED_REQUESTS`] or more behind `head`.
    pub(crate) fn forget(&mut self, head: u64) {
        while let Some(&(revision, _)) = self.by_revision.get_min() {
            if revision + REMEMBERED_REQUESTS > head {
                return;
            }
            if let Some(key) = self.by_revision.remove(&revision) {
                self.by_key.remove(&key);
            }
        }
    }
}
