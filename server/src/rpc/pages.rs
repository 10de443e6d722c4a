//! Pages: a long list is read in parts, all of one revision.
//!
//! A page token says which question it continues, in which store, at which revision and after what. It is opaque and
//! checked, so that one of another question, of another store or a damaged one is refused and never misread. Its snapshot
//! is kept for a minute after the last page; at most 64 are kept, and one more lets go of the one that would expire first.
//! After that the history ring may still have the revision, as long as it keeps it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kg_core::commit::Held;
use kg_core::limits::{MESSAGE_BYTES, PAGE, PAGE_DEFAULT, PAGE_PIN_SECONDS, PAGE_PINS};
use prost::Message;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::metadata::MetadataMap;
use xxhash_rust::xxh3::xxh3_64;

use super::context::Context;
use super::seen::Seen;
use super::status;
use crate::auth::Caller;

/// Bytes of entries in one reply: room for the header and for a token stays.
const PAGE_BYTES: usize = MESSAGE_BYTES - 64 * 1024;

/// Hexadecimal digits of the longest token: a position holds at most a label, a kind and a name.
const TOKEN_DIGITS: usize = 4 * 1024;

/// Snapshots that are kept for the next page of somebody's list.
#[derive(Clone, Debug, Default)]
pub struct Pages(Arc<Mutex<HashMap<u64, Pin>>>);

#[derive(Debug)]
struct Pin {
    held: Held,
    until: Instant,
}

impl Pages {
    /// How many snapshots are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The snapshot of a revision, if it is kept.
    #[must_use]
    pub fn pinned(&self, revision: u64) -> Option<Held> {
        self.lock().get(&revision).map(|pin| pin.held.clone())
    }

    fn pin(&self, held: &Held, keep: Duration) {
        let until = Instant::now() + keep;
        let mut pins = self.lock();
        let first = pins.is_empty();
        let pin = Pin {
            held: held.clone(),
            until,
        };
        pins.insert(held.revision(), pin);
        if pins.len() > PAGE_PINS {
            let soonest = pins.iter().min_by_key(|(_, pin)| pin.until);
            if let Some(revision) = soonest.map(|(&revision, _)| revision) {
                pins.remove(&revision);
            }
        }
        drop(pins);
        if first {
            tokio::spawn(self.clone().expire());
        }
    }

    /// Lets go of each snapshot when its time has come, until there is none.
    async fn expire(self) {
        loop {
            let next = {
                let mut pins = self.lock();
                pins.retain(|_, pin| pin.until > Instant::now());
                pins.values().map(|pin| pin.until).min()
            };
            match next {
                Some(next) => sleep_until(next).await,
                None => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Pin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a list goes on.
#[derive(Clone, PartialEq, Message)]
struct Token {
    /// Which question: a hash of the RPC's name and the request's filters.
    #[prost(fixed64, tag = "1")]
    question: u64,
    #[prost(fixed64, tag = "2")]
    store: u64,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(string, repeated, tag = "4")]
    after: Vec<String>,
    #[prost(uint64, tag = "5")]
    offset: u64,
}

/// A place in a list: after an entry that is named by words, or after so many entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What the last entry is known by; empty at the beginning.
    pub after: Vec<String>,
    /// How many entries came before.
    pub offset: usize,
}

/// One page that is asked for.
#[derive(Debug)]
pub struct Page {
    /// What to read.
    pub held: Seen,
    /// Where it begins.
    pub place: Place,
    /// Entries at most.
    pub size: usize,
    question: u64,
}

impl Page {
    /// Fills a page from entries in order; `place` tells where the list goes on after one of them, given how many are on
    /// the page so far. Returns the entries and the next token.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED for an entry that fits into no message.
    pub fn fill<T: Message>(
        &self,
        context: &Context,
        entries: impl IntoIterator<Item = T>,
        place: impl Fn(&T, usize) -> Place,
    ) -> Result<(Vec<T>, String), Status> {
        let mut filled: Vec<T> = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            let entry_bytes = entry.encoded_len() + 8;
            let full = filled.len() == self.size || bytes + entry_bytes > PAGE_BYTES;
            if full && let Some(last) = filled.last() {
                let token = self.token(context, place(last, filled.len()));
                return Ok((filled, token));
            }
            if entry_bytes > PAGE_BYTES {
                return Err(status::too_large(entry_bytes));
            }
            bytes += entry_bytes;
            filled.push(entry);
        }
        Ok((filled, String::new()))
    }

    fn token(&self, context: &Context, place: Place) -> String {
        let keep = Duration::from_secs(PAGE_PIN_SECONDS);
        context.pages.pin(self.held.whole(), keep);
        let token = Token {
            question: self.question,
            store: store_hash(context),
            revision: self.held.revision(),
            after: place.after,
            offset: place.offset as u64,
        };
        let mut bytes = token.encode_to_vec();
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a request for a page says about pages.
#[derive(Clone, Copy, Debug)]
pub struct Paging<'a> {
    /// The RPC.
    pub rpc: &'static str,
    /// How many entries are wanted; 0 for the default.
    pub size: u32,
    /// Where to go on; empty for the first page.
    pub token: &'a str,
}

impl Context {
    /// The page that a request asks for. `filters` is the request without its paging and its consistency.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a token that does not belong here, OUT_OF_RANGE for one whose revision is gone; what
    /// [`Context::fresh`] says for a first page.
    pub async fn page(
        &self,
        caller: &Caller,
        paging: Paging<'_>,
        filters: &impl Message,
        consistency: Option<&amadeus_proto::v1::Consistency>,
        metadata: &MetadataMap,
    ) -> Result<Page, Status> {
        let mut asked = paging.rpc.as_bytes().to_vec();
        asked.push(0);
        asked.extend(filters.encode_to_vec());
        let question = xxh3_64(&asked);
        let size = match paging.size {
            0 => PAGE_DEFAULT,
            size => (size as usize).min(PAGE),
        };
        let (held, place) = if paging.token.is_empty() {
            let first = self.fresh(caller, consistency, metadata).await?;
            (first, Place::default())
        } else {
            let (whole, place) = self.resume(paging.token, question)?;
            (self.see(caller, whole).await?, place)
        };
        Ok(Page {
            held,
            place,
            size,
            question,
        })
    }

    fn resume(&self, text: &str, question: u64) -> Result<(Held, Place), Status> {
        let refused = |why: &str| status::invalid("page_token", why);
        let token = read_token(text).ok_or_else(|| refused("is no page token, or is damaged"))?;
        if token.store != store_hash(self) {
            return Err(refused(
                "belongs to another store: begin with the first page",
            ));
        }
        if token.question != question {
            return Err(refused(
                "belongs to another question: repeat the request that it came from, with its filters",
            ));
        }
        let held = match self.pages.pinned(token.revision) {
            Some(held) => held,
            None => self
                .graph
                .snapshot_at(token.revision)
                .map_err(status::not_kept)?,
        };
        let place = Place {
            after: token.after,
            offset: usize::try_from(token.offset).unwrap_or(usize::MAX),
        };
        Ok((held, place))
    }
}

fn store_hash(context: &Context) -> u64 {
    xxh3_64(context.graph.store_id().as_bytes())
}

fn read_token(text: &str) -> Option<Token> {
    if text.len() > TOKEN_DIGITS || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    let bytes: Vec<u8> = text
        .as_bytes()
        .chunks_exact(2)
        .map(pair)
        .collect::<Option<_>>()?;
    let (body, sum) = bytes.split_last_chunk::<8>()?;
    if xxh3_64(body) != u64::from_le_bytes(*sum) {
        return None;
    }
    Token::decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kg_core::commit::Graph;

    #[tokio::test]
    async fn a_snapshot_is_let_go_when_its_time_has_come() {
        let (graph, pages) = (Graph::in_memory(), Pages::default());
        let held = graph.snapshot();
        for _ in 0..2 {
            pages.pin(&held, Duration::from_millis(5));
            // Another page prolongs it.
            pages.pin(&held, Duration::from_millis(20));
            let until = Instant::now() + Duration::from_millis(20);
            while pages.count() > 0 {
                tokio::task::yield_now().await;
            }
            assert!(Instant::now() + Duration::from_millis(2) >= until);
        }
    }
}
