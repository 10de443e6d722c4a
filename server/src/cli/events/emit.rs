//! One event, told.

use std::path::Path;

use amadeus_proto::v1::{EmitEventRequest, Event};
use prost_types::Struct;

use super::command::EmitArgs;
use crate::cli::{args::fresh_request_id, failure::CliError, literal, session::Session, table};

pub async fn emit(session: &mut Session, args: EmitArgs) -> Result<(), CliError> {
    let id = match args.id.as_str() {
        "" => fresh_request_id(),
        id => id.to_owned(),
    };
    let request = EmitEventRequest {
        event: Some(Event {
            id,
            r#type: args.kind,
            entity: args.entity,
            correlation_id: args.correlation,
            payload: payload(&args.payload)?,
            ..Event::default()
        }),
    };
    let send = async |r| session.nexus().emit_event(r).await;
    // It may be sent again: of one id and type there is one.
    let reply = session.call(request, send).await?;
    session.show(&reply, |reply| {
        let id = table::visible(&reply.id);
        match reply.duplicate {
            true => format!("{id} was there already, at offset {}\n", reply.offset),
            false => format!("{id} is at offset {}\n", reply.offset),
        }
    })
}

fn payload(text: &str) -> Result<Option<Struct>, CliError> {
    let text = match text {
        "" => return Ok(None),
        "-" => literal::text_of(Path::new("-"))?,
        text => text.to_owned(),
    };
    let wrong = |why: String| CliError::Usage(format!("the payload is no JSON object: {why}"));
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let members: Vec<_> = members.into_iter().collect();
    Ok(Some(literal::properties(&members)?.unwrap_or_default()))
}
