//! Events, how they are checked, and the bytes that a store keeps of them.

use std::sync::Arc;

use kg_core::limits::{CORRELATION_BYTES, EVENT_PAYLOAD_BYTES, EVENT_WORD_BYTES};
use kg_core::model::value::object_json;
use kg_core::model::{EntityRef, Kind, Name, Object, Value};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use xxhash_rust::xxh3::xxh3_64;

/// How types begin that only the server itself tells.
pub const OWN_TYPES: [&str; 3] = ["graph.", "run.", "liveness."];

/// An event that is to be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Names it among those of its type.
    pub id: Arc<str>,
    /// What kind of thing happened.
    pub kind: Arc<str>,
    /// What it is about.
    pub entity: Option<EntityRef>,
    /// What it belongs to; may be empty.
    pub correlation: Arc<str>,
    /// What is told.
    pub payload: Object,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who tells it.
    pub actor: Arc<str>,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place.
    pub offset: u64,
    /// When it was appended, in milliseconds since 1970; never below the one before.
    pub appended_ms: u64,
    /// What it says.
    pub event: NewEvent,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub offset: u64,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// Whether somebody may emit events of this type: a word, and none of the server's own.
///
/// # Errors
/// What is wrong with it.
pub fn check_users_type(kind: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if let Some(bad) = kind.chars().find(|c| !fits(*c)) {
        return Err(format!(
            "type must be of letters, digits and . _ - /, and has {bad:?}"
        ));
    }
    if let Some(own) = OWN_TYPES.iter().find(|own| kind.starts_with(**own)) {
        return Err(format!(
            "type must not begin with {own:?}, which is the server's own"
        ));
    }
    Ok(())
}

/// An event on its way into a store.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) event: NewEvent,
    /// What is remembered of its type and id.
    pub(super) key: u64,
    /// What is remembered of what it says, apart from when and by whom: whoever repeats it may not know the first time any more.
    pub(super) content: u64,
    /// What is kept.
    pub(super) body: Vec<u8>,
}

impl Prepared {
    /// Checks the bounds of an event and encodes it.
    pub(super) fn of(event: NewEvent) -> Result<Self, String> {
        word("id", &event.id, EVENT_WORD_BYTES)?;
        word("type", &event.kind, EVENT_WORD_BYTES)?;
        if event.correlation.len() > CORRELATION_BYTES {
            return Err(too_long(
                "correlation_id",
                event.correlation.len(),
                CORRELATION_BYTES,
            ));
        }
        let payload = match event.payload.is_empty() {
            true => String::new(),
            false => object_json(&event.payload),
        };
        if payload.len() > EVENT_PAYLOAD_BYTES {
            return Err(too_long("payload", payload.len(), EVENT_PAYLOAD_BYTES));
        }
        let mut body = Vec::with_capacity(128 + payload.len());
        put(&mut body, 1, &event.id);
        put(&mut body, 2, &event.kind);
        if let Some(entity) = &event.entity {
            put(&mut body, 3, entity.kind.as_str());
            put(&mut body, 4, entity.name.as_str());
        }
        put(&mut body, 5, &event.correlation);
        put(&mut body, 6, &payload);
        let content = xxh3_64(&body);
        put(&mut body, 7, &event.actor);
        encode_key(8, WireType::Varint, &mut body);
        encode_varint(event.time_ms, &mut body);
        let key = xxh3_64(
            [event.kind.as_bytes(), b"\0", event.id.as_bytes()]
                .concat()
                .as_slice(),
        );
        Ok(Self {
            event,
            key,
            content,
            body,
        })
    }

    /// The event at its place.
    pub(super) fn at(self, offset: u64, appended_ms: u64) -> Arc<Event> {
        Arc::new(Event {
            offset,
            appended_ms,
            event: self.event,
        })
    }
}

fn word(field: &str, text: &str, bytes: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{field} is required"));
    }
    if text.len() > bytes {
        return Err(too_long(field, text.len(), bytes));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(format!(
            "{field} must not contain the control character U+{:04X}",
            bad as u32
        )),
        None => Ok(()),
    }
}

fn too_long(field: &str, has: usize, bytes: usize) -> String {
    format!("{field} has {has} bytes, at most {bytes} are allowed")
}

/// A field of [`Stored`]; nothing where it is empty. Field by field, for every event that is emitted comes through here.
fn put(bytes: &mut Vec<u8>, tag: u32, text: &str) {
    if !text.is_empty() {
        encode_key(tag, WireType::LengthDelimited, bytes);
        encode_varint(text.len() as u64, bytes);
        bytes.extend_from_slice(text.as_bytes());
    }
}

/// What a store keeps of an event.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    kind: String,
    #[prost(string, tag = "3")]
    entity_kind: String,
    #[prost(string, tag = "4")]
    entity_name: String,
    #[prost(string, tag = "5")]
    correlation: String,
    /// Canonical JSON; empty for none.
    #[prost(string, tag = "6")]
    payload: String,
    #[prost(string, tag = "7")]
    actor: String,
    #[prost(uint64, tag = "8")]
    time_ms: u64,
}

/// Reads an event back; or why it cannot be read.
pub(super) fn decode(offset: u64, appended_ms: u64, body: &[u8]) -> Result<Event, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("the event at {offset}: {what}");
    let stored = Stored::decode(body).map_err(|e| wrong(&e))?;
    let entity = match stored.entity_kind.is_empty() {
        true => None,
        false => Some(EntityRef::new(
            Kind::parse("kind", &stored.entity_kind).map_err(|e| wrong(&e))?,
            Name::parse("name", &stored.entity_name).map_err(|e| wrong(&e))?,
        )),
    };
    let payload = match stored.payload.is_empty() {
        true => Object::new(),
        false => match Value::from_json(stored.payload.as_bytes()).map_err(|e| wrong(&e))? {
            Value::Object(payload) => payload,
            other => return Err(wrong(&format!("its payload is {}", other.type_name()))),
        },
    };
    Ok(Event {
        offset,
        appended_ms,
        event: NewEvent {
            id: stored.id.into(),
            kind: stored.kind.into(),
            entity,
            correlation: stored.correlation.into(),
            payload,
            time_ms: stored.time_ms,
            actor: stored.actor.into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent {
        NewEvent {
            id: "1".into(),
            kind: "order.paid".into(),
            entity: EntityRef::parse("", "service/cart").ok(),
            correlation: "c".into(),
            payload: Object::unit("amount".into(), Value::Number(1.5)),
            time_ms: 7,
            actor: "alice".into(),
        }
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        for event in [
            event(),
            NewEvent {
                entity: None,
                payload: Object::new(),
                correlation: "".into(),
                ..event()
            },
        ] {
            let prepared = Prepared::of(event.clone()).expect("it is fine");
            let back = decode(3, 9, &prepared.body).expect("it can be read");
            assert_eq!(back.event, event);
            assert_eq!((back.offset, back.appended_ms), (3, 9));
        }
    }

    #[test]
    fn the_time_and_the_actor_are_no_part_of_what_it_says() {
        let first = Prepared::of(event()).expect("it is fine");
        let other = |change: fn(&mut NewEvent)| {
            let mut event = event();
            change(&mut event);
            let other = Prepared::of(event).expect("it is fine");
            (other.key == first.key, other.content == first.content)
        };
        assert_eq!(other(|e| e.time_ms = 8), (true, true));
        assert_eq!(other(|e| e.actor = "bob".into()), (true, true));
        assert_eq!(other(|e| e.correlation = "d".into()), (true, false));
        assert_eq!(other(|e| e.payload = Object::new()), (true, false));
        assert_eq!(other(|e| e.entity = None), (true, false));
        assert_eq!(other(|e| e.kind = "order.sent".into()), (false, false));
    }

    #[test]
    fn what_is_too_long_is_refused_by_its_field() {
        let refused = |change: fn(&mut NewEvent)| {
            let mut event = event();
            change(&mut event);
            Prepared::of(event).expect_err("it is too long")
        };
        assert!(refused(|e| e.id = "".into()).starts_with("id is required"));
        assert!(refused(|e| e.id = "x".repeat(129).into()).starts_with("id has 129"));
        assert!(refused(|e| e.kind = "a\nb".into()).starts_with("type must not"));
        assert!(refused(|e| e.correlation = "x".repeat(257).into()).starts_with("correlation_id"));
        let large = |e: &mut NewEvent| {
            e.payload = Object::unit("a".into(), Value::string(&"x".repeat(70_000)));
        };
        assert!(refused(large).starts_with("payload has"));
    }

    #[test]
    fn the_types_of_the_server_are_its_own() {
        assert_eq!(check_users_type("order.paid/eu-1_x"), Ok(()));
        assert_eq!(check_users_type("running"), Ok(()));
        for wrong in [
            "graph.service.created",
            "run.started",
            "liveness.up",
            "a b",
            "ä",
        ] {
            assert!(check_users_type(wrong).is_err(), "{wrong}");
        }
    }
}
