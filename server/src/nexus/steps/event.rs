//! `event`: tells one, or waits for one.
//!
//! What is told has the step's key as its id, so that a repetition is known. Waiting looks from the place at which the run began, so that
//! neither an event that comes before the step nor a restart makes it miss anything; and only at what the run's owner may see.

use std::sync::Arc;

use futures::future::BoxFuture;
use kg_core::error::Fault;
use kg_core::model::path::part;
use kg_core::model::{EntityRef, Kind, Name, Object, Value, ValueType};
use kg_core::nexus::{Argument, Failure, StepType, Target, Written};
use tonic::Code;

use super::graph::shortened;
use super::rights::may;
use super::{parameters, result};
use crate::events::{self, EventError, EventFilter, NewEvent, Place, check_users_type};
use crate::nexus::failure::{fault, invalid, of, of_status};
use crate::nexus::step::{StepCall, StepProvider};

static ABOUT: StepType = StepType {
    name: "event",
    target: Target::None,
    actions: &["emit", "await"],
    free_action: false,
    arguments: &[
        argument("type", ValueType::String),
        argument("types", ValueType::List),
        argument("entity", ValueType::Any),
        argument("correlation_id", ValueType::String),
        argument("payload", ValueType::Object),
        argument("id", ValueType::String),
        argument("match", ValueType::Object),
    ],
    open: false,
    result: ValueType::Object,
    pure: false,
    timeout_ms: 0,
    check,
};

const fn argument(name: &'static str, kind: ValueType) -> Argument {
    Argument {
        name,
        kind,
        required: false,
    }
}

/// Bytes of an event's id, as the contract bounds it.
const ID_BYTES: usize = 128;

/// Events that are looked at before somebody else has a turn.
const AT_ONCE: usize = 256;

/// What each action takes.
const EMIT: [&str; 5] = ["type", "entity", "correlation_id", "payload", "id"];
const AWAIT: [&str; 4] = ["types", "entity", "correlation_id", "match"];

fn check(call: &Written<'_>) -> Vec<Fault> {
    let (needed, taken) = match call.action {
        "emit" => ("type", &EMIT[..]),
        _ => ("types", &AWAIT[..]),
    };
    let mut faults = Vec::new();
    if !call.has(needed) {
        let reason = format!("is missing: `{}` needs it", call.action);
        faults.push(Fault::new(format!("parameters.{needed}"), reason));
    }
    // What is an argument of neither was told.
    let others = ABOUT.arguments.iter().map(|argument| argument.name);
    for other in others.filter(|name| call.has(name) && !taken.contains(name)) {
        let reason = format!("is nothing that `{}` takes", call.action);
        faults.push(Fault::new(format!("parameters.{}", part(other)), reason));
    }
    if let Some(Value::String(kind)) = call.constant("type")
        && let Err(failure) = type_of(kind)
    {
        faults.push(fault("parameters.type", "type", &failure));
    }
    if call.constant("entity").is_some()
        && let Err(failure) = match call.action {
            "emit" => one_entity(call.parameters).map(drop),
            _ => entity(call.parameters).map(drop),
        }
    {
        faults.push(fault("parameters.entity", "entity", &failure));
    }
    faults
}

/// Steps of type `event`.
pub struct Event;

impl StepProvider for Event {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(async move {
            match call.action {
                "emit" => emit(&call).await,
                "await" => wait(&call).await,
                _ => Err(invalid("action", "must be `emit` or `await`")),
            }
        })
    }
}

async fn emit(call: &StepCall<'_>) -> Result<Value, Failure> {
    only(&call.parameters, &EMIT)?;
    let given = &call.parameters;
    let kind = parameters::required_text(given, "type")?;
    type_of(kind)?;
    let entity = one_entity(given)?;
    may(&call.caller, "/amadeus.v1.NexusService/EmitEvent")?;
    if let Some(entity) = &entity {
        let seen = call.world.graph.see_head(&call.caller).await;
        let seen = seen.map_err(|status| of_status(&status))?;
        seen.must_see(entity).map_err(|status| of_status(&status))?;
    }
    let id = match parameters::text(given, "id")? {
        Some(id) => id.into(),
        None => shortened(&call.key, ID_BYTES).into(),
    };
    let event = NewEvent {
        id: Arc::clone(&id),
        kind: kind.into(),
        entity,
        correlation: correlation(call)?.unwrap_or_else(|| call.run.correlation.clone()),
        payload: parameters::object(given, "payload")?
            .cloned()
            .unwrap_or_default(),
        time_ms: (call.world.graph.clock)(),
        actor: call.caller.principal.name.clone(),
    };
    let appended = call.world.events.append(vec![event]).await;
    let appended = appended.map_err(failed)?;
    let Some(appended) = appended.first() else {
        return Err(of(
            Code::Internal,
            "the log of events did not say where the event is",
        ));
    };
    Ok(result::object([
        ("offset", result::number(appended.offset)),
        ("id", Value::String(id)),
    ]))
}

async fn wait(call: &StepCall<'_>) -> Result<Value, Failure> {
    may(&call.caller, "/amadeus.v1.NexusService/SubscribeEvents")?;
    only(&call.parameters, &AWAIT)?;
    let given = &call.parameters;
    let kinds = parameters::list(given, "types")?.unwrap_or_default();
    let kinds = kinds.iter().map(|kind| {
        let text = kind.as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| invalid("types", "must be a list of texts"))
    });
    let kinds: Vec<String> = kinds.collect::<Result<_, _>>()?;
    if kinds.is_empty() {
        return Err(parameters::missing("types"));
    }
    let entity = entity(given)?.map(|(kind, name)| (kind.to_string(), name.map(|n| n.to_string())));
    let filter = EventFilter {
        kinds,
        entities: entity.into_iter().collect(),
        correlations: correlation(call)?.iter().map(ToString::to_string).collect(),
    };
    let matching = parameters::object(given, "match")?
        .cloned()
        .unwrap_or_default();
    let from = Place::Offset(call.run.event_offset);
    let cursor = call.world.events.cursor(from, filter).await;
    let mut cursor = cursor.map_err(failed)?;
    loop {
        // Each look is over after a second or so. It may be days until there is one, and by then its owner may see less.
        let owner = call.host.owner().await?;
        may(&owner, "/amadeus.v1.NexusService/SubscribeEvents")?;
        cursor = cursor.seen_by(call.world.graph.event_sight(&owner));
        let batch = cursor.next(AT_ONCE).await.map_err(failed)?;
        if let Some((from, to)) = batch.lag {
            // What was lost may have been the one.
            let why = format!(
                "events {from} to {} are no longer kept, and were not seen",
                to - 1
            );
            return Err(of(Code::OutOfRange, why));
        }
        for event in batch.events {
            if fits(&event.event.payload, &matching) {
                return result::bounded(told(&event));
            }
        }
    }
}

fn fits(payload: &Object, wanted: &Object) -> bool {
    wanted
        .iter()
        .all(|(name, value)| payload.get(name) == Some(value))
}

fn told(event: &events::Event) -> Value {
    let said = &event.event;
    let text = |text: &Arc<str>| Value::String(text.clone());
    let entity = said.entity.as_ref().map_or(Value::Null, |entity| {
        result::object([
            ("kind", Value::string(entity.kind.as_str())),
            ("name", Value::string(entity.name.as_str())),
        ])
    });
    result::object([
        ("offset", result::number(event.offset)),
        ("id", text(&said.id)),
        ("type", text(&said.kind)),
        ("entity", entity),
        ("correlation_id", text(&said.correlation)),
        ("payload", Value::Object(said.payload.clone())),
        ("time_ms", result::number(said.time_ms)),
        ("actor", text(&said.actor)),
    ])
}

/// `kind/name`, `kind` alone, or an object of both as requests to the graph have it.
fn type_of(kind: &str) -> Result<(), Failure> {
    if kind.is_empty() {
        return Err(invalid("type", "must not be empty"));
    }
    check_users_type(kind).map_err(|why| invalid("type", why.trim_start_matches("type ")))
}

/// An entity, and not all of its kind.
fn one_entity(given: &Object) -> Result<Option<EntityRef>, Failure> {
    let one = entity(given)?.map(|(kind, name)| match name {
        Some(name) => Ok(EntityRef::new(kind, name)),
        None => Err(invalid("entity", "must be kind/name")),
    });
    one.transpose()
}

fn entity(given: &Object) -> Result<Option<(Kind, Option<Name>)>, Failure> {
    let wrong = || invalid("entity", "must be kind/name");
    let (kind, name) = match parameters::given(given, "entity") {
        None => return Ok(None),
        Some(Value::String(text)) => match text.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (&**text, None),
        },
        Some(Value::Object(members)) => {
            let member = |name| members.get(name).and_then(Value::as_str);
            (member("kind").ok_or_else(wrong)?, member("name"))
        }
        Some(_) => return Err(wrong()),
    };
    let kind = Kind::parse("entity", kind).map_err(|fault| invalid("entity", fault.reason))?;
    let name = name.map(|name| Name::parse("entity", name)).transpose();
    let name = name.map_err(|fault| invalid("entity", fault.reason))?;
    Ok(Some((kind, name)))
}

fn correlation(call: &StepCall<'_>) -> Result<Option<Arc<str>>, Failure> {
    Ok(parameters::text(&call.parameters, "correlation_id")?.map(Arc::from))
}

/// Both actions share their list of arguments; one of the other action would be passed over without a word.
fn only(given: &Object, names: &[&str]) -> Result<(), Failure> {
    match given.keys().find(|name| !names.contains(&&***name)) {
        Some(other) => Err(invalid(other, "is no parameter of this action")),
        None => Ok(()),
    }
}

fn failed(error: EventError) -> Failure {
    let code = match &error {
        EventError::Invalid { .. } => Code::InvalidArgument,
        EventError::Exhausted(_) => Code::ResourceExhausted,
        EventError::Unavailable(_) => Code::Unavailable,
        EventError::Broken(_) => Code::DataLoss,
    };
    of(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Object {
        let value = Value::from_json(json.as_bytes()).expect("JSON");
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn an_entity_is_named_in_either_form() {
        let named = |json| {
            let (kind, name) = entity(&object(json))
                .expect("it is one")
                .expect("it is there");
            (kind.to_string(), name.map(|name| name.to_string()))
        };
        let both = ("service".to_owned(), Some("a".to_owned()));
        assert_eq!(named(r#"{"entity": "service/a"}"#), both);
        assert_eq!(
            named(r#"{"entity": {"kind": "service", "name": "a"}}"#),
            both
        );
        assert_eq!(named(r#"{"entity": "order"}"#), ("order".to_owned(), None));
        assert!(entity(&object(r#"{"entity": 1}"#)).is_err());
        assert!(entity(&object(r#"{"entity": "/a"}"#)).is_err());
    }

    #[test]
    fn all_that_is_wanted_of_a_payload_must_be_there() {
        let payload = object(r#"{"order": "7", "lines": [1, 2], "paid": true}"#);
        assert!(fits(&payload, &object("{}")));
        assert!(fits(
            &payload,
            &object(r#"{"order": "7", "lines": [1, 2]}"#)
        ));
        assert!(!fits(&payload, &object(r#"{"order": "8"}"#)));
        assert!(!fits(&payload, &object(r#"{"missing": null}"#)));
    }
}
