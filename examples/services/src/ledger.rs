//! What a service did, by key: a key that comes again is given its first answer, and nothing happens.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use crate::v1::{Effect, EffectsRequest, EffectsResponse, Trouble};

/// Keys that are remembered. These services are for trying things out; beyond it they refuse.
const KEYS: usize = 1_000_000;

/// The ledger of one service.
#[derive(Default)]
pub struct Ledger(Mutex<BTreeMap<(String, &'static str), Entry>>);

#[derive(Default)]
struct Entry {
    calls: u32,
    effects: u32,
    /// Encoded: its type is the method's.
    answer: Option<Vec<u8>>,
}

impl Ledger {
    /// Answers one call: with what `act` does, or did at the first call of this key. `act` must not wait.
    pub async fn answer<M: Message + Default>(
        &self,
        metadata: &MetadataMap,
        method: &'static str,
        trouble: Option<Trouble>,
        act: impl FnOnce() -> Result<M, Status>,
    ) -> Result<Response<M>, Status> {
        let trouble = trouble.unwrap_or_default();
        let key = metadata.get("idempotency-key");
        let key = key.and_then(|key| key.to_str().ok()).unwrap_or_default();
        let place = (key.to_owned(), method);
        let calls = {
            let mut entries = self.entries();
            if entries.len() >= KEYS && !entries.contains_key(&place) {
                return Err(Status::resource_exhausted("too many keys"));
            }
            let entry = entries.entry(place.clone()).or_default();
            entry.calls += 1;
            entry.calls
        };
        if trouble.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(trouble.delay_ms.into())).await;
        }
        if trouble.code != 0 {
            let code = Code::from(i32::try_from(trouble.code).unwrap_or_default());
            return Err(Status::new(code, "as you asked for"));
        }
        if calls <= trouble.fail_first {
            return Err(Status::unavailable(format!(
                "call {calls} fails, as you asked for"
            )));
        }
        let answer = self.once(place, act)?;
        if calls <= trouble.lose_first {
            return Err(Status::unavailable(format!(
                "answer {calls} is lost, as you asked for"
            )));
        }
        Ok(Response::new(answer))
    }

    /// Under the lock: of two calls with one key, one acts.
    fn once<M: Message + Default>(
        &self,
        place: (String, &'static str),
        act: impl FnOnce() -> Result<M, Status>,
    ) -> Result<M, Status> {
        let keyed = !place.0.is_empty();
        let mut entries = self.entries();
        let entry = entries.entry(place).or_default();
        if let Some(answer) = &entry.answer {
            return M::decode(&**answer).map_err(|error| Status::internal(error.to_string()));
        }
        let answer = act()?;
        entry.effects += 1;
        if keyed {
            entry.answer = Some(answer.encode_to_vec());
        }
        Ok(answer)
    }

    /// What has happened.
    pub fn effects(&self, request: &Request<EffectsRequest>) -> Response<EffectsResponse> {
        let prefix = &request.get_ref().key_prefix;
        let entries = self.entries();
        let wanted = entries
            .iter()
            .filter(|((key, _), _)| key.starts_with(prefix));
        let effects = wanted.map(|((key, method), entry)| Effect {
            key: key.clone(),
            method: (*method).to_owned(),
            calls: entry.calls,
            effects: entry.effects,
        });
        Response::new(EffectsResponse {
            effects: effects.collect(),
        })
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(String, &'static str), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
