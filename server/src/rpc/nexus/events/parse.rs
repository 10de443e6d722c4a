//! What requests about events say, parsed at the edge.

use std::sync::Arc;

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::limits::{CORRELATION_BYTES, EVENT_FILTER_ENTRIES, EVENT_WORD_BYTES};
use kg_core::model::{Kind, Name};

use crate::events::{EventFilter, NewEvent, check_users_type};
use crate::rpc::from_proto;

/// An event that somebody emits now.
///
/// # Errors
/// A fault of the field that is wrong.
pub(super) fn event(given: &v1::Event, actor: &Arc<str>, now_ms: u64) -> Result<NewEvent, Fault> {
    word("type", &given.r#type)?;
    check_users_type(&given.r#type)
        .map_err(|why| Fault::new("type", why.trim_start_matches("type ")))?;
    let id = match given.id.is_empty() {
        true => new_id(),
        false => {
            word("id", &given.id)?;
            given.id.clone()
        }
    };
    from_proto::check_text("correlation_id", &given.correlation_id, CORRELATION_BYTES)?;
    let entity = given.entity.as_ref();
    let entity = entity.map(|entity| from_proto::entity_ref("entity", Some(entity)));
    Ok(NewEvent {
        id: id.into(),
        kind: given.r#type.as_str().into(),
        entity: entity.transpose()?,
        correlation: given.correlation_id.as_str().into(),
        payload: from_proto::object("payload", given.payload.as_ref())?,
        time_ms: from_proto::milliseconds("time", given.time.as_ref())?.unwrap_or(now_ms),
        actor: actor.clone(),
    })
}

/// An id for an event that came without.
fn new_id() -> String {
    format!("{:016x}{:016x}", crate::app::seed(), crate::app::seed())
}

/// The name of a group.
///
/// # Errors
/// A fault of `field`.
pub(super) fn group(field: &str, name: &str) -> Result<(), Fault> {
    word(field, name)
}

fn word(field: &str, text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new(field, "is required"));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        let reason = format!(
            "must not contain the control character U+{:04X}",
            bad as u32
        );
        return Err(Fault::new(field, reason));
    }
    from_proto::check_text(field, text, EVENT_WORD_BYTES)
}

/// What a subscriber wants.
///
/// # Errors
/// A fault of the field that is wrong.
pub(super) fn filter(given: &v1::SubscribeEventsRequest) -> Result<EventFilter, Fault> {
    for (field, entries) in [
        ("types", given.types.len()),
        ("entities", given.entities.len()),
        ("correlation_ids", given.correlation_ids.len()),
    ] {
        if entries > EVENT_FILTER_ENTRIES {
            let reason =
                format!("has {entries} entries, at most {EVENT_FILTER_ENTRIES} are allowed");
            return Err(Fault::new(field, reason));
        }
    }
    for (i, kind) in given.types.iter().enumerate() {
        let field = format!("types[{i}]");
        word(&field, kind)?;
        // Elsewhere it would be taken as it is, and no type has one: whoever meant it as a wildcard would wait for ever.
        if kind.trim_end_matches('*').contains('*') || kind.ends_with("**") {
            return Err(Fault::new(&field, "may have one * and only at its end"));
        }
    }
    for (i, correlation) in given.correlation_ids.iter().enumerate() {
        from_proto::check_text(
            &format!("correlation_ids[{i}]"),
            correlation,
            CORRELATION_BYTES,
        )?;
    }
    let entity = |(i, entity): (usize, &v1::EntityRef)| {
        let kind = Kind::parse(&format!("entities[{i}].kind"), &entity.kind)?;
        let name = match entity.name.is_empty() {
            true => None,
            false => Some(Name::parse(&format!("entities[{i}].name"), &entity.name)?.to_string()),
        };
        Ok((kind.to_string(), name))
    };
    Ok(EventFilter {
        kinds: given.types.clone(),
        entities: given
            .entities
            .iter()
            .enumerate()
            .map(entity)
            .collect::<Result<_, Fault>>()?,
        correlations: given.correlation_ids.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> v1::Event {
        v1::Event {
            r#type: "order.paid".into(),
            ..v1::Event::default()
        }
    }

    #[test]
    fn what_is_left_out_is_made() {
        let actor: Arc<str> = "alice".into();
        let [one, other] = [(); 2].map(|()| event(&given(), &actor, 7).expect("it is fine"));
        assert_ne!(one.id, other.id);
        assert_eq!((one.time_ms, &*one.actor), (7, "alice"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let wrong = |change: fn(&mut v1::Event)| {
            let mut given = given();
            change(&mut given);
            event(&given, &"".into(), 0).expect_err("it is wrong").field
        };
        assert_eq!(wrong(|e| e.r#type = String::new()), "type");
        assert_eq!(wrong(|e| e.r#type = "graph.x".into()), "type");
        assert_eq!(wrong(|e| e.id = "x".repeat(129)), "id");
        assert_eq!(
            wrong(|e| e.entity = Some(v1::EntityRef::default())),
            "entity.kind"
        );
        for kind in ["*.paid", "order.*.paid", "order.**"] {
            let asked = v1::SubscribeEventsRequest {
                types: vec!["order.*".into(), kind.into()],
                ..v1::SubscribeEventsRequest::default()
            };
            let fault = filter(&asked).expect_err("it would match nothing");
            assert_eq!(fault.field, "types[1]", "{kind}");
        }
        let nan = prost_types::Value {
            kind: Some(prost_types::value::Kind::NumberValue(f64::NAN)),
        };
        let mut given = given();
        given.payload = Some(prost_types::Struct {
            fields: [("a".to_owned(), nan)].into(),
        });
        let fault = event(&given, &"".into(), 0).expect_err("it is wrong");
        assert_eq!(fault.field, "payload.a");
    }
}
